package queue

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
)

const (
	// quantum is how many messages of a lane come in at once, before others have their turn.
	quantum = 32
	// turnsPage is how many organisations one step of a look asks for.
	turnsPage = 64
	// settleBatch is how many destinations one transaction settles.
	settleBatch = 100
	// pause is how long to wait after the database failed.
	pause = 5 * time.Second
)

// dispatch begins attempts until ctx ends, and waits for them.
func (q *Queue) dispatch(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	kinds := lookKinds()
	for ctx.Err() == nil {
		for a := q.schedule.begin(); a != nil; a = q.schedule.begin() {
			group.Go(func() { q.attempt(ctx, a) })
		}
		dirty, next := q.schedule.wanting(q.Clock.Now())
		if !dirty {
			if clock.Rest(ctx, q.Clock, q.schedule.bell, q.until(next)) {
				q.schedule.poke()
			}
			continue
		}
		if err := q.look(ctx, kinds); err != nil && ctx.Err() == nil {
			q.Log.ErrorContext(ctx, "the queue could not be read; trying again", "error", err)
			_ = q.Clock.Sleep(ctx, pause) // whatever ended it, the loop looks
			q.schedule.poke()
		}
	}
}

// lookKind is one of the kinds of destinations that a look goes through, each with a round of its own.
type lookKind struct {
	turns, lanes string // statements
	down         bool
	cursor       int64 // the organisation that came in last
}

func lookKinds() []*lookKind {
	return []*lookKind{{selectTurns, selectDueLanes, false, -1}, {selectTurnsDown, selectDueLanesDown, true, -1}}
}

// look lets in lanes that are due, and settles those that have nothing due.
func (q *Queue) look(ctx context.Context, kinds []*lookKind) error {
	q.schedule.looking()
	now := q.Clock.Now().UnixMicro()
	for _, k := range kinds {
		if err := q.lookFor(ctx, k, now); err != nil {
			return err
		}
	}
	var next sql.NullInt64
	err := q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error { return tx.QueryRow(ctx, selectNextLook, now).Scan(&next) })
	if err == nil && next.Valid {
		q.schedule.expect(next.Int64, now)
	}
	return err
}

// lookFor goes through the organisations that have destinations of a kind which are due, from the one that came in last, until some
// lanes came in. Those that were not asked are when there is room again: a lane that leaves makes another look.
func (q *Queue) lookFor(ctx context.Context, k *lookKind, now int64) error {
	for wrapped := k.cursor < 0; ; {
		var found []foundLane
		var idle, orgs []int64
		reopened := q.schedule.reopenings()
		err := q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			found, idle = nil, nil
			if orgs, err = keys(ctx, tx, k.turns, k.cursor, now, turnsPage); err != nil {
				return err
			}
			for _, org := range orgs {
				f, i, err := q.lookAtTx(ctx, tx, k, org, now)
				if err != nil {
					return err
				}
				found, idle = append(found, f...), append(idle, i...)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i := range found {
			found[i].reopened = reopened
		}
		q.schedule.letIn(found)
		if err := q.settle(ctx, idle); err != nil {
			return err
		}
		last := len(orgs) < turnsPage
		k.cursor = -1
		if !last {
			k.cursor = orgs[len(orgs)-1]
		}
		if len(found) > 0 || last && wrapped {
			return nil
		}
		wrapped = wrapped || last
	}
}

// lookAtTx finds an organisation's lanes that may come in, and those that are due and have nothing to do.
func (q *Queue) lookAtTx(ctx context.Context, tx *db.Tx, k *lookKind, org, now int64) (found []foundLane, idle []int64, err error) {
	room, rows := q.schedule.room(org, k.down)
	if room <= 0 {
		return nil, nil, nil
	}
	var due []foundLane
	err = tx.Each(ctx, func(row db.Row) error {
		f := foundLane{org: org}
		err := row.Scan(&f.key, &f.to.Route, &f.to.Domain, &f.failures)
		due = append(due, f)
		return err
	}, k.lanes, org, now, rows)
	for i := 0; err == nil && i < len(due) && room > len(found); i++ {
		f := due[i]
		ok, running := q.schedule.admits(f.key, f.to)
		if !ok {
			continue
		}
		var ids []int64
		if ids, err = keys(ctx, tx, selectReady, f.key, now, quantum+running); err != nil {
			break
		}
		f.ready = q.schedule.idle(f.key, ids)
		switch {
		case len(f.ready) > 0:
			found = append(found, f)
		case len(ids) == 0 && running == 0 && len(idle) < settleBatch:
			idle = append(idle, f.key)
		}
	}
	return found, idle, err
}

// settle says anew when to look at lanes that have nothing due.
func (q *Queue) settle(ctx context.Context, lanes []int64) error {
	for len(lanes) > 0 {
		batch := lanes[:min(len(lanes), settleBatch)]
		lanes = lanes[len(batch):]
		next := int64(never)
		err := q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			next = never
			locked, err := lockLanesTx(ctx, tx, batch)
			if err != nil {
				return err
			}
			for _, lane := range locked {
				due, err := settleTx(ctx, tx, lane)
				if err != nil {
					return err
				}
				next = min(next, due)
			}
			return nil
		})
		if err != nil {
			return err
		}
		q.schedule.expect(next, q.Clock.Now().UnixMicro())
	}
	return nil
}

// keys reads one column of numbers.
func keys(ctx context.Context, tx *db.Tx, query string, args ...any) (list []int64, err error) {
	err = tx.Each(ctx, func(row db.Row) error {
		var n int64
		err := row.Scan(&n)
		list = append(list, n)
		return err
	}, query, args...)
	return list, err
}
