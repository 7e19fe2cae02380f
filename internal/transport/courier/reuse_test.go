package courier

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/smtpclient/smtptest"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/route"
)

const again = "C= RSET\nS: 250\n" + accepts

func TestConnectionIsUsedAgain(t *testing.T) {
	w := newWorld(t, nil)
	w.host("mx.test", "192.0.2.1", route.TLS{}, nil, offers+accepts+again+"C= RSET\nS: 250\n"+mail+"S: 250\nS: 550\nS: 554\n"+again+quit)
	for _, result := range []queue.Result{queue.Delivered, queue.Delivered, queue.Failed, queue.Delivered} {
		if o := w.deliver(); o.Result != result {
			t.Errorf("%+v", o)
		}
	}
	if s := w.courier.Stats(); s.Idle != 1 || s.Connections != 1 || s.Reused != 3 {
		t.Errorf("%+v", s)
	}
}

// A connection that was kept may be gone, at RSET or at MAIL; a new one is made, once.
func TestKeptConnectionIsGone(t *testing.T) {
	for name, end := range map[string]string{
		"closed": "", "reset": "RESET", "421": "C= RSET\nS: 421 idle for too long", "RSET refused": "C= RSET\nS: 500 no\nEND",
		"421 at MAIL": "C= RSET\nS: 250\n" + mail + "S: 421 enough messages", "closed at MAIL": "C= RSET\nS: 250\n" + mail,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.host("mx.test", "192.0.2.1", route.TLS{}, nil, offers+accepts+end, offers+accepts+quit)
			for range 2 {
				want(t, w.deliver(), queue.Delivered, "2.0.0", "mx.test", "", false, "taken")
			}
		})
	}
	w := newWorld(t, nil)
	w.host("mx.test", "192.0.2.1", route.TLS{}, nil, offers+accepts+"C= RSET\nS: 250\n"+mail, "S: 421 busy")
	w.deliver()
	want(t, w.deliver(), queue.Deferred, "4.3.2", "mx.test", "", true, "421 busy")
}

func TestConnectionIsKeptForHalfAMinute(t *testing.T) {
	w := newWorld(t, nil)
	w.host("mx.test", "192.0.2.1", route.TLS{}, nil, offers+accepts+again+quit, offers+accepts+quit)
	w.deliver()
	w.clock.Advance(maxIdleTime - 1)
	w.deliver()
	for w.courier.Stats().Idle > 0 { // the courier may not have begun to wait
		w.clock.Advance(maxIdleTime)
		runtime.Gosched()
	}
	w.deliver()
	if s := w.courier.Stats(); s.Connections != 2 || s.Reused != 1 {
		t.Errorf("%+v", s)
	}
}

func TestConnectionTakesSoManyMessages(t *testing.T) {
	w := newWorld(t, nil)
	w.host("mx.test", "192.0.2.1", route.TLS{}, nil, offers+accepts+strings.Repeat(again, maxMessages-1)+quit, offers+accepts+quit)
	for range maxMessages + 1 {
		want(t, w.deliver(), queue.Delivered, "2.0.0", "mx.test", "", false, "taken")
	}
	if s := w.courier.Stats(); s.Connections != 2 {
		t.Errorf("%+v", s)
	}
}

// A connection is only for messages under the same policy, to the same host.
func TestConnectionIsNotForOthers(t *testing.T) {
	a := smtptest.NewAuthority(t)
	w := newWorld(t, func(o *Options) { o.Roots = a.Pool })
	w.host("mx.test", "192.0.2.1", route.TLS{}, a, startTLS+underTLS+accepts+again+quit, startTLS+underTLS+accepts+quit)
	w.deliver()
	host := w.hosts["a.test"][0]
	host.TLS = sts
	w.hosts["b.test"] = []route.Host{host}
	o := w.courier.Deliver(t.Context(), queue.Destination{Domain: "b.test"}, newMessage("one"))[0]
	want(t, o, queue.Delivered, "2.0.0", "mx.test", "TLSv1.3 verified by MTA-STS", false, "taken")
	w.hosts["c.test"] = w.hosts["a.test"] // another domain with the same host
	o = w.courier.Deliver(t.Context(), queue.Destination{Domain: "c.test"}, newMessage("one"))[0]
	want(t, o, queue.Delivered, "2.0.0", "mx.test", "TLSv1.3", false, "taken")
}

// What proved a host for one domain does not for another, nor do records that changed; their order does not count.
func TestVerifiedConnectionIsNotForAnotherDomain(t *testing.T) {
	a := smtptest.NewAuthority(t)
	sum := sha256.Sum256(a.Certificate.Raw)
	anchor := route.TLSA{Usage: 2, Selector: 0, Matching: 1, Data: sum[:]}
	other := route.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: make([]byte, sha256.Size)}
	w := newWorld(t, func(o *Options) { o.Roots = x509.NewCertPool() })
	policy := func(domain string, records ...route.TLSA) {
		h := route.Host{Name: "mx.test", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Port: 25}
		h.TLS = route.TLS{Level: route.Verified, Source: "DANE", Names: []string{"mx.test", domain}, Records: records}
		w.hosts[domain] = []route.Host{h}
	}
	// The certificate is for a.test alone.
	s := smtptest.Serve(t, a.Server(false, "a.test"), startTLS+underTLS+accepts+again+quit, startTLS+"REFUSES", startTLS+"REFUSES")
	t.Cleanup(w.courier.Close)
	w.listeners["192.0.2.1:25"] = s.Addr
	policy("a.test", anchor, other)
	want(t, w.deliver(), queue.Delivered, "2.0.0", "mx.test", "TLSv1.3 verified by DANE", false, "taken")
	policy("b.test", anchor, other)
	o := w.courier.Deliver(t.Context(), queue.Destination{Domain: "b.test"}, newMessage("one"))[0]
	want(t, o, queue.Deferred, "4.7.5", "mx.test", "", true, "TLSA")
	policy("a.test", other)
	want(t, w.deliver(), queue.Deferred, "4.7.5", "mx.test", "", true, "TLSA")
	policy("a.test", other, anchor)
	want(t, w.deliver(), queue.Delivered, "2.0.0", "mx.test", "TLSv1.3 verified by DANE", false, "taken")
	if s := w.courier.Stats(); s.Connections != 1 || s.Reused != 1 {
		t.Errorf("%+v", s)
	}
}

func TestKeptConnectionsAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	n := 0
	fill := func(host string, connections int) {
		var kept []*session
		for range connections {
			n++
			address := fmt.Sprintf("192.0.2.%d:25", n)
			w.listen(address, "mx.test", nil, offers+quit)
			s, why := w.courier.connect(t.Context(), &target{key: key{host: host}, address: address})
			if why != nil {
				t.Fatal(why)
			}
			kept = append(kept, s)
		}
		for _, s := range kept {
			w.courier.pool.put(s)
		}
	}
	fill("one", maxIdleForOne+2)
	if got := w.courier.Stats().Idle; got != maxIdleForOne {
		t.Errorf("%d of one host are kept", got)
	}
	for i := range maxIdle / maxIdleForOne {
		fill(fmt.Sprint(i), maxIdleForOne)
	}
	if got := w.courier.Stats().Idle; got != maxIdle {
		t.Errorf("%d are kept", got)
	}
}

func TestNoneIsKeptAfterClose(t *testing.T) {
	w := newWorld(t, nil)
	w.host("mx.test", "192.0.2.1", route.TLS{}, nil, offers+accepts+quit, offers+accepts+"END")
	w.deliver()
	w.courier.Close()
	want(t, w.deliver(), queue.Delivered, "2.0.0", "mx.test", "", false, "taken")
	if s := w.courier.Stats(); s.Idle != 0 {
		t.Errorf("%+v", s)
	}
}
