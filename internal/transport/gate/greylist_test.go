package gate

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

// rig is a greylist and who comes.
type rig struct {
	*Greylist
	t     *testing.T
	clock *clock.Fake
	spf   map[string]bool // by address and domain
}

func onBoth(t *testing.T, change func(*GreylistOptions), fn func(r *rig)) {
	dbtest.Run(t, slices.Concat(job.Migrations(), Migrations()), func(t *testing.T, d *db.DB) {
		r := &rig{t: t, clock: clock.NewFake(start), spf: map[string]bool{}}
		o := GreylistOptions{
			DB: d, Clock: r.clock, Log: quiet, Exempt: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
			SPF: func(_ context.Context, c mailauth.Client) bool { return r.spf[c.Address.String()+" "+c.From.Domain] },
		}
		if change != nil {
			change(&o)
		}
		r.Greylist = NewGreylist(o)
		fn(r)
	})
}

func address(text string) message.Address {
	a, _, err := message.ParsePath("<" + text + ">")
	if err != nil {
		panic(err)
	}
	return a
}

// comes has somebody come; want says whether the client passes.
func (r *rig) comes(client, from, to string, want bool) {
	r.t.Helper()
	err := r.Pass(mailauth.Client{Address: netip.MustParseAddr(client), Hello: "mx.example", From: address(from)})(r.t.Context(), address(to))
	if want != (err == nil) || !want && !fault.Is(err, fault.Temporary, fault.Client) {
		r.t.Errorf("%s from %s to %s: %v, want %v", client, from, to, err, want)
	}
}

func (r *rig) count(table string) (n int) {
	r.t.Helper()
	err := r.DB.Read(r.t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, map[string]string{"waiting": `SELECT COUNT(*) FROM greylist_waiting`, "known": `SELECT COUNT(*) FROM greylist_known`}[table]).Scan(&n)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

const (
	ann   = "ann@ours.example"
	bob   = "bob@ours.example"
	alice = "alice@theirs.example"
)

func TestWhoComesAgainIsKnown(t *testing.T) {
	onBoth(t, nil, func(r *rig) {
		r.comes("192.0.2.1", alice, ann, false)
		r.clock.Advance(putOff - time.Second)
		r.comes("192.0.2.1", alice, ann, false)
		r.comes("192.0.2.1", alice, bob, false) // another triplet
		r.clock.Advance(time.Second)
		r.comes("192.0.2.1", alice, bob, false)
		r.comes("192.0.2.77", "ALICE@theirs.example", ann, true) // by a neighbour of the same queue
		r.comes("192.0.2.1", alice, bob, true)                   // whoever passed is known
		r.comes("192.0.2.3", "", ann, true)
		r.comes("192.0.3.1", alice, ann, false) // elsewhere
		r.comes("2001:db8:0:1::1", "", ann, false)
		r.clock.Advance(within - time.Second)
		r.comes("2001:db8:0:1::2", "", ann, true)
		r.comes("2001:db8:0:2::2", "", ann, false)
		if got := r.Stats(); got != (GreylistStats{Deferred: 7, Returned: 2}) {
			t.Errorf("%+v", got)
		}
	})
}

func TestWhoComesTooLateIsPutOffAgain(t *testing.T) {
	onBoth(t, nil, func(r *rig) {
		r.comes("192.0.2.1", alice, ann, false)
		r.clock.Advance(within)
		r.comes("192.0.2.1", alice, ann, false)
		r.clock.Advance(putOff)
		r.comes("192.0.2.1", alice, ann, true)
	})
}

// Those whom nobody saw for 36 days are forgotten; who comes now and then is not, costs at most one write a day, and outlives a restart.
func TestTheKnownCostNothing(t *testing.T) {
	onBoth(t, nil, func(r *rig) {
		r.comes("192.0.2.1", alice, ann, false)
		r.clock.Advance(putOff)
		r.comes("192.0.2.1", alice, ann, true)
		for range 4 {
			before := r.DB.Stats()
			for range 100 {
				r.comes("192.0.2.1", alice, bob, true)
				r.clock.Advance(time.Minute)
			}
			if after := r.DB.Stats(); after.Functions != before.Functions || after.Reads > before.Reads+1 {
				t.Errorf("100 recipients cost %d writes and %d reads", after.Functions-before.Functions, after.Reads-before.Reads)
			}
			r.clock.Advance(35 * day)
			r.Greylist = NewGreylist(r.GreylistOptions) // as after a restart
			before = r.DB.Stats()
			r.comes("192.0.2.1", alice, bob, true)
			if after := r.DB.Stats(); after.Functions == before.Functions {
				t.Error("that it was seen was not written down")
			}
		}
		r.clock.Advance(keptFor)
		r.comes("192.0.2.1", alice, bob, false)
	})
}

// A domain from which mail came that SPF proved may send from elsewhere at once, if SPF permits that; others may not in its name.
func TestAKnownDomainMaySendFromElsewhere(t *testing.T) {
	onBoth(t, nil, func(r *rig) {
		r.spf["203.0.113.1 theirs.example"] = true
		r.comes("203.0.113.1", alice, ann, false) // SPF permits it, but nothing has come from there
		deliver := func(client, from string, spf dkim.Result) (something bool) {
			t.Helper()
			v := &mailauth.Verdict{Client: mailauth.Client{Address: netip.MustParseAddr(client), From: address(from)}, SPF: mailauth.Outcome{Result: spf}}
			do := r.Delivered(v)
			if do != nil {
				if err := r.DB.Write(t.Context(), do); err != nil {
					t.Fatal(err)
				}
			}
			return do != nil
		}
		for _, nothing := range []bool{
			deliver("192.0.2.1", alice, dkim.Fail), deliver("192.0.2.1", alice, dkim.None), deliver("192.0.2.1", "", dkim.Pass),
			deliver("198.51.100.1", alice, dkim.Pass), // a relay that is exempt passes on what anybody writes
		} {
			if nothing {
				t.Error("something was learned")
			}
		}
		if !deliver("192.0.2.1", alice, dkim.Pass) || deliver("192.0.2.1", alice, dkim.Pass) {
			t.Error("what SPF proves is learned once a day")
		}
		r.comes("203.0.113.1", alice, bob, true)
		r.comes("203.0.113.66", alice, "carl@ours.example", true) // a neighbour
		r.comes("203.0.114.66", alice, ann, false)
		r.comes("203.0.113.1", "x@other.example", ann, false)
		r.clock.Advance(day)
		if !deliver("192.0.2.1", alice, dkim.Pass) {
			t.Error("a day later nothing was learned")
		}
		r.comes("203.0.113.1", alice, bob, true)
		if got := r.Stats().Vouched; got != 2 {
			t.Errorf("vouched for %d times, want 2", got)
		}
	})
}

// What SPF says is looked up once for all recipients of a message: who is not permitted can't have this server ask for each.
func TestSPFIsAskedOnceForAMessage(t *testing.T) {
	onBoth(t, nil, func(r *rig) {
		asked := 0
		r.SPF = func(context.Context, mailauth.Client) bool { asked++; return false }
		known := &mailauth.Verdict{Client: mailauth.Client{Address: netip.MustParseAddr("192.0.2.1"), From: address(alice)}, SPF: mailauth.Outcome{Result: dkim.Pass}}
		if err := r.DB.Write(t.Context(), r.Delivered(known)); err != nil {
			t.Fatal(err)
		}
		for message := range 2 {
			pass := r.Pass(mailauth.Client{Address: netip.MustParseAddr("203.0.113.1"), From: address(alice)})
			for _, to := range []string{ann, bob, "carl@ours.example"} {
				if err := pass(t.Context(), address(to)); !fault.Is(err, fault.Temporary, fault.Client) {
					t.Errorf("to %s: %v", to, err)
				}
			}
			if asked != message+1 {
				t.Errorf("SPF was asked %d times for %d messages", asked, message+1)
			}
		}
	})
}

func TestThisMachineIsNotGreylisted(t *testing.T) {
	onBoth(t, nil, func(r *rig) {
		for _, client := range []string{"127.0.0.1", "::1", "198.51.100.9", "::ffff:198.51.100.9"} {
			r.comes(client, alice, ann, true)
		}
		if n := r.count("waiting"); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestPurge(t *testing.T) {
	onBoth(t, func(o *GreylistOptions) { o.Waiting, o.Known = 1000, 2 }, func(r *rig) {
		purge := func(waiting, known int) {
			t.Helper()
			if err := r.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			if w, k := r.count("waiting"), r.count("known"); w != waiting || k != known {
				t.Errorf("%d wait and %d are known, want %d and %d", w, k, waiting, known)
			}
		}
		for i := range 4 {
			client := netip.AddrFrom4([4]byte{192, 0, byte(i), 1}).String()
			r.comes(client, alice, ann, false)
			r.comes(client, alice, bob, false)
			r.clock.Advance(putOff)
			r.comes(client, alice, ann, true)
		}
		purge(4, 2)
		r.comes("192.0.3.1", alice, bob, true)
		r.comes("192.0.0.1", alice, "carl@ours.example", true) // still in memory, though its row had to go
		r.clock.Advance(within - 15*time.Minute)
		purge(2, 2)
		r.clock.Advance(keptFor)
		purge(0, 0)
		r.comes("192.0.2.1", alice, ann, false)
		r.Off = true
		purge(0, 0)
	})
}

// A flood of strangers fills no table, and does not stop the mail of others.
func TestAFloodOfStrangersIsLetIn(t *testing.T) {
	onBoth(t, func(o *GreylistOptions) { o.Waiting = 100 }, func(r *rig) {
		for i := range 50 {
			r.comes(netip.AddrFrom4([4]byte{192, 0, byte(i), 1}).String(), alice, ann, i >= 10)
		}
		if n := r.count("waiting"); n != 10 {
			t.Errorf("%d rows", n)
		}
		if err := r.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.comes("192.1.0.1", alice, ann, false)
	})
}

// The job that purges comes again as long as there is a greylist.
func TestPurgingGoesOn(t *testing.T) {
	dbtest.Bubble(t, slices.Concat(job.Migrations(), Migrations()), func(t *testing.T, d *db.DB) {
		l := NewGreylist(GreylistOptions{DB: d, Clock: clock.System{}, Log: quiet})
		runner := job.NewRunner(d, clock.System{}, quiet)
		l.Handle(runner)
		if err := l.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- runner.Run(ctx) }()
		client := mailauth.Client{Address: stranger, From: address(alice)}
		waiting := func() (n int) {
			err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				return tx.QueryRow(ctx, `SELECT COUNT(*) FROM greylist_waiting`).Scan(&n)
			})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if err := l.Pass(client)(t.Context(), address(ann)); err == nil || waiting() != 1 {
			t.Errorf("%v, %d wait", err, waiting())
		}
		time.Sleep(within + 2*purgeEvery)
		if n := waiting(); n != 0 {
			t.Errorf("%d wait two days later", n)
		}
		cancel()
		<-ended
	})
}
