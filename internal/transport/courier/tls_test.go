package courier

import (
	"crypto/sha256"
	"crypto/x509"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/smtpclient"
	"github.com/pennypost/pennypost/internal/smtpclient/smtptest"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/route"
)

var (
	required = route.TLS{Level: route.Required, Source: "DANE", Policy: route.Policy{Type: route.PolicyTLSA}}
	sts      = route.TLS{Level: route.Verified, Source: "MTA-STS", Names: []string{"mx.test"}, Policy: route.Policy{Type: route.PolicySTS}}
)

func TestAnyCertificateWillDo(t *testing.T) {
	for _, c := range []struct {
		policy route.TLS
		name   string
	}{{route.TLS{}, "mx.test"}, {required, "other.test"}} {
		w := newWorld(t, nil)
		w.host(c.name, "192.0.2.1", c.policy, w.authority(), startTLS+underTLS+accepts+quit)
		want(t, w.deliver(), queue.Delivered, "2.0.0", c.name, "TLSv1.3", false, "taken")
		w.courier.Close()
		w.wantReports(c.name + " ")
		w.wantStats(Stats{Connections: 1, TLS: 1, Delivered: 1})
	}
}

func TestFailedHandshakeIsFollowedByClear(t *testing.T) {
	for _, fails := range []string{"FAIL", "RESET", ""} {
		w := newWorld(t, nil)
		again := hello + "S: 250-mx.test\nS: 250-8BITMIME\nS: 250-PIPELINING\nS: 250 STARTTLS\n" + accepts + quit
		w.host("mx.test", "192.0.2.1", route.TLS{}, nil, startTLS+fails, again)
		want(t, w.deliver(), queue.Delivered, "2.0.0", "mx.test", "", false, "taken")
		w.wantReports("mx.test validation-failure")
	}
}

func TestRefusedSTARTTLSIsFollowedByClear(t *testing.T) {
	w := newWorld(t, nil)
	w.host("mx.test", "192.0.2.1", route.TLS{}, nil, hello+"S: 250-mx.test\nS: 250-8BITMIME\nS: 250-PIPELINING\nS: 250 STARTTLS\nC= STARTTLS\nS: 454 no\n"+accepts+quit)
	want(t, w.deliver(), queue.Delivered, "2.0.0", "mx.test", "", false, "taken")
	w.wantReports("mx.test starttls-not-supported")
}

// Nothing goes out in the clear where TLS is required.
func TestTLSThatIsRequired(t *testing.T) {
	for _, c := range []struct{ name, script, status, text, result string }{
		{"not offered", offers + "END", "4.7.4", "TLS is required with mx.test: STARTTLS is not offered", "starttls-not-supported"},
		{"refused", hello + "S: 250-mx.test\nS: 250 STARTTLS\nC= STARTTLS\nS: 502 no\nEND", "4.7.4", "502 no", "starttls-not-supported"},
		{"handshake", startTLS + "FAIL", "4.7.5", "TLS with mx.test failed", "validation-failure"},
	} {
		for _, policy := range []route.TLS{required, sts} {
			t.Run(c.name, func(t *testing.T) {
				w := newWorld(t, nil)
				w.host("mx.test", "192.0.2.1", policy, nil, c.script)
				want(t, w.deliver(), queue.Deferred, c.status, "mx.test", "", true, c.text)
				w.wantReports("mx.test " + c.result)
				w.wantStats(Stats{Refused: 1, TLSFailed: 1, Deferred: 1})
			})
		}
	}
}

// The certificate of a host with a policy of MTA-STS leads to a root and bears its name (RFC 8461 section 4.1).
func TestCertificatesUnderMTASTS(t *testing.T) {
	known := smtptest.NewAuthority(t)
	for _, c := range []struct {
		name        string
		authority   *smtptest.Authority
		expired     bool
		certificate string
		result      string
	}{
		{"good", known, false, "mx.test", ""},
		{"wildcard", known, false, "*.test", ""},
		{"another name", known, false, "mx.other.test", "certificate-host-mismatch"},
		{"expired", known, true, "mx.test", "certificate-expired"},
		{"unknown authority", smtptest.NewAuthority(t), false, "mx.test", "certificate-not-trusted"},
	} {
		for _, inTest := range []bool{false, true} { // the mode of the policy
			t.Run(c.name, func(t *testing.T) {
				w := newWorld(t, func(o *Options) { o.Roots = known.Pool })
				policy := sts
				if inTest {
					policy.Level = route.Opportunistic
				}
				w.host("mx.test", "192.0.2.1", policy, nil)
				script := startTLS + underTLS + accepts + quit
				if c.result != "" && !inTest {
					script = startTLS + "REFUSES"
				}
				s := smtptest.Serve(t, c.authority.Server(c.expired, c.certificate), script)
				t.Cleanup(w.courier.Close)
				w.listeners["192.0.2.1:25"] = s.Addr
				switch o := w.deliver(); {
				case inTest:
					want(t, o, queue.Delivered, "2.0.0", "mx.test", "TLSv1.3", false, "taken")
				case c.result == "":
					want(t, o, queue.Delivered, "2.0.0", "mx.test", "TLSv1.3 verified by MTA-STS", false, "taken")
				default:
					want(t, o, queue.Deferred, "4.7.5", "mx.test", "", true, "x509")
				}
				w.wantReports("mx.test " + c.result)
			})
		}
	}
}

func TestHostWithTheWrongCertificateIsFollowedByTheNext(t *testing.T) {
	a := smtptest.NewAuthority(t)
	w := newWorld(t, func(o *Options) { o.Roots = a.Pool })
	w.host("mx.test", "192.0.2.1", sts, smtptest.NewAuthority(t), startTLS+"REFUSES")
	w.host("mx.test", "192.0.2.2", sts, a, startTLS+underTLS+accepts+quit)
	want(t, w.deliver(), queue.Delivered, "2.0.0", "mx.test", "TLSv1.3 verified by MTA-STS", false, "taken")
	w.wantReports("mx.test certificate-not-trusted", "mx.test ")
	w.courier.Close()
	w.wantStats(Stats{Connections: 1, Refused: 1, TLS: 1, Verified: 1, TLSFailed: 1, Delivered: 1})
}

// No root is asked where DNS says which certificate it is (RFC 7672).
func TestCertificatesUnderDANE(t *testing.T) {
	a := smtptest.NewAuthority(t)
	sum := func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }
	server := a.Server(false, "mx.test")
	leaf := server.Certificates[0].Leaf
	for _, c := range []struct {
		name    string
		records []route.TLSA
		names   []string
		good    bool
	}{
		{"its key", []route.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: sum(leaf.RawSubjectPublicKeyInfo)}}, []string{"whatever.test"}, true},
		{"its authority", []route.TLSA{{Usage: 2, Selector: 0, Matching: 1, Data: sum(a.Certificate.Raw)}}, []string{"x.test", "mx.test"}, true},
		{"its authority, another name", []route.TLSA{{Usage: 2, Selector: 0, Matching: 1, Data: sum(a.Certificate.Raw)}}, []string{"x.test"}, false},
		{"another", []route.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: sum(nil)}}, []string{"mx.test"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Roots = x509.NewCertPool() })
			w.host("mx.test", "192.0.2.1", route.TLS{Level: route.Verified, Source: "DANE", Names: c.names, Records: c.records}, nil)
			script := startTLS + underTLS + accepts + quit
			if !c.good {
				script = startTLS + "REFUSES"
			}
			s := smtptest.Serve(t, server, script)
			t.Cleanup(w.courier.Close)
			w.listeners["192.0.2.1:25"] = s.Addr
			if o := w.deliver(); c.good {
				want(t, o, queue.Delivered, "2.0.0", "mx.test", "TLSv1.3 verified by DANE", false, "taken")
				w.wantReports("mx.test ")
			} else {
				want(t, o, queue.Deferred, "4.7.5", "mx.test", "", true, "TLSA")
				w.wantReports("mx.test validation-failure")
			}
		})
	}
}

const requireTLS = "TLS\nC= EHLO out.test\nS: 250-mx.test\nS: 250-8BITMIME\nS: 250-REQUIRETLS\nS: 250 PIPELINING\n"

// RFC 8689 section 4.2.1: only to hosts whose names are vouched for, and who promise the same.
func TestRequireTLS(t *testing.T) {
	a := smtptest.NewAuthority(t)
	w := newWorld(t, func(o *Options) { o.Roots = a.Pool })
	m := newMessage("one")
	m.RequireTLS = true
	deliver := func() queue.Outcome { return w.courier.Deliver(t.Context(), queue.Destination{Domain: "a.test"}, m)[0] }

	w.host("mx.test", "192.0.2.1", route.TLS{}, nil)
	w.host("mx.test", "192.0.2.2", required, nil)
	want(t, deliver(), queue.Failed, "5.7.30", "", "", false, "neither DANE nor MTA-STS")
	if len(w.dialled) > 0 {
		t.Error("a host was asked that can't be taken")
	}
	w.host("mx.test", "192.0.2.3", sts, a, startTLS+underTLS+quit, startTLS+underTLS+quit, "S: 450 busy")
	want(t, deliver(), queue.Failed, "5.7.30", "mx.test", "TLSv1.3 verified by MTA-STS", false, "REQUIRETLS")
	w.courier.pool.dropAll()
	other := sts
	other.Names = []string{"mx4.test"}
	w.host("mx4.test", "192.0.2.4", other, a, startTLS+requireTLS+`C= MAIL FROM:<sender@b.test> BODY=8BITMIME REQUIRETLS
		C: RCPT
		C: DATA
		S: 250
		S: 250
		S: 354
		MESSAGE
		S: 250 taken
		`+quit)
	want(t, deliver(), queue.Delivered, "2.0.0", "mx4.test", "TLSv1.3 verified by MTA-STS", false, "taken")
	w.courier.pool.dropAll()
	w.hosts["a.test"] = w.hosts["a.test"][:3]
	want(t, deliver(), queue.Deferred, "4.0.0", "mx.test", "", true, "450 busy") // it may promise it later
}

func TestSlowHandshake(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Timeouts = smtpclient.Timeouts{Handshake: 30 * time.Millisecond} })
	w.host("mx.test", "192.0.2.1", required, nil, startTLS+"HANG")
	want(t, w.deliver(), queue.Deferred, "4.7.5", "mx.test", "", true, "TLS with mx.test failed")
}
