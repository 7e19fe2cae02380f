package accept

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestPlaces(t *testing.T) {
	p := NewPlaces(3, 2)
	ann, beside, bob, carol := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for _, c := range []struct {
		from netip.Addr
		want string
	}{{ann, ""}, {beside, ""}, {ann, "too many connections from your address"}, {bob, ""}, {carol, "too many connections, try again later"}} {
		if got := p.Take(c.from); got != c.want {
			t.Errorf("%s: %q, want %q", c.from, got, c.want)
		}
	}
	p.Free(beside)
	if got := p.Take(ann); got != "" {
		t.Errorf("a place that was given back: %q", got)
	}
	for _, a := range []netip.Addr{ann, ann, bob} {
		p.Free(a)
	}
	if p.Taken() != 0 || len(p.clients) != 0 {
		t.Errorf("%d places of %v are taken by nobody", p.Taken(), p.clients)
	}
}

// TestEnding ends connections whose clients say nothing, or read nothing.
func TestEnding(t *testing.T) {
	for name, wait := range map[string]func(c *Conn) error{
		"reading": func(c *Conn) error { _, err := c.ReadBy(make([]byte, 1), time.Now().Add(time.Hour)); return err },
		"writing": func(c *Conn) error { _, err := c.Write(make([]byte, 1)); return err },
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			server, shutDown := context.WithCancel(t.Context())
			c := NewConn(theirs, time.Hour)
			work, end := c.Begin(server, 0, Goodbye{Code: "LATER", Text: "the server is shutting down"})
			defer end()
			go shutDown()
			var timeout net.Error
			if err := wait(c); !errors.Is(err, ErrEnding) && !(errors.As(err, &timeout) && timeout.Timeout()) {
				t.Errorf("ended with %v", err)
			}
			<-work.Done() // what runs is given up, after no time of grace here
			if g := c.Ending(); g == nil || g.Code != "LATER" || !g.Now {
				t.Errorf("the goodbye is %+v", g)
			}
			c.Close(true)
			if _, err := io.ReadAll(ours); err != nil {
				t.Errorf("the client heard %v", err)
			}
		})
	}
}
