package courier_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/smtp"
	"github.com/pennypost/pennypost/internal/smtpclient/smtptest"
	"github.com/pennypost/pennypost/internal/transport/courier"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/route"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// to is a route to one host.
type to []route.Host

func (r to) Hosts(context.Context, string) ([]route.Host, error) { return r, nil }

// TestToOurOwnServer delivers over verified TLS to the SMTP server of this project, from several goroutines at once: what arrives is
// what was sent, once.
func TestToOurOwnServer(t *testing.T) {
	w := transporttest.OnSQLite(t)
	ann := w.User("ann")
	w.SetQuota(ann, 1<<30)
	authority := smtptest.NewAuthority(t)
	server := smtp.New(smtp.Config{
		Hostname: "mx.acme.test", Begin: smtp.Over(w.Transport), Clock: w.Clock, Log: slog.New(slog.DiscardHandler),
		TLS: authority.Server(false, "mx.acme.test"), SpoolDir: t.TempDir(),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.Must(err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l, false) }()
	at := netip.MustParseAddrPort(l.Addr().String())
	c, err := courier.New(courier.Options{
		Routes: to{{
			Name: "mx.acme.test", Addresses: []netip.Addr{at.Addr()}, Port: at.Port(),
			TLS: route.TLS{Level: route.Verified, Source: "MTA-STS", Names: []string{"mx.acme.test"}},
		}},
		Dialer: dial.New(nil, []netip.Prefix{netip.PrefixFrom(at.Addr(), 32)}), Hello: "out.test", Roots: authority.Pool, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
	})
	w.Must(err)

	const senders, each = 4, 6
	var sent []string
	for i := range senders * each {
		sent = append(sent, fmt.Sprintf("From: a@b.test\r\nSubject: %d\r\n\r\n.\r\n..%s\r\n.", i, strings.Repeat("line\r\n.", i*i*50))+"\r\n")
	}
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for _, text := range sent[i*each : (i+1)*each] {
				m := &queue.Message{
					Envelope:   queue.Envelope{From: message.Address{Local: "sender", Domain: "b.test"}},
					Recipients: []queue.Recipient{{Address: message.Address{Local: "ann", Domain: "acme.awsapps.com"}}, {Address: message.Address{Local: "nobody", Domain: "acme.awsapps.com"}}},
					Body:       strings.NewReader(text), Size: int64(len(text)),
				}
				out := c.Deliver(t.Context(), queue.Destination{Domain: "acme.awsapps.com"}, m)
				if o := out[0]; o.Result != queue.Delivered || o.Host != "mx.acme.test" || o.TLS != "TLSv1.3 verified by MTA-STS" {
					t.Errorf("ann: %+v", o)
				}
				if o := out[1]; o.Result != queue.Failed || o.Status != "5.1.1" {
					t.Errorf("nobody: %+v", o)
				}
			}
		})
	}
	wg.Wait()
	if s := c.Stats(); s.Connections > senders || s.Delivered != senders*each || s.Failed != senders*each || s.Reused+s.Connections != senders*each {
		t.Errorf("%+v", s)
	}
	c.Close()
	var got []string
	for _, m := range w.Inbox(ann) {
		_, text, _ := strings.Cut(m.Text, "+0000\r\n")
		got = append(got, text)
	}
	slices.Sort(got)
	slices.Sort(sent)
	if !slices.Equal(got, sent) {
		t.Errorf("%d messages were sent, and these %d arrived: %.300q", len(sent), len(got), got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.Must(server.Shutdown(ctx))
	w.Must(<-served)
}
