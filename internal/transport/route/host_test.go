package route

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"testing"
	"time"
)

func TestTLSAMatches(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	leaf := ca.issue("mx.example.com")
	expired := ca.issueUntil("mx.example.com", start.Add(-time.Hour))
	chain := func(of ...*authority) (out []*x509.Certificate) {
		for _, a := range of {
			out = append(out, a.certificate)
		}
		return out
	}
	key, cert := leaf.certificate.RawSubjectPublicKeyInfo, leaf.certificate.Raw
	key256, key512, cert256 := sha256.Sum256(key), sha512.Sum512(key), sha256.Sum256(cert)
	caKey256, caCert512 := sha256.Sum256(ca.certificate.RawSubjectPublicKeyInfo), sha512.Sum512(ca.certificate.Raw)
	expiredKey := sha256.Sum256(expired.certificate.RawSubjectPublicKeyInfo)
	right, wrong := []string{"other.example", "mx.example.com"}, []string{"mx.example.net"}
	for _, c := range []struct {
		name   string
		record TLSA
		chain  []*x509.Certificate
		names  []string
		want   bool
	}{
		{"EE, key", TLSA{3, 1, 0, key}, chain(leaf), right, true},
		{"EE, digest of the key", TLSA{3, 1, 1, key256[:]}, chain(leaf, ca), right, true},
		{"EE, long digest of the key", TLSA{3, 1, 2, key512[:]}, chain(leaf), right, true},
		{"EE, certificate", TLSA{3, 0, 0, cert}, chain(leaf), right, true},
		{"EE, digest of the certificate", TLSA{3, 0, 1, cert256[:]}, chain(leaf), right, true},
		{"EE has no names", TLSA{3, 1, 1, key256[:]}, chain(leaf), wrong, true},
		{"EE has no dates", TLSA{3, 1, 1, expiredKey[:]}, chain(expired), right, true},
		{"EE of another key", TLSA{3, 1, 1, caKey256[:]}, chain(leaf, ca), right, false},
		{"EE looks at the host's certificate alone", TLSA{3, 1, 1, key256[:]}, chain(ca, leaf), right, false},
		{"digest of the wrong thing", TLSA{3, 0, 1, key256[:]}, chain(leaf), right, false},
		{"unknown selector", TLSA{3, 2, 1, key256[:]}, chain(leaf), right, false},
		{"unknown matching type", TLSA{3, 1, 3, key256[:]}, chain(leaf), right, false},
		{"PKIX-EE is not for SMTP", TLSA{1, 1, 1, key256[:]}, chain(leaf), right, false},
		{"no chain", TLSA{3, 1, 1, key256[:]}, nil, right, false},
		{"TA, digest of the key", TLSA{2, 1, 1, caKey256[:]}, chain(leaf, ca), right, true},
		{"TA, long digest of the certificate", TLSA{2, 0, 2, caCert512[:]}, chain(leaf, ca), right, true},
		{"TA, certificate that is not shown", TLSA{2, 0, 0, ca.certificate.Raw}, chain(leaf), right, true},
		{"TA, digest of one that is not shown", TLSA{2, 0, 2, caCert512[:]}, chain(leaf), right, false},
		{"TA has names", TLSA{2, 1, 1, caKey256[:]}, chain(leaf, ca), wrong, false},
		{"TA has dates", TLSA{2, 1, 1, caKey256[:]}, chain(expired, ca), right, false},
		{"TA that is shown and issued nothing", TLSA{2, 0, 0, other.certificate.Raw}, chain(leaf, other), right, false},
		{"TA is not the host's own", TLSA{2, 1, 1, key256[:]}, chain(leaf), right, false},
	} {
		if got := c.record.Matches(c.chain, c.names); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestTLSAIsUsable(t *testing.T) {
	c := newAuthority(t, "ca").certificate
	short, long := make([]byte, 32), make([]byte, 64)
	for _, test := range []struct {
		record TLSA
		want   bool
	}{
		{TLSA{3, 1, 1, short}, true},
		{TLSA{2, 0, 2, long}, true},
		{TLSA{3, 0, 0, c.Raw}, true},
		{TLSA{3, 1, 0, c.RawSubjectPublicKeyInfo}, true},
		{TLSA{3, 0, 0, c.RawSubjectPublicKeyInfo}, false},
		{TLSA{3, 1, 0, c.Raw}, false},
		{TLSA{0, 1, 1, short}, false},
		{TLSA{1, 1, 1, short}, false},
		{TLSA{4, 1, 1, short}, false},
		{TLSA{3, 2, 1, short}, false},
		{TLSA{3, 1, 3, short}, false},
		{TLSA{3, 1, 1, long}, false},
		{TLSA{3, 1, 2, short}, false},
		{TLSA{3, 1, 1, nil}, false},
	} {
		if got := test.record.usable(); got != test.want {
			t.Errorf("%v: %v", test.record, got)
		}
	}
}
