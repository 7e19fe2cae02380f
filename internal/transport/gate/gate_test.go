package gate

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/netblock"
)

var (
	start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	quiet = slog.New(slog.DiscardHandler)

	stranger = netip.MustParseAddr("192.0.2.1")
	other    = netip.MustParseAddr("192.0.2.2")
	home     = netip.MustParseAddr("127.0.0.1")
)

func newGate(l Limits, change func(*Options)) (*Gate, *clock.Fake) {
	c := clock.NewFake(start)
	o := Options{Clock: c, Log: quiet, Limits: l, Exempt: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}
	if change != nil {
		change(&o)
	}
	return New(o), c
}

// in lets an address in.
func in(t *testing.T, g *Gate, from netip.Addr) *Visit {
	t.Helper()
	v, err := g.Admit(t.Context(), from)
	if err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	return v
}

// tooMuch checks a refusal.
func tooMuch(t *testing.T, err error, says string) {
	t.Helper()
	if !fault.Is(err, fault.Limit, fault.Client) || !strings.Contains(err.Error(), says) {
		t.Errorf("%v, want Limit Client and %q", err, says)
	}
}

func TestConnectionsOfAnAddressAtOnce(t *testing.T) {
	for _, c := range []struct{ first, same, another string }{
		{"192.0.2.1", "192.0.2.1", "192.0.2.2"},
		{"192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"},
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"},
		{"fe80::1%eth0", "fe80::1%eth1", "fe80:0:0:1::1%eth0"},
	} {
		g, _ := newGate(Limits{Connections: 2}, nil)
		same := netip.MustParseAddr(c.same)
		first := in(t, g, netip.MustParseAddr(c.first))
		in(t, g, same)
		_, err := g.Admit(t.Context(), same)
		tooMuch(t, err, "2 at once")
		in(t, g, netip.MustParseAddr(c.another))
		first.Close()
		in(t, g, same)
		if got := g.Stats().Refused["connections"]; got != 1 {
			t.Errorf("%s: %d refusals were counted", c.first, got)
		}
	}
}

func TestRatesOfAnAddress(t *testing.T) {
	g, now := newGate(Limits{Connects: 3, Messages: 3, Recipients: 3}, nil)
	for what, ask := range map[string]func(from netip.Addr) error{
		"connections": func(from netip.Addr) error {
			v, err := g.Admit(t.Context(), from)
			if err == nil {
				v.Close()
			}
			return err
		},
		"messages": func(from netip.Addr) error {
			return (&Visit{gate: g, client: client{network: netblock.Of(from)}}).Mail("")
		},
		"recipients": func(from netip.Addr) error {
			return (&Visit{gate: g, client: client{network: netblock.Of(from)}}).Recipient("")
		},
	} {
		for range 3 {
			if err := ask(stranger); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		tooMuch(t, ask(stranger), "too many "+what)
		if err := ask(other); err != nil {
			t.Errorf("%s of another: %v", what, err)
		}
		now.Advance(20 * time.Second) // a third of the minute
		if err := ask(stranger); err != nil {
			t.Errorf("%s later: %v", what, err)
		}
		tooMuch(t, ask(stranger), "3 a minute")
		now.Advance(time.Hour)
	}
}

// In any stretch of time no more passes than what may be had at once and what comes in evenly meanwhile.
func TestRateHolds(t *testing.T) {
	var r rate
	now, passed := start, 0
	for i := range 10_000 {
		if r.take(now, 60) {
			passed++
		}
		now = now.Add(time.Duration(i%7) * 10 * time.Millisecond)
	}
	if most := 60 + int(now.Sub(start)/time.Second); passed > most || passed < most-2 {
		t.Errorf("%d passed in %s, want %d", passed, now.Sub(start), most)
	}
}

func TestUsersAreHeldWhereverTheyAre(t *testing.T) {
	g, now := newGate(Limits{Messages: 100, UserMessages: 1, UserRecipients: 2}, nil)
	for _, from := range []netip.Addr{home, stranger} {
		v := in(t, g, from)
		if err := v.Mail("ann"); err != nil {
			t.Fatal(err)
		}
		tooMuch(t, in(t, g, other).Mail("ann"), "too many messages of yours: 1 a minute")
		if err := v.Mail("bob"); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := v.Recipient("ann"); err != nil {
				t.Error(err)
			}
		}
		tooMuch(t, v.Recipient("ann"), "too many recipients of yours: 2 a minute")
		if err := v.Answered(t.Context(), "ann", unknown); err != nil {
			t.Error(err)
		}
		now.Advance(time.Minute)
	}
	if d := g.Stats().Delayed; d != 0 {
		t.Errorf("%d answers to users took time", d)
	}
}

// Nor is who has no address: its connection is no network's.
func TestThisMachineAndExemptNetworksAreNotHeld(t *testing.T) {
	g, _ := newGate(Limits{Connections: 1, Connects: 1, Messages: 1, Recipients: 1, Tarpitted: 1}, func(o *Options) {
		o.Quiet, o.Lists, o.Resolver = time.Hour, []List{{"bl.example", true}}, nil
	})
	for _, from := range []netip.Addr{home, netip.MustParseAddr("::1"), netip.MustParseAddr("::ffff:127.9.9.9"), netip.MustParseAddr("198.51.100.7"), {}} {
		for range 5 {
			v := in(t, g, from)
			if err := v.Mail(""); err != nil {
				t.Error(err)
			}
			if err := v.Recipient(""); err != nil {
				t.Error(err)
			}
			if err := v.Answered(t.Context(), "", unknown); err != nil || v.Quiet() != 0 || v.Listed() != nil {
				t.Errorf("%s: %v, quiet %s, listed %v", from, err, v.Quiet(), v.Listed())
			}
		}
	}
	if s := g.Stats(); s.Clients != 0 || s.Delayed != 0 {
		t.Errorf("%+v", s)
	}
}

func TestWithoutLimitsNothingIsRefused(t *testing.T) {
	g, _ := newGate(Limits{}, nil)
	for range 1000 {
		v := in(t, g, stranger)
		if v.Mail("") != nil || v.Recipient("") != nil || v.Mail("ann") != nil || v.Recipient("ann") != nil {
			t.Fatal("refused")
		}
	}
}

var unknown = fault.New(fault.NotFound, fault.Address, "nobody has the address")

// Each refused recipient takes a second longer than the one before, over all connections of the address, and each minute forgives one.
func TestGuessingAddressesTakesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{Clock: clock.System{}, Log: quiet})
		answered := func(v *Visit, err error) int {
			t.Helper()
			begun := time.Now()
			if err := v.Answered(t.Context(), "", err); err != nil {
				t.Fatal(err)
			}
			return int(time.Since(begun) / time.Second)
		}
		for i := range 12 {
			if got, want := answered(in(t, g, stranger), unknown), min(i+1, 10); got != want {
				t.Errorf("refused recipient %d took %d seconds, want %d", i+1, got, want)
			}
		}
		v := in(t, g, stranger)
		for name, err := range map[string]error{
			"taken": nil, "full": fault.New(fault.OverQuota, fault.Mailbox, "x"), "greylisted": fault.New(fault.Temporary, fault.Client, "x"),
			"broken": context.DeadlineExceeded,
		} {
			if got := answered(v, err); got != 0 {
				t.Errorf("%s took %d seconds", name, got)
			}
		}
		if got := answered(in(t, g, other), fault.New(fault.Denied, fault.Address, "not relayed")); got != 1 {
			t.Errorf("another's first took %d seconds", got)
		}
		time.Sleep(5 * time.Minute)
		if got := answered(v, unknown); got < 5 || got > 6 {
			t.Errorf("after 5 minutes it took %d seconds", got)
		}
		time.Sleep(time.Hour)
		if got := answered(v, unknown); got != 1 {
			t.Errorf("after an hour it took %d seconds", got)
		}
		if s := g.Stats(); s.Tarpitted != 0 || s.Delayed != 15 {
			t.Errorf("%+v", s)
		}
	})
}

// Nobody holds more than a tenth of the places, and who asks for few names does not pay for those who hold them all.
func TestTarpitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{Clock: clock.System{}, Log: quiet, Limits: Limits{Tarpitted: 20}})
		held := func() {
			t.Helper()
			synctest.Wait()
			if got := g.Stats().Tarpitted; got != 20 {
				t.Fatalf("%d are held up", got)
			}
		}
		for i := range 10 {
			guesser := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
			for range 2 {
				v := in(t, g, guesser)
				go func() {
					if err := v.Answered(t.Context(), "", unknown); err != nil {
						t.Error(err)
					}
				}()
			}
			synctest.Wait()
			tooMuch(t, in(t, g, guesser).Answered(t.Context(), "", unknown), "too many recipients were refused")
		}
		held()
		honest := in(t, g, other)
		begun := time.Now()
		for range 3 {
			if err := honest.Answered(t.Context(), "", unknown); err != nil || time.Since(begun) != 0 {
				t.Errorf("one who asks for few names: %v after %s", err, time.Since(begun))
			}
		}
		tooMuch(t, honest.Answered(t.Context(), "", unknown), "too many recipients were refused")
		held()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if err := in(t, g, netip.AddrFrom4([4]byte{203, 0, 113, 0})).Answered(t.Context(), "", unknown); err != nil || time.Since(begun) < 6*time.Second {
			t.Errorf("once places are free: %v after %s", err, time.Since(begun))
		}
		if s := g.Stats(); s.Tarpitted != 0 || s.Delayed != 21 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTarpitEndsWithTheSession(t *testing.T) {
	g, _ := newGate(Limits{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := in(t, g, stranger).Answered(ctx, "", unknown); err != nil || g.Stats().Tarpitted != 0 {
		t.Errorf("%v, %+v", err, g.Stats())
	}
}

// Whoever comes from ever new addresses fills no memory, and does not push out who is connected.
func TestMemoryOfAddressesIsBounded(t *testing.T) {
	g, _ := newGate(Limits{Connections: 1, Addresses: 100}, nil)
	in(t, g, stranger)
	for i := range 10_000 {
		in(t, g, netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::1", i))).Close()
	}
	if n := g.Stats().Clients; n != 100 {
		t.Errorf("%d addresses are remembered", n)
	}
	_, err := g.Admit(t.Context(), stranger)
	tooMuch(t, err, "1 at once")
}

func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{Clock: clock.System{}, Log: quiet, Quiet: time.Second})
		v := in(t, g, stranger)
		time.Sleep(300 * time.Millisecond)
		if got := v.Quiet(); got != 700*time.Millisecond {
			t.Errorf("%s are left", got)
		}
		time.Sleep(time.Minute) // DNS took long: one look at what came is due all the same
		if got := v.Quiet(); got != time.Millisecond {
			t.Errorf("%s are left", got)
		}
		if err := v.Spoke(); !fault.Is(err, fault.Denied, fault.Client) || g.Stats().Refused["early_talker"] != 1 {
			t.Errorf("%v, %+v", err, g.Stats())
		}
	})
}
