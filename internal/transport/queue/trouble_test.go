package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// quiet makes the queue anew without a log, whose errors the test expects, and with a Record.
func (r *rig) quiet(record func(e Event) error) {
	r.Log = nil
	r.Record = func(_ context.Context, _ *db.Tx, e Event) error { return record(e) }
	r.Queue = New(r.Options)
	r.lookEvery = time.Hour
}

func (r *rig) exec(text string, args ...any) {
	r.t.Helper()
	r.ok(r.DB.Write(r.t.Context(), func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, text, args...)
		return err
	}))
}

func TestABadDeliveryKeepsNobodyFromExpiring(t *testing.T) {
	bubble(t, Limits{Expiry: 8 * time.Hour, History: 24 * time.Hour, Inline: 1}, func(t *testing.T, r *rig) {
		var bad atomic.Bool
		bad.Store(true)
		r.quiet(func(e Event) error {
			if bad.Load() && e.Kind == Expired && e.Recipient.Address.Local == "bad" {
				return errors.New("not this one")
			}
			return nil
		})
		r.outcome = func(Destination, *Message, Recipient) Outcome { return deferred(Outcome{}) }
		r.send("xx", to("bad@x.example", "a@x.example"))
		r.send("yy", to("b@y.example"))
		r.start()
		r.pass(9 * time.Hour)
		if n, uploads := r.count("queue_delivery"), r.count("queue_upload"); n != 1 || uploads != 0 {
			t.Errorf("%d recipients and %d uploads are left", n, uploads)
		}
		r.pass(40 * time.Hour)
		if n := r.count("queue_history"); n > 20 { // of the attempts for one recipient in a day
			t.Errorf("%d events are remembered", n)
		}
		bad.Store(false)
		r.pass(2 * time.Hour)
		r.empty()
	})
}

func TestAMissingMessageIsGivenUp(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		r.quiet(func(Event) error { return nil })
		r.outcome = func(Destination, *Message, Recipient) Outcome { return refused() }
		r.tellFails = 1
		lost := r.send("body", to("a@x.example", "b@y.example"))
		told := r.send("body", to("c@z.example"))
		held := r.send("body", to("d@v.example"))
		_, err := r.Hold(t.Context(), Filter{Message: held})
		r.ok(err)
		for _, m := range []ID{lost, held} {
			r.lose(m)
		}
		r.start()
		r.pass(10 * time.Second)
		if len(r.offers) != 1 || r.count("queue_delivery") != 1 || r.count("queue_report") != 1 {
			t.Errorf("offered %+v; %d deliveries and %d reports are left", r.offers, r.count("queue_delivery"), r.count("queue_report"))
		}
		r.lose(told)
		// One whose time comes goes as well.
		r.exec("UPDATE queue_delivery SET state = 0, due = $1, alarm = 1, expires = 1", time.Now().Add(time.Hour).UnixMicro())
		r.pass(2 * time.Hour)
		r.empty()
	})
}

func TestAMessageThatGoesMissingDuringItsAttemptHoldsNoWorker(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		r.quiet(func(Event) error { return nil })
		m := r.send("body", to("a@x.example", "b@y.example"))
		var once sync.Once
		r.outcome = func(Destination, *Message, Recipient) Outcome {
			once.Do(func() { r.lose(m) })
			return refused()
		}
		r.start()
		r.pass(10 * time.Second)
		r.empty()
		if n := r.Stats().Running; n != 0 {
			t.Errorf("%d attempts run", n)
		}
	})
}

func TestADropThatBouncesIsRecordedAsABounce(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		var heard []Event
		r.quiet(func(e Event) error {
			if e.Kind != Queued {
				heard = append(heard, e)
			}
			return nil
		})
		r.send("body", to("a@x.example", "b@x.example"))
		for who, want := range map[string][]EventKind{"a@x.example": {Dropped, Bounced}, "b@x.example": {Dropped}} {
			heard = nil
			_, err := r.Drop(t.Context(), Filter{Recipient: who}, who == "a@x.example")
			r.ok(err)
			var kinds []EventKind
			for _, e := range heard[len(heard)/2:] { // it is rehearsed
				kinds = append(kinds, e.Kind)
			}
			last := heard[len(heard)-1]
			if !slices.Equal(kinds, want) || last.Recipient.Address.String() != who || last.Kind == Bounced && last.Outcome.Status != "5.0.0" {
				t.Errorf("%s: Record took %v, %+v", who, kinds, last)
			}
		}
		if got, want := r.kinds("t"), "1 1 9 9"; got != want {
			t.Errorf("events %s, want %s", got, want)
		}
	})
}

func TestAnAttemptHasALimit(t *testing.T) {
	bubble(t, Limits{Attempt: time.Minute}, func(t *testing.T, r *rig) {
		var took []time.Duration
		r.Courier = courierFunc(func(ctx context.Context, _ Destination, m *Message) []Outcome {
			start := time.Now()
			<-ctx.Done()
			r.mu.Lock()
			took = append(took, time.Since(start))
			r.mu.Unlock()
			return append([]Outcome{{Result: Delivered}}, make([]Outcome, len(m.Recipients)-1)...)
		})
		r.start()
		r.send(strings.Repeat("x", 32<<10), to("a@x.example", "b@x.example"))
		r.pass(63 * time.Second)
		list, _, err := r.List(t.Context(), Filter{}, Cursor{}, 10)
		r.ok(err)
		wait := time.Until(list[0].Due)
		if len(list) != 1 || list[0].Attempts != 1 || list[0].Status != "4.4.1" || wait < 46*time.Second || wait > time.Minute {
			t.Errorf("left, for %v: %+v", wait, list)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(took) != 1 || took[0] != 62*time.Second {
			t.Errorf("attempts took %v", took)
		}
	})
}

func TestARecordThatFailsKeepsNoEndFromBeingWritten(t *testing.T) {
	for name, stop := range map[string]bool{"runs": false, "stops": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Limits{}, func(t *testing.T, r *rig) {
				var room atomic.Bool
				var heard []Event
				r.quiet(func(e Event) error {
					switch {
					case e.Kind != Sent:
					case !room.Load():
						return errors.New("no place for it")
					default:
						heard = append(heard, e)
					}
					return nil
				})
				r.sendAs(Envelope{Organization: 1, Trace: "t", From: addr("ann@here.example"), About: []byte("about")}, "body", to("a@x.example"))
				r.start()
				r.pass(time.Second)
				if n := r.count("queue_delivery"); n != 1 {
					t.Errorf("%d recipients wait: Record was not asked again", n)
				}
				if !stop {
					r.pass(time.Minute)
				}
				r.stop()
				if got := r.kinds("t"); got != "1 3" || len(r.offers) != 1 {
					t.Errorf("events %s, %d offers", got, len(r.offers))
				}
				if n := r.count("queue_message"); n != 0 {
					t.Errorf("%d messages are left", n)
				}
				// It is recorded once that can be done, also in another life.
				r.start()
				r.pass(10 * time.Minute)
				room.Store(true)
				r.pass(4 * time.Hour)
				r.stop()
				if len(heard) < 1 || heard[len(heard)-1].Recipient.Address != addr("a@x.example") || string(heard[0].Envelope.About) != "about" || r.count("queue_owed") != 0 {
					t.Errorf("recorded is %+v", heard)
				}
			})
		})
	}
}

// TestWhatIsOwedLeavesOthersTheirTurn: of many events one round of upkeep records some.
func TestWhatIsOwedLeavesOthersTheirTurn(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		r.ok(r.DB.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			for i := range int64(owedBatch + 1) {
				if _, err := tx.Exec(ctx, insertOwed, i+1, 1, []byte("{}")); err != nil {
					return err
				}
			}
			return nil
		}))
		for _, left := range []int{1, 0} {
			next, err := r.payOwed(t.Context())
			r.ok(err)
			if n := r.count("queue_owed"); n != left || (next == never) != (left == 0) {
				t.Errorf("%d are left, the next is due at %d", n, next)
			}
		}
	})
}

// lose takes a message of four bytes away, as only a fault can.
func (r *rig) lose(m ID) {
	r.t.Helper()
	r.ok(r.DB.Write(r.t.Context(), func(ctx context.Context, tx *db.Tx) error {
		n, err := tx.Exec(ctx, "DELETE FROM queue_message WHERE id = $1", int64(m))
		if err != nil {
			return err
		}
		if n != 1 {
			return fmt.Errorf("message %d is gone already", m)
		}
		if _, err := tx.Exec(ctx, "UPDATE queue_usage SET messages = messages - 1, bytes = bytes - 4 WHERE part = $1", m.part()); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM queue_body WHERE message = $1", int64(m))
		return err
	}))
}

// What is this server's own trouble neither brings a destination down nor back.
func TestOurOwnTroubleSaysNothingOfADestination(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		outcome := Outcome{Status: "4.3.0", Ours: true}
		r.outcome = func(Destination, *Message, Recipient) Outcome { return outcome }
		becomes := func(o Outcome) (offers int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			outcome = o
			return len(r.offers)
		}
		failures := func() (n int64) {
			r.ok(r.DB.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				return tx.QueryRow(ctx, "SELECT failures FROM queue_destination").Scan(&n)
			}))
			return n
		}
		r.start()
		r.send("body", to("a@x.example"))
		r.pass(time.Second)
		if n := failures(); n != 0 || r.Stats().Down != 0 {
			t.Errorf("%d failures of the destination", n)
		}
		becomes(down())
		r.pass(2 * time.Minute)
		was := failures()
		if was == 0 {
			t.Error("it is not down")
		}
		before := becomes(Outcome{Status: "4.3.0", Ours: true})
		r.pass(10 * time.Hour)
		if n, after := failures(), becomes(Outcome{Result: Delivered}); n != was || after == before {
			t.Errorf("%d failures after %d, and %d attempts", n, was, after-before)
		}
		r.pass(10 * time.Hour)
		r.empty()
	})
}

// What waits of an organisation has limits, which others and the server itself do not share.
func TestOrganizationsHaveLimits(t *testing.T) {
	bubble(t, Limits{OrganizationMessages: 3, OrganizationBytes: 100}, func(t *testing.T, r *rig) {
		try := func(org int64, size int) error {
			p, err := r.Prepare(t.Context(), make([]byte, size))
			r.ok(err)
			return r.DB.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				_, err := r.EnqueueTx(ctx, tx, p, Envelope{Organization: org, Trace: "t", From: addr("ann@here.example")}, to("a@x.example", "b@y.example"))
				return err
			})
		}
		r.ok(try(1, 10))
		r.ok(try(1, 90))
		full := func(err error) {
			t.Helper()
			if !fault.Is(err, fault.Limit, fault.Organization) {
				t.Errorf("%v, want that it is full", err)
			}
		}
		full(try(1, 1))
		r.ok(try(1, 0))
		full(try(1, 0))
		r.ok(try(2, 100))
		r.ok(try(0, 1000))
		r.start()
		r.pass(time.Minute)
		r.ok(try(1, 100))
		r.pass(time.Minute)
		r.empty()
	})
}
