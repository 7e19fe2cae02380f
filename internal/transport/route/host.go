package route

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"net/netip"
)

// Host is a server that takes mail for a domain. Hosts are tried in their order, and a host's addresses in theirs.
type Host struct {
	// Name is the host's name, folded and without a final dot, or an address literal as "[192.0.2.1]".
	Name      string
	Addresses []netip.Addr
	Port      uint16
	TLS       TLS
}

// TLS is how the connection to a host must be protected.
type TLS struct {
	Level Level
	// Names are those of which the certificate must bear one. The first is what the client asks for (SNI).
	Names []string
	// Records are DANE's: at Verified, where there are any, the certificate must match one, and no root is asked. Where there are
	// none it must lead to a root.
	Records []TLSA
	// Roots judge the certificate where Records do not; nil for those that all others are judged by.
	Roots *x509.CertPool
	// Source is who says so: "DANE", "MTA-STS" or "". MTA-STS at Opportunistic is a policy that is being tested: the certificate
	// is judged for the TLS report, and the message goes out whatever the judgement.
	Source string
	// Policy is what TLS reports say of all this.
	Policy Policy
}

// Level is how much protection a connection must have.
type Level uint8

// The levels.
const (
	Opportunistic Level = iota // STARTTLS where it is offered, with any certificate
	Required                   // encrypted, with any certificate (RFC 7672 section 2.2: records, but none that is usable)
	Verified                   // encrypted, with a certificate that Names and Records hold good
)

// TLSA says which certificate a host has (RFC 6698).
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// What the fields of a TLSA record mean (RFC 7218).
const (
	daneTA, daneEE            = 2, 3
	fullCert, publicKey       = 0, 1
	exact, inSHA256, inSHA512 = 0, 1, 2
)

// Matches reports whether the record holds chain good: what the server showed, its own certificate first. For DANE-EE that
// certificate is all that counts, neither its names nor its dates (RFC 7672 section 3.1.1). For DANE-TA the chain must lead to the
// record's certificate or key, be within its dates, and bear one of names.
func (r TLSA) Matches(chain []*x509.Certificate, names []string) bool {
	if len(chain) == 0 {
		return false
	}
	switch r.Usage {
	case daneEE:
		return r.is(chain[0])
	case daneTA:
		return r.anchors(chain, names)
	}
	return false
}

// anchors is Matches for DANE-TA.
func (r TLSA) anchors(chain []*x509.Certificate, names []string) bool {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, c := range chain[1:] {
		if r.is(c) {
			roots.AddCert(c)
			found = true
		} else {
			between.AddCert(c)
		}
	}
	// A record that is the whole certificate stands for one that the server left out (RFC 7671 section 5.2.2).
	if !found && r.Selector == fullCert && r.Matching == exact {
		if c, err := x509.ParseCertificate(r.Data); err == nil {
			roots.AddCert(c)
			found = true
		}
	}
	if !found {
		return false
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return false
	}
	for _, name := range names {
		if chain[0].VerifyHostname(name) == nil {
			return true
		}
	}
	return false
}

// is reports whether the record is of the certificate.
func (r TLSA) is(c *x509.Certificate) bool {
	var of []byte
	switch r.Selector {
	case fullCert:
		of = c.Raw
	case publicKey:
		of = c.RawSubjectPublicKeyInfo
	default:
		return false
	}
	switch r.Matching {
	case exact:
		return bytes.Equal(of, r.Data)
	case inSHA256:
		sum := sha256.Sum256(of)
		return bytes.Equal(sum[:], r.Data)
	case inSHA512:
		sum := sha512.Sum512(of)
		return bytes.Equal(sum[:], r.Data)
	}
	return false
}

// Policy is a TLS policy as reports name it (RFC 8460 section 4.4).
type Policy struct {
	Type string // PolicyTLSA, PolicySTS or PolicyNone
	// Domain is whose policy it is: the name that the TLSA records belong to, or the recipients' domain.
	Domain string
	// Strings are the records, or the lines of the policy.
	Strings []string
	// MX are the patterns of an MTA-STS policy.
	MX []string
}

// The types of policies.
const (
	PolicyTLSA = "tlsa"
	PolicySTS  = "sts"
	PolicyNone = "no-policy-found"
)

// Session is one attempt to have a connection that a policy allows, as TLS reports count them. A session counts once, as a
// success or as a failure.
type Session struct {
	Domain  string // the recipients', which the report is for
	Policy  Policy
	Host    string     // the MX; empty where it did not come so far
	Address netip.Addr // of the host
	Local   netip.Addr // ours
	Helo    string     // how the host called itself
	Result  Result
	Reason  string // a code of TLS for the failure, where there is one
	Info    string // words for people
}

// Result is how a session ended, in the words of RFC 8460 section 4.3.
type Result string

// The results. Succeeded stands in no report as such; it is counted.
const (
	Succeeded               Result = ""
	StartTLSNotSupported    Result = "starttls-not-supported"
	CertificateHostMismatch Result = "certificate-host-mismatch"
	CertificateExpired      Result = "certificate-expired"
	CertificateNotTrusted   Result = "certificate-not-trusted"
	ValidationFailure       Result = "validation-failure"
	TLSAInvalid             Result = "tlsa-invalid"
	DNSSECInvalid           Result = "dnssec-invalid"
	DANERequired            Result = "dane-required"
	STSPolicyFetchError     Result = "sts-policy-fetch-error"
	STSPolicyInvalid        Result = "sts-policy-invalid"
	STSWebPKIInvalid        Result = "sts-webpki-invalid"
)

// Error says why mail for a domain goes nowhere, now or for good.
type Error struct {
	Permanent bool
	Status    string // enhanced status code (RFC 3463)
	Text      string // for the sender
}

// Error is the status and the text.
func (e *Error) Error() string { return e.Status + " " + e.Text }
