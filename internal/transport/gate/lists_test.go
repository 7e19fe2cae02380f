package gate

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/internal/fault"
)

func TestDNSLists(t *testing.T) {
	d := dnstest.New(t)
	d.Add(
		"1.2.0.192.bl.example. 60 IN A 127.0.0.2", `1.2.0.192.bl.example. 60 IN TXT "see https://bl.example/192.0.2.1"`,
		"2.2.0.192.junk.example. 60 IN A 127.0.0.10",
		"3.2.0.192.bl.example. 60 IN A 127.255.255.254", // asked through a public resolver
		"4.2.0.192.bl.example. 60 IN A 127.0.0.1",
		"5.2.0.192.bl.example. 60 IN A 203.0.113.5", // of a resolver that answers for names that don't exist
		"6.2.0.192.bl.example. 60 IN A 127.0.0.2", "6.2.0.192.bl.example. 60 IN A 127.255.255.255",
		"7.2.0.192.bl.example. 60 IN A 127.0.0.3", "7.2.0.192.junk.example. 60 IN A 127.0.0.3",
		"2.0.0.10.bl.example. 60 IN A 127.0.0.2",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example. 60 IN A 127.0.0.2",
	)
	d.Fail("8.2.0.192.bl.example", mdns.TypeA, mdns.RcodeServerFailure)
	g, now := newGate(Limits{}, func(o *Options) {
		o.Resolver, o.Lists = dns.New(d.Address), []List{{"bl.example", true}, {"junk.example", false}}
	})
	for from, want := range map[string]struct{ refusal, listed string }{
		"192.0.2.1":   {"192.0.2.1 is on the list bl.example: see https://bl.example/192.0.2.1", ""},
		"192.0.2.2":   {"", "junk.example"},
		"192.0.2.3":   {},
		"192.0.2.4":   {},
		"192.0.2.5":   {},
		"192.0.2.6":   {},
		"192.0.2.7":   {"192.0.2.7 is on the list bl.example", "junk.example"},
		"192.0.2.8":   {},
		"192.0.2.9":   {},
		"10.0.0.2":    {}, // not asked
		"2001:db8::1": {"2001:db8::1 is on the list bl.example", ""},
	} {
		v := in(t, g, netip.MustParseAddr(from))
		err := v.Recipient("")
		switch {
		case want.refusal == "" && err == nil:
		case !fault.Is(err, fault.Denied, fault.Client) || err.Error() != want.refusal:
			t.Errorf("%s: %v, want %q", from, err, want.refusal)
		}
		if got := strings.Join(v.Listed(), " "); got != want.listed {
			t.Errorf("%s is listed by %q, want %q", from, got, want.listed)
		}
	}
	if n := d.Asked("2.0.0.10.bl.example", mdns.TypeA); n != 0 {
		t.Errorf("a private address was asked for %d times", n)
	}
	want := []ListStats{{"bl.example", 3, 3, 4}, {"junk.example", 2, 8, 0}}
	if got := g.Stats().Lists; !slices.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	// What was answered is remembered for some minutes, a failure is not.
	in(t, g, stranger)
	in(t, g, netip.MustParseAddr("192.0.2.8"))
	if a, b := d.Asked("1.2.0.192.bl.example", mdns.TypeA), d.Asked("8.2.0.192.bl.example", mdns.TypeA); a != 1 || b != 2 {
		t.Errorf("asked %d and %d times, want 1 and 2", a, b)
	}
	now.Advance(lookUpKept)
	in(t, g, stranger)
	if n := d.Asked("1.2.0.192.bl.example", mdns.TypeA); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

// silence is DNS that does not answer.
type silence struct{ asked chan string }

func (s silence) LookupIPv4(ctx context.Context, name string) (a dns.Answer[netip.Addr], err error) {
	s.asked <- name
	<-ctx.Done()
	return a, ctx.Err()
}

func (silence) LookupTXT(context.Context, string) ([]string, error) {
	return nil, errors.New("not reached")
}

// A client waits five seconds for all lists together, and is let in then.
func TestSilentDNSListsHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := silence{make(chan string, 2)}
		g := New(Options{Clock: clock.System{}, Log: quiet, Resolver: s, Lists: []List{{"a.example", true}, {"b.example", false}}})
		begun := time.Now()
		v := in(t, g, stranger)
		if err := v.Recipient(""); err != nil || v.Listed() != nil || time.Since(begun) != lookUpTime || len(s.asked) != 2 {
			t.Errorf("%v, listed %v, after %s, %d were asked", err, v.Listed(), time.Since(begun), len(s.asked))
		}
	})
}

// The examples of RFC 5782 sections 2.1 and 2.4.
func TestListName(t *testing.T) {
	for _, c := range []struct{ address, zone, want string }{
		{"192.0.2.99", "bad.example.com", "99.2.0.192.bad.example.com"},
		{"2001:db8:1:2:3:4:567:89ab", "ugly.example.com", "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ugly.example.com"},
	} {
		if got, err := listName(netip.MustParseAddr(c.address), c.zone); got != c.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", c.address, got, err, c.want)
		}
	}
}
