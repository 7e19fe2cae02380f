package queue

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

// attemptOf makes the attempt that delivers what waits for a recipient, up to what is written down of it.
func (r *rig) attemptOf(recipient string) (e *ending, lane, delivery int64) {
	r.t.Helper()
	list, _, err := r.find(r.t.Context(), &Filter{Recipient: recipient}, Cursor{}, 1)
	r.ok(err)
	a := &attempt{run: run{list[0].lane, list[0].Message}, org: 1, site: r.schedule.site(list[0].Destination, 0)}
	c, err := r.claim(r.t.Context(), a)
	r.ok(err)
	o := Outcome{Result: Delivered, Status: "2.0.0", Reply: "250 ok"}
	return &ending{claim: c, a: a, outcomes: []Outcome{o}, now: time.Now(), retries: map[int64]int64{}}, a.lane, list[0].Delivery
}

// The end of an attempt that comes between what an operator's transaction reads and what it writes: on PostgreSQL that is seen.
func TestWhatEndsWhileItIsChangedEndsOnce(t *testing.T) {
	for name, change := range map[string]func(*rig, context.Context, *db.Tx, *stock, *waiting) (bool, error){
		"drop": func(r *rig, ctx context.Context, tx *db.Tx, m *stock, w *waiting) (bool, error) {
			return r.removeTx(ctx, tx, m, w, Dropped, &Report{Recipient: w.to}, time.Now())
		},
		"hold": func(r *rig, ctx context.Context, tx *db.Tx, m *stock, w *waiting) (bool, error) {
			return r.stateTx(ctx, tx, m, w, stateHeld, Held, time.Now())
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, dbtest.Postgres(t, Migrations()), Limits{})
			r.send("body", to("x@there.example", "y@other.example"))
			e, lane, delivery := r.attemptOf("x@there.example")
			var over sync.Once // the transaction is rehearsed
			var w *waiting
			var m *stock
			var changed bool
			r.ok(r.DB.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				return removalsTx(ctx, tx, []int64{lane}, func(known stocks) (err error) {
					if w == nil {
						if w, err = waitingTx(ctx, tx, delivery); err != nil {
							return err
						}
						if m, err = known.get(ctx, tx, w.message); err != nil {
							return err
						}
					}
					over.Do(func() {
						r.ok(r.DB.Write(context.Background(), func(ctx context.Context, tx *db.Tx) error {
							_, err := r.endTx(ctx, tx, e)
							return err
						}))
					})
					changed, err = change(r, ctx, tx, m, w)
					return err
				})
			}))
			if changed {
				t.Error("what had its end was changed")
			}
			if got, want := r.kinds("t"), "1 1 3"; got != want {
				t.Errorf("events %s, want %s", got, want)
			}
			r.sound()
			if n := r.count("queue_delivery"); n != 1 || r.count("queue_body") != 1 {
				t.Errorf("%d recipients wait, and the bytes may be gone", n)
			}
		})
	}
}

// Operators and the end of time meet the ends of attempts: each recipient is counted once.
func TestOperatorsMeetTheEndsOfAttempts(t *testing.T) {
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, Limits{Expiry: time.Millisecond, Delay: -1})
		for range 30 {
			r.send("body", to("x@there.example", "y@other.example"))
			e, _, _ := r.attemptOf("x@there.example")
			var group sync.WaitGroup
			for _, fn := range []func() error{
				func() error {
					return d.Write(context.Background(), func(ctx context.Context, tx *db.Tx) error { _, err := r.endTx(ctx, tx, e); return err })
				},
				func() error {
					_, err := r.Drop(context.Background(), Filter{Recipient: "x@there.example"}, true)
					return err
				},
				func() error { _, err := r.Drop(context.Background(), Filter{}, false); return err },
				func() error { _, err := r.alarms(context.Background()); return err },
			} {
				group.Go(func() {
					if err := fn(); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			r.sound()
			_, err := r.Drop(t.Context(), Filter{}, false)
			r.ok(err)
			if n := r.count("queue_delivery"); n != 0 {
				t.Fatalf("%d recipients are left", n)
			}
		}
	})
}
