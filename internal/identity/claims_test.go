package identity_test

import (
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/identity"
)

func TestWhatClaimsMean(t *testing.T) {
	for _, c := range []struct {
		claims   identity.Claims
		id, name string // empty where there is no identity
	}{
		{identity.Claims{Subject: annsIdentity, PreferredUsername: "ann"}, annsIdentity, "ann"},
		{identity.Claims{Subject: "0123456789-" + annsIdentity, PreferredUsername: "ann"}, "0123456789-" + annsIdentity, "ann"},
		{identity.Claims{Subject: annsIdentity, PreferredUsername: "ann", Email: "bob@acme.example", EmailVerified: true}, annsIdentity, "ann"},
		{identity.Claims{Subject: annsIdentity, Email: "bob@acme.example", EmailVerified: true}, annsIdentity, "bob"},
		// By Python: uuid.uuid5(uuid.NAMESPACE_URL, "https://login.example#auth0|1")
		{identity.Claims{Issuer: "https://login.example", Subject: "auth0|1", PreferredUsername: "ann"}, "554b26cd-d5cd-5ed2-b523-1f5024b90719", "ann"},
		{identity.Claims{Subject: annsIdentity, Email: "bob@acme.example"}, "", ""},
		{identity.Claims{Subject: annsIdentity}, "", ""},
		{identity.Claims{PreferredUsername: "ann"}, "", ""},
	} {
		i, err := identity.IdentityOf(instance, c.claims)
		if c.id == "" {
			refusedAs(t, err, fault.Invalid, fault.Entity)
			continue
		}
		if err != nil || i.UserID != c.id || i.Name != c.name || i.Instance != instance || len(i.StoreID) != 12 {
			t.Errorf("%+v is %+v, %v", c.claims, i, err)
		}
	}
}
