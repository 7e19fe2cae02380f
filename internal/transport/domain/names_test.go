package domain

import (
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/transport/route"
)

// TestWebNames lists the names of proven domains alone.
func TestWebNames(t *testing.T) {
	onBoth(t, nil, func(f *fixture) {
		list := func(want ...string) {
			t.Helper()
			if names, err := f.WebNames(t.Context()); err != nil || !slices.Equal(names, want) {
				t.Errorf("%v, %v", names, err)
			}
		}
		list()
		if err := f.Directory.VouchForDomain(t.Context(), admin, f.acme.ID, shop); err != nil {
			t.Fatal(err)
		}
		list("mta-sts.shop.example", "autoconfig.shop.example", "autodiscover.shop.example")
		f.STS.Mode = route.STSNone
		list("autoconfig.shop.example", "autodiscover.shop.example")
	})
}

func TestLeadsHere(t *testing.T) {
	onBoth(t, nil, func(f *fixture) {
		f.zone.Add(host+". 60 IN A 127.0.0.1", "by-alias.example. 60 IN CNAME "+host+".", "by-address.example. 60 IN A 127.0.0.1", "away.example. 60 IN A 192.0.2.1")
		f.zone.Fail("broken.example.", mdns.TypeCNAME, mdns.RcodeServerFailure)
		for name, want := range map[string]string{
			"by-alias.example": "", "by-address.example": "", "away.example": "another server (192.0.2.1)", "none.example": "not in DNS", "broken.example": "DNS could not tell",
		} {
			if err := f.LeadsHere(t.Context(), name); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
