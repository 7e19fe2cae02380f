package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
)

func TestDeliveredMessagesVanish(t *testing.T) {
	bubble(t, Limits{Inline: 100}, func(t *testing.T, r *rig) {
		large := strings.Repeat("large ", 100)
		r.send("small", to("a@x.example", "b@x.example", "c@y.example"))
		r.send(large, to("d@x.example"))
		r.start()
		r.pass(0)
		slices.SortFunc(r.offers, func(a, b offer) int { return strings.Compare(strings.Join(a.who, " "), strings.Join(b.who, " ")) })
		var got []string
		for _, o := range r.offers {
			got = append(got, fmt.Sprint(o.to.Domain, o.who, len(o.body)))
		}
		want := []string{"x.example[a@x.example b@x.example] 5", "y.example[c@y.example] 5", "x.example[d@x.example] 600"}
		if !slices.Equal(got, want) {
			t.Errorf("offered %q, want %q", got, want)
		}
		r.pass(time.Second)
		r.empty()
		if got, want := r.kinds("t"), "1 1 1 1 3 3 3 3"; got != want {
			t.Errorf("events %s, want %s", got, want)
		}
		if s := r.Stats(); s.Queued != 4 || s.Delivered != 4 || s.Running != 0 {
			t.Errorf("counts %+v", s)
		}
		if len(r.notices) != 0 {
			t.Errorf("told %+v", r.notices)
		}
	})
}

func TestRetriesFollowTheScheduleUntilExpiry(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		r.outcome = func(Destination, *Message, Recipient) Outcome { return deferred(Outcome{Host: "mx"}) }
		began := time.Now()
		r.start()
		r.send("x", to("a@x.example"))
		r.pass(6 * 24 * time.Hour)
		r.empty()
		want := time.Minute
		for i := 1; i < len(r.offers); i++ {
			gap := r.offers[i].at.Sub(r.offers[i-1].at)
			if gap > want || gap < want*4/5 {
				t.Errorf("attempt %d came after %v, want at most %v and four fifths of it at least", i+1, gap, want)
			}
			want = min(want*2, 4*time.Hour)
		}
		if n := len(r.offers); n < 36 || n > 48 {
			t.Errorf("%d attempts in five days", n)
		}
		if len(r.notices) != 2 {
			t.Fatalf("told %d times: %+v", len(r.notices), r.notices)
		}
		late, over := r.notices[0], r.notices[1]
		if since := late.at.Sub(began); late.reports[0].Action != ActionDelayed || since < 4*time.Hour || since > 4*time.Hour+10*time.Second {
			t.Errorf("of the delay after %v: %+v", since, late)
		}
		if !late.reports[0].Until.Equal(began.Add(5 * 24 * time.Hour)) {
			t.Errorf("attempts are said to end at %v", late.reports[0].Until)
		}
		if since := over.at.Sub(began); over.reports[0].Action != ActionFailed || since < 120*time.Hour || since > 120*time.Hour+10*time.Second {
			t.Errorf("of the end after %v: %+v", since, over)
		}
		if o := over.reports[0].Outcome; o.Status != "4.2.0" || o.Reply != "450 later" || o.Host != "mx" || over.reports[0].Tried.IsZero() {
			t.Errorf("the last attempt is told as %+v", over.reports[0])
		}
	})
}

func TestADestinationThatIsDownCostsOneAttempt(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		dead := true
		r.outcome = func(to Destination, _ *Message, _ Recipient) Outcome {
			if to.Domain == "dead.example" && dead {
				return down()
			}
			return Outcome{Result: Delivered}
		}
		for i := range 50 {
			r.sendAs(Envelope{Organization: int64(1 + i%2), From: addr("ann@here.example")}, "x", to(fmt.Sprintf("u%d@dead.example", i)))
			r.send("x", to(fmt.Sprintf("u%d@live.example", i)))
		}
		r.start()
		r.pass(time.Second)
		tried := func() (n int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, o := range r.offers {
				if o.to.Domain == "dead.example" {
					n++
				}
			}
			return n
		}
		if n := tried(); n != 1 {
			t.Errorf("%d attempts at a destination that is down", n)
		}
		if waiting, _, _, err := r.Depth(t.Context()); err != nil || waiting != 50 {
			t.Errorf("%d wait, %v", waiting, err)
		}
		// Mail that comes now waits too, whoever's it is.
		r.sendAs(Envelope{Organization: 9, From: addr("ann@here.example")}, "x", to("new@dead.example"))
		r.pass(10 * time.Second)
		if n := tried(); n != 1 {
			t.Errorf("%d attempts after new mail", n)
		}
		r.pass(time.Hour)
		if n := tried(); n < 5 || n > 8 {
			t.Errorf("%d attempts in an hour", n)
		}
		list, _, err := r.List(t.Context(), Filter{Organization: 9}, Cursor{}, 10)
		r.ok(err)
		if len(list) != 1 || list[0].Reply != "no answer" || !list[0].Due.After(time.Now()) {
			t.Errorf("an entry that was not tried itself: %+v", list)
		}
		dead = false
		n, err := r.Retry(t.Context(), Filter{Recipient: "NEW@dead.example"})
		r.ok(err)
		r.pass(5 * time.Second)
		if n != 1 {
			t.Errorf("retried %d", n)
		}
		if waiting, _, _, _ := r.Depth(t.Context()); waiting > 8 { // those that were tried have times of their own
			t.Errorf("%d wait after the destination came back", waiting)
		}
		r.pass(4 * time.Hour)
		r.empty()
	})
}

// A look that began before it was written down that a destination is down lets its lane in.
func TestAStaleLookAttemptsNothing(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		a := &attempt{site: &site{to: Destination{Domain: "x.example"}}}
		a.m = r.send("x", to("a@x.example"))
		r.ok(r.DB.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			if err := tx.QueryRow(ctx, "SELECT id FROM queue_destination").Scan(&a.lane); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, holdLanesBack, "", "x.example", time.Now().Add(time.Minute).UnixMicro(), 1, "", "", "")
			return err
		}))
		if c, err := r.claim(t.Context(), a); err != nil || len(c.deliveries) != 0 {
			t.Errorf("claimed %+v, %v", c, err)
		}
	})
}

func TestMailDoesNotWaitForManyDeadDestinations(t *testing.T) {
	bubble(t, Limits{Connections: 8, Organization: 8, LastRetry: time.Minute}, func(t *testing.T, r *rig) {
		r.Courier = courierFunc(func(ctx context.Context, to Destination, m *Message) []Outcome {
			if strings.HasPrefix(to.Domain, "dead") {
				_ = r.Clock.Sleep(ctx, 2*time.Minute) // nobody answers
				return []Outcome{down()}
			}
			return r.Deliver(ctx, to, m)
		})
		r.start()
		for i := range 30 {
			r.send("x", to(fmt.Sprintf("a@dead%d.example", i)))
		}
		r.pass(20 * time.Minute) // by now they are known, and due again as soon as they were tried
		for i := range 5 {
			r.send("x", to(fmt.Sprintf("a@live%d.example", i)))
			r.pass(time.Second)
			if n := len(r.offers); n != i+1 {
				t.Errorf("%d of %d were delivered in a second", n, i+1)
			}
		}
		if n := r.Stats().Running; n != 4 {
			t.Errorf("%d probes run, want half of the workers", n)
		}
	})
}

func TestWhatSendersAreTold(t *testing.T) {
	good := Outcome{Result: Delivered}
	tells := Outcome{Result: Delivered, Tells: true}
	for name, c := range map[string]struct {
		notify Notify
		o      Outcome
		null   bool
		want   string // actions, in order
	}{
		"unsaid, delivered":         {0, good, false, ""},
		"unsaid, failed":            {0, refused(), false, "0"},
		"unsaid, late and over":     {0, deferred(Outcome{}), false, "1 0"},
		"success, relayed":          {OnSuccess, good, false, "3"},
		"success, the next tells":   {OnSuccess, tells, false, ""},
		"success, failed":           {OnSuccess, refused(), false, ""},
		"success, late and over":    {OnSuccess, deferred(Outcome{}), false, ""},
		"failure, failed":           {OnFailure, refused(), false, "0"},
		"failure, late and over":    {OnFailure, deferred(Outcome{}), false, "0"},
		"delay, late and over":      {OnDelay, deferred(Outcome{}), false, "1"},
		"all, late and over":        {OnSuccess | OnFailure | OnDelay, deferred(Outcome{}), false, "1 0"},
		"never, failed":             {Never, refused(), false, ""},
		"never, late and over":      {Never, deferred(Outcome{}), false, ""},
		"null path, failed":         {0, refused(), true, ""},
		"null path, late and over":  {0, deferred(Outcome{}), true, ""},
		"null path, asked, relayed": {OnSuccess, good, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Limits{Expiry: 8 * time.Hour}, func(t *testing.T, r *rig) {
				r.outcome = func(Destination, *Message, Recipient) Outcome { return c.o }
				e := Envelope{Organization: 1, From: addr("ann@here.example")}
				if c.null {
					e.From = addr("")
				}
				r.start()
				r.sendAs(e, "x", []Recipient{{Address: addr("a@x.example"), Notify: c.notify, Original: "rfc822;a@x.example"}})
				r.pass(9 * time.Hour)
				r.empty()
				var got []string
				for _, n := range r.notices {
					for _, p := range n.reports {
						got = append(got, fmt.Sprint(p.Action))
						if p.Recipient.Original != "rfc822;a@x.example" || p.Recipient.Notify != c.notify || n.to != "ann@here.example" || n.body != "x" {
							t.Errorf("told %+v", n)
						}
					}
				}
				if strings.Join(got, " ") != c.want {
					t.Errorf("told %q, want %q", got, c.want)
				}
			})
		})
	}
}

func TestReportsOfAMessageGoTogetherAndAreToldOnce(t *testing.T) {
	bubble(t, Limits{Inline: 1}, func(t *testing.T, r *rig) {
		r.outcome = func(Destination, *Message, Recipient) Outcome { return refused() }
		r.tellFails = 3
		r.start()
		r.send("hello", to("a@x.example", "b@y.example", "c@z.example"))
		r.pass(20 * time.Minute)
		r.empty()
		if len(r.notices) != 1 || len(r.notices[0].reports) != 3 || r.notices[0].body != "hello" {
			t.Errorf("told %+v", r.notices)
		}
		if got, want := r.kinds("t"), "1 1 1 4 4 4 10 10 10"; got != want {
			t.Errorf("events %s, want %s", got, want)
		}
	})
}

func TestHoldReleaseAndDrop(t *testing.T) {
	bubble(t, Limits{Expiry: 8 * time.Hour}, func(t *testing.T, r *rig) {
		ctx := t.Context()
		held, yes := r.send("x", to("a@x.example", "b@x.example")), true
		gone := r.send("y", to("c@x.example", "d@y.example"))
		n, err := r.Hold(ctx, Filter{Message: held})
		r.ok(err)
		again, err := r.Hold(ctx, Filter{From: "ANN@HERE.example", Message: held})
		r.ok(err)
		dropped, err := r.Drop(ctx, Filter{Message: gone, Recipient: "c@x.example"}, false)
		r.ok(err)
		bounced, err := r.Drop(ctx, Filter{Message: gone, Domain: "Y.example"}, true)
		r.ok(err)
		if n != 2 || again != 0 || dropped != 1 || bounced != 1 {
			t.Errorf("held %d, again %d, dropped %d and %d", n, again, dropped, bounced)
		}
		r.start()
		r.pass(24 * time.Hour)
		if len(r.offers) != 0 || len(r.notices) != 1 || r.notices[0].reports[0].Action != ActionFailed {
			t.Errorf("offered %v, told %+v", r.offers, r.notices)
		}
		list, next, err := r.List(ctx, Filter{Held: &yes}, Cursor{}, 1)
		r.ok(err)
		if len(list) != 1 || next == (Cursor{}) || list[0].Recipient != "a@x.example" || !list[0].Held || list[0].From != "ann@here.example" {
			t.Errorf("listed %+v, %v", list, next)
		}
		list, next, err = r.List(ctx, Filter{Trace: "t"}, next, 1)
		r.ok(err)
		if len(list) != 1 || next != (Cursor{}) || list[0].Recipient != "b@x.example" {
			t.Errorf("listed %+v, %v", list, next)
		}
		if waiting, heldN, _, err := r.Depth(ctx); err != nil || waiting != 0 || heldN != 2 {
			t.Errorf("%d wait, %d held, %v", waiting, heldN, err)
		}
		r.sound()
		// Its time is over, but who releases it wants it tried.
		r.outcome = func(_ Destination, _ *Message, to Recipient) Outcome {
			if to.Address.Local == "a" {
				return deferred(Outcome{})
			}
			return Outcome{Result: Delivered}
		}
		if n, err := r.Release(ctx, Filter{Message: held}); n != 2 || err != nil {
			t.Errorf("released %d, %v", n, err)
		}
		r.pass(59 * time.Minute)
		if len(r.offers) < 5 || r.count("queue_delivery") != 1 {
			t.Errorf("%d offers, %d recipients wait", len(r.offers), r.count("queue_delivery"))
		}
		r.pass(2 * time.Minute)
		if got, want := r.Stats(), uint64(1); got.Delivered != want || got.Expired != want {
			t.Errorf("counts %+v", got)
		}
		r.empty()
	})
}

// TestPartsAreOneMessage, whether it is small or large.
func TestPartsAreOneMessage(t *testing.T) {
	bubble(t, Limits{Inline: 9}, func(t *testing.T, r *rig) {
		for _, parts := range [][]string{{"", "in", "line"}, {"in ", "", "a file", "."}} {
			var pieces [][]byte
			for _, part := range parts {
				pieces = append(pieces, []byte(part))
			}
			p, err := r.Prepare(t.Context(), pieces...)
			r.ok(err)
			want := strings.Join(parts, "")
			body, err := r.open(t.Context(), &stock{ref: p.ref, data: p.data})
			r.ok(err)
			got, err := io.ReadAll(io.NewSectionReader(body, 0, p.Size()+1))
			if err != nil || string(got) != want || (p.ref == "") != (len(want) < 9) {
				t.Errorf("%q is %q, %v, in %q", parts, got, err, p.ref)
			}
			r.ok(body.Close())
			p.Discard(t.Context())
		}
	})
}

func TestWhatIsRolledBackIsNotQueuedAndDiscarded(t *testing.T) {
	bubble(t, Limits{Inline: 1}, func(t *testing.T, r *rig) {
		r.start()
		boom := errors.New("boom")
		p, err := r.Prepare(t.Context(), []byte("large"))
		r.ok(err)
		err = r.DB.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			if _, err := r.EnqueueTx(ctx, tx, p, Envelope{}, to("a@x.example")); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		p.Discard(t.Context())
		r.pass(time.Minute)
		r.empty()
		if len(r.offers) != 0 {
			t.Errorf("offered %v", r.offers)
		}
		err = r.DB.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := r.EnqueueTx(ctx, tx, p, Envelope{}, to("a@x.example"))
			return err
		})
		if fault.KindOf(err) != fault.Internal {
			t.Errorf("what was discarded is queued: %v", err)
		}
	})
}

func TestUploadsOfAnEarlierLifeAreRemovedAtTheStart(t *testing.T) {
	bubble(t, Limits{Inline: 1}, func(t *testing.T, r *rig) {
		_, err := r.Prepare(t.Context(), []byte("left behind")) // and then the server was killed
		r.ok(err)
		r.send("kept", to("a@x.example"))
		next := newRig(t, r.DB, Limits{Inline: 1})
		next.blobs = r.blobs
		next.Blobs = r.blobs
		fresh, err := next.Prepare(t.Context(), []byte("on its way in"))
		r.ok(err)
		next.outcome = func(Destination, *Message, Recipient) Outcome { return deferred(Outcome{}) }
		next.start()
		next.pass(time.Second)
		if n := len(r.blobs.m); n != 2 {
			t.Errorf("%d bodies are there, want that of the message and that of this life", n)
		}
		fresh.Discard(t.Context())
		_, err = next.Drop(t.Context(), Filter{}, false)
		r.ok(err)
		next.pass(time.Second)
		next.stop()
		next.empty()
	})
}

func TestLargeListsGoInParts(t *testing.T) {
	bubble(t, Limits{Recipients: 7}, func(t *testing.T, r *rig) {
		var all []string
		for i := range 50 {
			all = append(all, fmt.Sprintf("u%d@x.example", i))
		}
		r.start()
		r.send("x", to(all...))
		r.pass(time.Second)
		r.empty()
		var got []string
		for _, o := range r.offers {
			if len(o.who) > 7 {
				t.Errorf("%d recipients in one attempt", len(o.who))
			}
			got = append(got, o.who...)
		}
		if !slices.Equal(got, all) {
			t.Errorf("offered to %v", got)
		}
	})
}

func TestHistoryIsForgotten(t *testing.T) {
	bubble(t, Limits{History: 24 * time.Hour}, func(t *testing.T, r *rig) {
		r.start()
		r.send("x", to("a@x.example"))
		r.pass(23 * time.Hour)
		if got := r.kinds("t"); got != "1 3" {
			t.Errorf("events %s", got)
		}
		r.pass(3 * time.Hour)
		if _, err := r.Trace(t.Context(), 1, "t"); !fault.Is(err, fault.NotFound, fault.Message) {
			t.Errorf("after a day: %v", err)
		}
	})
}

func TestNothingForeignBreaksTheTables(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		odd := "\x00\xff" + strings.Repeat("é", 2000)
		n := 0
		r.outcome = func(Destination, *Message, Recipient) Outcome {
			if n++; n == 1 {
				return Outcome{Status: odd, Reply: odd, Host: odd, TLS: odd}
			}
			return Outcome{Result: Failed, Status: odd, Reply: odd, Host: odd, TLS: odd}
		}
		r.start()
		e := Envelope{Organization: 1, Trace: "t", From: addr(`a@b@here.example`), ID: "\x00\xff", RequireTLS: true, SMTPUTF8: true, Return: ReturnFull}
		r.sendAs(e, "", []Recipient{{Address: addr("é\xff@exämple.example"), Original: odd, Route: "gate"}})
		r.pass(time.Hour)
		r.empty()
		events, err := r.Trace(t.Context(), 0, "t")
		r.ok(err)
		if v := events[0].Envelope; !v.RequireTLS || !v.SMTPUTF8 || v.Return != ReturnFull || v.From != e.From {
			t.Errorf("the envelope came back as %+v", v)
		}
		if r.offers[0].to != (Destination{Route: "gate"}) || len(r.notices) != 1 || r.notices[0].reports[0].Recipient.Route != "gate" {
			t.Errorf("offered %+v, told %+v", r.offers, r.notices)
		}
	})
}

func TestTheCourierThatFailsUsLosesNothing(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		r.Log = nil
		r.Queue = New(r.Options)
		n := 0
		r.Courier = courierFunc(func(context.Context, Destination, *Message) []Outcome {
			if n++; n == 1 {
				panic("oh")
			}
			return make([]Outcome, 3)[:n-2]
		})
		r.start()
		r.send("x", to("a@x.example", "b@x.example"))
		r.pass(3*time.Minute + time.Second)
		if n != 3 {
			t.Errorf("%d attempts", n)
		}
		if waiting, _, _, err := r.Depth(t.Context()); waiting != 2 || err != nil {
			t.Errorf("%d wait, %v", waiting, err)
		}
	})
}

type courierFunc func(context.Context, Destination, *Message) []Outcome

func (f courierFunc) Deliver(ctx context.Context, to Destination, m *Message) []Outcome {
	return f(ctx, to, m)
}

func TestWhatIsCutOffIsTriedAtTheNextStart(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		r.Courier = courierFunc(func(ctx context.Context, _ Destination, m *Message) []Outcome {
			<-ctx.Done()
			return append([]Outcome{{Result: Delivered}}, make([]Outcome, len(m.Recipients)-1)...)
		})
		r.start()
		r.send("x", to("a@x.example", "b@x.example"))
		r.pass(time.Second)
		r.stop()
		list, _, err := r.List(t.Context(), Filter{}, Cursor{}, 10)
		r.ok(err)
		if len(list) != 1 || list[0].Recipient != "b@x.example" || list[0].Attempts != 0 || list[0].Due.After(time.Now()) {
			t.Errorf("left: %+v", list)
		}
		r.Courier = r
		r.start()
		r.pass(time.Second)
		r.empty()
	})
}

// However a list is narrowed, its pages have each entry that is meant once.
func TestListsInPages(t *testing.T) {
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, Limits{})
		r.ok(d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			for i := range 300 {
				list := to(fmt.Sprintf("u%d@d%d.example", i%7, i%30), "U3@common.example")
				if i%5 == 0 {
					list[0].Route = "gateway"
				}
				e := Envelope{Organization: int64(i%3 + 1), Trace: fmt.Sprint("t", i/2), From: addr(fmt.Sprintf("s%d@here.example", i%11))}
				if _, err := r.EnqueueTx(ctx, tx, &Prepared{queue: r.Queue, data: []byte("x"), size: 1}, e, list); err != nil {
					return err
				}
			}
			return nil
		}))
		yes, no := true, false
		held, err := r.Hold(t.Context(), Filter{From: "S4@here.example"})
		r.ok(err)
		if held != 54 {
			t.Errorf("held %d", held)
		}
		all, next, err := r.List(t.Context(), Filter{}, Cursor{}, 1000)
		r.ok(err)
		if len(all) != 600 || next != (Cursor{}) {
			t.Fatalf("%d entries, then %v", len(all), next)
		}
		for _, f := range []Filter{
			{},
			{Held: &yes},
			{Held: &no},
			{Organization: 2},
			{Organization: 9},
			{Domain: "COMMON.example"},
			{Domain: "d4.example", Organization: 2},
			{Recipient: "U5@d5.example"},
			{Recipient: "u5@d5.example", Organization: 3},
			{Recipient: "u3"},
			{From: "s7@HERE.example"},
			{From: "s7@here.example", Organization: 1, Held: &no},
			{Trace: "t9"},
			{Message: all[77].Message},
			{Organization: 1, Held: &yes, Domain: "common.example"},
		} {
			want := map[int64]bool{}
			for i := range all {
				if f.matches(&all[i]) {
					want[all[i].Delivery] = true
				}
			}
			got := 0
			for at, pages := (Cursor{}), 0; pages < 1000; pages++ {
				page, next, err := r.List(t.Context(), f, at, 7)
				r.ok(err)
				for _, e := range page {
					if got++; !want[e.Delivery] {
						t.Errorf("%+v: entry %d is not meant, or came twice", f, e.Delivery)
					}
					delete(want, e.Delivery)
				}
				if at = next; at == (Cursor{}) {
					break
				}
			}
			if len(want) > 0 {
				t.Errorf("%+v: %d entries came, %d are missing", f, got, len(want))
			}
		}
		n, err := r.Drop(t.Context(), Filter{Organization: 1}, false)
		r.ok(err)
		if n != 200 || r.count("queue_delivery") != 400 {
			t.Errorf("dropped %d of an organisation", n)
		}
		r.sound()
	})
}

// What waited in the first version of the tables is counted, listed and delivered.
func TestAQueueOfTheFirstVersion(t *testing.T) {
	fill := func(t *testing.T, d *db.DB) {
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			for i := range 200 {
				org, id := i%3, i+1000
				if _, err := tx.Exec(ctx, insertMessage, id, org, "t", "ann@here.example", "", 0, 0, []byte{}, 1, 3, "", 1); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, insertBody, id, []byte("abc")); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, insertDelivery, id, id, org, 1, int64(never), int64(never), "bob@there.example", "", 0); err != nil {
					return err
				}
			}
			for org := range 3 {
				var id int64
				if err := tx.QueryRow(ctx, upsertLane, org, "", "there.example", org, 1, 0, 0, "", "", "", 1).Scan(&id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	dbtest.Upgrade(t, Migrations()[:1], Migrations(), fill, func(t *testing.T, d *db.DB) {
		r := newRig(t, d, Limits{OrganizationMessages: 67})
		r.sound()
		list, _, err := r.List(t.Context(), Filter{Organization: 1}, Cursor{}, 100)
		r.ok(err)
		err = d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error { return r.RoomTx(ctx, tx, 1, 1, false) })
		if len(list) != 67 || !fault.Is(err, fault.Limit, fault.Organization) {
			t.Errorf("%d entries, and there is room: %v", len(list), err)
		}
		c := newCounting(200)
		r.Courier = c
		r.start()
		<-c.all
		r.stop()
		r = newRig(t, d, Limits{}) // one that knows of no destination any more
		r.ok(r.look(t.Context(), lookKinds()))
		r.sound()
		r.empty()
	})
}
