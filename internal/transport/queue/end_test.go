package queue

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
)

// TestACourierEndsByItself: what it does with the message and what is recorded of that are one transaction, by which another message
// may be queued; a rollback leaves the message to be tried again.
func TestACourierEndsByItself(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		next, err := r.Prepare(t.Context(), []byte("passed on"))
		r.ok(err)
		tries := 0
		r.outcome = func(dest Destination, m *Message, _ Recipient) Outcome {
			if dest.Route == "" {
				return Outcome{Result: Delivered, Status: "2.0.0"}
			}
			tries++
			end := []Outcome{{Result: Delivered, Status: "2.0.0", Reply: "passed on"}}
			err := r.DB.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				if err := m.End(ctx, tx, end); err != nil {
					return err
				}
				if _, err := r.EnqueueTx(ctx, tx, next, m.Envelope, to("b@y.example")); err != nil || tries > 1 {
					return err
				}
				return errors.New("not the first time")
			})
			if err != nil {
				return deferred(Outcome{})
			}
			return end[0]
		}
		one := to("a@x.example")
		one[0].Route, one[0].Notify = "function", OnSuccess
		r.send("body", one)
		r.start()
		r.pass(time.Hour)
		if r.kinds("t") != "1 2 3 1 3 10" || tries != 2 || len(r.notices) != 1 {
			t.Errorf("the events are %s after %d tries, %d notices", r.kinds("t"), tries, len(r.notices))
		}
		r.empty()
	})
}

// TestACourierSaysWhenToTryAgain: earlier than the queue would, and for as long as who queued it said.
func TestACourierSaysWhenToTryAgain(t *testing.T) {
	bubble(t, Limits{Expiry: time.Hour}, func(t *testing.T, r *rig) {
		began := time.Now()
		until := began.Add(90 * time.Minute)
		r.outcome = func(Destination, *Message, Recipient) Outcome {
			o := deferred(Outcome{By: until})
			if !time.Now().Before(until) {
				o = Outcome{Result: Delivered, Status: "2.0.0"}
			}
			return o
		}
		one := to("a@x.example")
		one[0].Route, one[0].Notify, one[0].Expiry = "function", Never, 24*time.Hour
		r.send("body", one)
		r.start()
		r.pass(2 * time.Hour)
		if last := r.offers[len(r.offers)-1].at; !last.Equal(until) {
			t.Errorf("tried last after %v", last.Sub(began))
		}
		if len(r.notices) > 0 {
			t.Errorf("told is %+v", r.notices)
		}
		r.empty()
	})
}

// TestWhatWasNotAttempted waits as long as after its last failure, and counts none.
func TestWhatWasNotAttempted(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, r *rig) {
		var attempts []int
		r.outcome = func(_ Destination, m *Message, _ Recipient) Outcome {
			attempts = append(attempts, m.Attempts)
			switch len(attempts) {
			case 8:
				return Outcome{Result: Delivered}
			case 4:
				return Outcome{Status: "4.3.0"}
			}
			return Outcome{Status: "4.3.0", Reply: "not now", Untried: true}
		}
		r.start()
		r.send("body", to("a@x.example"))
		r.pass(time.Second)
		list, _, err := r.List(t.Context(), Filter{}, Cursor{}, 10)
		r.ok(err)
		if e := list[0]; e.Attempts != 0 || e.Reply != "not now" {
			t.Errorf("it waits as %+v", e)
		}
		r.pass(7*time.Minute + time.Second)
		if fmt.Sprint(attempts) != "[0 0 0 0 1 1 1 1]" {
			t.Errorf("offered with the failures %v", attempts)
		}
	})
}

// TestBytesElsewhere: a message whose bytes the caller keeps has none here, and is a message like any other.
func TestBytesElsewhere(t *testing.T) {
	bubble(t, Limits{OrganizationBytes: 1500}, func(t *testing.T, r *rig) {
		enqueue := func() error {
			return r.DB.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				_, err := r.EnqueueTx(ctx, tx, r.Elsewhere(1000), Envelope{Organization: 1, Trace: "t", From: addr("ann@here.example")}, to("a@x.example"))
				return err
			})
		}
		r.ok(enqueue())
		if err := enqueue(); err == nil {
			t.Error("two such messages have no size")
		}
		if n := r.count("queue_body") + r.count("queue_upload"); n != 0 {
			t.Errorf("%d rows for its bytes", n)
		}
		r.sound()
		if faults, err := r.CheckBodies(t.Context()); err != nil || len(faults) > 0 {
			t.Errorf("%q, %v", faults, err)
		}
		r.outcome = func(Destination, *Message, Recipient) Outcome { return Outcome{Result: Failed, Status: "5.0.0"} }
		r.start()
		r.pass(time.Hour)
		if len(r.offers) != 1 || r.offers[0].body != "" || len(r.notices) != 1 {
			t.Errorf("offered is %+v, told %+v", r.offers, r.notices)
		}
		r.empty()
	})
}
