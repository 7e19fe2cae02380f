package dns

import (
	"errors"
	"net"
	"testing"

	mdns "github.com/miekg/dns"
)

// serve answers TXT queries on a loopback port: records by name, NXDOMAIN for other names, SERVFAIL for "broken.".
func serve(t *testing.T, records map[string][]string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	srv := &mdns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, Handler: mdns.HandlerFunc(
		func(w mdns.ResponseWriter, q *mdns.Msg) {
			m := new(mdns.Msg).SetReply(q)
			name := q.Question[0].Name
			switch txt, ok := records[name]; {
			case name == "broken.":
				m.Rcode = mdns.RcodeServerFailure
			case !ok:
				m.Rcode = mdns.RcodeNameError
			default:
				m.Answer = append(m.Answer, &mdns.TXT{Hdr: mdns.RR_Header{Name: name, Rrtype: mdns.TypeTXT, Class: mdns.ClassINET, Ttl: 60}, Txt: txt})
			}
			_ = w.WriteMsg(m)
		})}
	done := make(chan error, 1)
	go func() { done <- srv.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := errors.Join(srv.Shutdown(), <-done); err != nil {
			t.Error(err)
		}
	})
	return conn.LocalAddr().String()
}

func TestLookupTXT(t *testing.T) {
	r := New(serve(t, map[string][]string{"_amazonses.example.com.": {"one half, ", "the other"}}))
	got, err := r.LookupTXT(t.Context(), "_amazonses.example.com")
	if err != nil || len(got) != 1 || got[0] != "one half, the other" {
		t.Errorf("LookupTXT = %q, %v; want the two strings of the record joined", got, err)
	}
	if _, err := r.LookupTXT(t.Context(), "absent.example.com"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an absent name: %v, want ErrNotFound", err)
	}
	if _, err := r.LookupTXT(t.Context(), "broken"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("a failing server: %v, want an error that is not ErrNotFound", err)
	}
}
