package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pennypost/pennypost/internal/db"
)

// careful is for how long after a crash every attempt is written down before it begins.
const careful = time.Hour

// wary keeps a message whose attempt kills the server from doing so for ever. Usually nothing is written down before an attempt. For a
// while after a life that came to no orderly end it is, so that the next crash leaves the names of those who were being attempted. They
// are suspects from then on: tried later, one at a time, and held in the end.
type wary struct {
	on       atomic.Bool // there are suspects, or until is yet to come
	mu       sync.Mutex
	until    time.Time
	suspects map[run]bool
	busy     bool // a suspect is being attempted
}

// suspicion is a row of an attempt that did not end.
type suspicion struct {
	run
	life, crashes int64
}

// wake begins a life: it finds out how the last one ended, and who is suspected.
func (q *Queue) wake(ctx context.Context) error {
	var last int64
	var crashed bool
	var all []suspicion
	err := q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		var clean int64
		err := tx.QueryRow(ctx, selectLife).Scan(&last, &clean)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if crashed = err == nil && clean == 0; crashed {
			if _, err := tx.Exec(ctx, countCrashes, last); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, forgetAttempts); err != nil {
			return err
		}
		all = nil
		err = tx.Each(ctx, func(row db.Row) error {
			var s suspicion
			err := row.Scan(&s.m, &s.lane, &s.life, &s.crashes)
			all = append(all, s)
			return err
		}, selectSuspects)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, upsertLife, q.life)
		return err
	})
	if err != nil {
		return err
	}
	w := &q.wary
	w.suspects = map[run]bool{}
	for _, s := range all {
		switch {
		case s.crashes >= int64(q.Limits.Crashes):
			err = q.convict(ctx, s)
		case crashed && s.life == last:
			err = q.putOff(ctx, s.run, q.Limits.FirstRetry/60<<(2*(s.crashes-1)))
			w.suspects[s.run] = true
		default:
			w.suspects[s.run] = true
		}
		if err != nil {
			return err
		}
	}
	if crashed {
		w.until = q.Clock.Now().Add(careful)
	}
	w.on.Store(crashed || len(w.suspects) > 0)
	return nil
}

// sleep ends a life in order.
func (q *Queue) sleep(ctx context.Context) {
	err := q.DB.Write(context.WithoutCancel(ctx), func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, endLife, q.life)
		return err
	})
	if err != nil {
		q.Log.WarnContext(ctx, "that the queue stopped in order could not be written down; the next start takes it for a crash", "error", err)
	}
}

// putOff makes a run due later.
func (q *Queue) putOff(ctx context.Context, r run, d time.Duration) error {
	due := q.Clock.Now().Add(d).UnixMicro()
	return q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, putOffRun, int64(r.m), r.lane, due)
		return err
	})
}

// convict holds the deliveries of a run that was in too many crashes. Once they are released they begin anew.
func (q *Queue) convict(ctx context.Context, s suspicion) error {
	now := q.Clock.Now()
	o := Outcome{Status: "4.3.0", Reply: fmt.Sprintf("The server that sends the message came to an end %d times while it did.", s.crashes), Ours: true}
	err := q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if _, err := tx.Exec(ctx, deleteAttempt, int64(s.m), s.lane); err != nil {
			return err
		}
		list, err := keys(ctx, tx, selectOfRun, int64(s.m), s.lane)
		if err != nil {
			return err
		}
		return removalsTx(ctx, tx, []int64{s.lane}, func(known stocks) error {
			m, err := known.get(ctx, tx, s.m)
			if err != nil || m == nil {
				return err
			}
			for _, id := range list {
				w, err := waitingTx(ctx, tx, id)
				if err != nil {
					return err
				}
				if w == nil {
					continue
				}
				if _, err := tx.Exec(ctx, blame, id, o.Status, o.Reply); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, setState, id, stateHeld); err != nil {
					return err
				}
				happened := &Event{Envelope: m.Envelope, Message: m.id, Recipient: w.to, Kind: Held, Outcome: o, At: now, Attempts: int(w.attempts) + 1}
				if err := q.recordTx(ctx, tx, happened); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err == nil {
		q.Log.ErrorContext(ctx, "the server ended again and again while it sent a message, which is held now", "message", s.m, "crashes", s.crashes)
	}
	return err
}

// begins is called before an attempt, and reports whether it may begin. Usually it does nothing.
func (q *Queue) begins(ctx context.Context, a *attempt) bool {
	w := &q.wary
	if !w.on.Load() {
		return true
	}
	w.mu.Lock()
	isCareful := q.Clock.Now().Before(w.until)
	w.on.Store(isCareful || len(w.suspects) > 0)
	a.suspect = w.suspects[a.run]
	waits := a.suspect && w.busy
	w.busy = w.busy || a.suspect
	w.mu.Unlock()
	var err error
	switch {
	case waits:
		a.suspect = false
		err = q.putOff(ctx, a.run, q.Limits.FirstRetry/6)
	case isCareful || a.suspect:
		err = q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, insertAttempt, int64(a.m), a.lane, q.life)
			return err
		})
		a.noted = err == nil
	default:
		return true
	}
	if err != nil && ctx.Err() == nil {
		q.Log.ErrorContext(ctx, "an attempt could not be prepared; trying again", "message", a.m, "error", err)
		_ = q.Clock.Sleep(ctx, pause) // the lane is due still, and looked at again
	}
	if !a.noted && a.suspect {
		w.mu.Lock()
		w.busy = false
		w.mu.Unlock()
	}
	return a.noted
}

// ends is called after an attempt that began.
func (q *Queue) ends(a *attempt) {
	if !a.suspect {
		return
	}
	w := &q.wary
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
	delete(w.suspects, a.run)
}
