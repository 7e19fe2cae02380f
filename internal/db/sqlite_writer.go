package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/pennypost/pennypost/internal/stack"
)

// maxGroup bounds how many write functions share one commit, so that the first does not wait for ever.
const maxGroup = 64

// The life of a request. Whoever moves it from waiting decides: the writer begins it, or its caller withdraws it.
const (
	waiting int32 = iota
	begun
	withdrawn
)

// request is a write function that waits for the writer.
type request struct {
	ctx   context.Context
	fn    Func
	state atomic.Int32
	// result is what the function returned in the running group; it is sent to done after the commit.
	result error
	hooks  []func()
	done   chan error // of capacity 1: the writer never waits for a caller
	// answered is set once the caller was told.
	answered bool
}

func (r *request) answer(err error) {
	r.answered = true
	r.done <- err
}

// writer owns the one connection that writes. Whoever has the turn uses it: a caller that finds nobody before it runs its function
// itself, which spares it two changes of goroutine (a quarter of a small commit's time); the others wait in the queue, and the
// writer's goroutine serves them. It ends when the queue is closed and empty.
type writer struct {
	pool     *sql.DB
	log      *slog.Logger
	counters *counters
	hub      *hub
	rehearse bool
	queue    chan *request
	work     chan struct{} // wakes the goroutine, which takes from the queue only when it has the turn
	// sending keeps close from closing the queue under a sender.
	sending sync.RWMutex
	closed  bool
	ended   chan struct{}

	turn sync.Mutex
	// Owned by who has the turn.
	conn *sql.Conn
	raw  *sqliteConn
	wal  writeAheadLog
}

func startWriter(ctx context.Context, pool *sql.DB, o Options, c *counters, h *hub, moveLog func(done func())) (*writer, error) {
	w := &writer{
		pool: pool, log: o.Log, counters: c, hub: h, rehearse: o.Rehearse,
		queue: make(chan *request, maxGroup), work: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	w.wal.path, w.wal.every, w.wal.limit, w.wal.step, w.wal.begin = o.Path+"-wal", movedPages, logLimit, logLimit/4, moveLog
	if err := w.connect(ctx); err != nil {
		return nil, err
	}
	go w.run()
	return w, nil
}

func (w *writer) connect(ctx context.Context) error {
	conn, err := w.pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("open the writer's connection: %w", err)
	}
	for _, pragma := range []string{"cache_size = -" + strconv.Itoa(writerCacheKiB), "wal_autocheckpoint = 0"} { // tendLog moves the log
		if _, err := conn.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			drop(conn)
			return fmt.Errorf("set up the writer's connection: %w", err)
		}
	}
	w.conn, w.raw = conn, rawOf(conn)
	return nil
}

// write queues fn and waits for its outcome; see DB.Write.
func (w *writer) write(ctx context.Context, fn Func) error {
	stack.Deepen()
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{ctx: context.WithoutCancel(ctx), fn: fn, done: make(chan error, 1)}
	if err := w.send(ctx, r); err != nil {
		return err
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, withdrawn) {
			return ctx.Err()
		}
		return <-r.done
	}
}

// send runs r if nobody writes or waits, and else queues it.
func (w *writer) send(ctx context.Context, r *request) error {
	w.sending.RLock()
	defer w.sending.RUnlock()
	if w.closed {
		return ErrClosed
	}
	if len(w.queue) == 0 && w.turn.TryLock() {
		defer w.turn.Unlock()
		w.take(r)
		return nil
	}
	select {
	case w.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case w.work <- struct{}{}:
	default: // it will look
	}
	return nil
}

// take serves r unless it was withdrawn. The caller has the turn.
func (w *writer) take(r *request) {
	if r.state.CompareAndSwap(waiting, begun) {
		w.serve(r)
		w.tendLog()
	}
}

// close runs what waits and ends the goroutine.
func (w *writer) close() {
	w.sending.Lock()
	if !w.closed {
		w.closed = true
		close(w.queue)
		close(w.work)
	}
	w.sending.Unlock()
	<-w.ended
}

func (w *writer) run() {
	stack.Deepen()
	over := false
	defer func() {
		if !over { // a function ended this goroutine
			go w.run()
			return
		}
		if w.conn != nil {
			_ = w.conn.Close() // the pool's Close tells
		}
		close(w.ended)
	}()
	w.serveQueue() // behind a function that ended the goroutine before, whose notice this is
	for range w.work {
		w.serveQueue()
	}
	w.serveQueue() // what came before it was closed
	over = true
}

func (w *writer) serveQueue() {
	w.turn.Lock()
	defer w.turn.Unlock()
	for {
		select {
		case r, ok := <-w.queue:
			if !ok {
				return
			}
			w.take(r)
		default:
			return
		}
	}
}

// serve commits a group that begins with first. When the group can't be committed, its functions are run again, each in a
// transaction of its own, so that one function that fills the disk does not fail its neighbours.
//
// A group is first run without savepoints, which cost a copy of each page touched and a third of a small function's time; most
// functions succeed, or fail before they wrote. When one fails after that, the group is run again with savepoints.
func (w *writer) serve(first *request) {
	group := []*request{first}
	defer func() { w.giveUp(group) }()
	err := w.commitGroup(&group, true, w.rehearse)
	if errors.Is(err, errMustUndo) {
		err = w.commitGroup(&group, true, true)
	}
	if err == nil {
		w.acknowledge(group)
		return
	}
	w.counters.abandoned.Add(1)
	w.log.Error("a group of writes was abandoned; each is tried alone", "functions", len(group), "error", err)
	for _, r := range group {
		alone := []*request{r}
		if err := w.commitGroup(&alone, false, true); err != nil {
			w.counters.abandoned.Add(1)
			w.log.Error("a write could not be committed", "error", err)
			r.answer(unavailable(err))
			continue
		}
		w.acknowledge(alone)
	}
}

// giveUp answers those of a group who were not, because a function ended the goroutine (runtime.Goexit), which leaves its transaction open.
func (w *writer) giveUp(group []*request) {
	group = slices.DeleteFunc(group, func(r *request) bool { return r.answered })
	if len(group) == 0 {
		return
	}
	w.counters.abandoned.Add(1)
	w.log.Error("a function ended its goroutine; its group of writes was abandoned", "functions", len(group))
	if w.conn != nil {
		drop(w.conn)
		w.conn, w.raw = nil, nil
	}
	for _, r := range group {
		r.answer(unavailable(errEnded))
	}
}

// acknowledge tells the callers of a committed group. The hooks run first, so that a caller finds its own change announced.
func (w *writer) acknowledge(group []*request) {
	defer func() { // also if a hook ends the goroutine: this is on disk
		for _, r := range group {
			r.answer(r.result)
		}
	}()
	done, hooks := uint64(0), []func(){}
	for _, r := range group {
		if r.result == nil {
			done++
			hooks = append(hooks, r.hooks...)
		}
	}
	w.counters.refused.Add(uint64(len(group)) - done)
	if done > 0 {
		w.counters.commits.Add(1)
		w.counters.functions.Add(done)
		w.counters.groups[min(bits.Len64(done-1), len(w.counters.groups)-1)].Add(1)
	}
	committed(w.log, hooks)
}

var (
	// errMustUndo says that a function of a group without savepoints failed after it wrote.
	errMustUndo = errors.New("a function must be undone")
	errEnded    = errors.New("a function of the group ended its goroutine")
)

// commitGroup runs the group, to which it adds where grow is true whatever comes to wait meanwhile, in one transaction and commits it.
// An error says that nothing of the group is in the database.
func (w *writer) commitGroup(group *[]*request, grow, savepoints bool) error {
	if w.conn == nil {
		if err := w.connect(context.Background()); err != nil {
			return err
		}
	}
	if err := w.begin(); err != nil {
		return errors.Join(err, w.abandon())
	}
	changed := false
	for i := 0; i < len(*group); i++ {
		run := w.runOne
		if savepoints {
			run = w.runInSavepoint
		}
		err := run((*group)[i])
		if errors.Is(err, errMustUndo) && i == 0 { // nobody else is in the transaction yet: begin it anew
			if err = w.exec("ROLLBACK"); err == nil {
				err = w.begin()
			}
		}
		if err != nil {
			return errors.Join(err, w.abandon())
		}
		changed = changed || (*group)[i].result == nil
		if grow && i == len(*group)-1 && len(*group) < maxGroup {
			*group = w.join(*group)
		}
	}
	end := "COMMIT"
	if !changed {
		end = "ROLLBACK" // nothing to keep, so nothing to sync
	}
	if err := w.exec(end); err != nil {
		return errors.Join(fmt.Errorf("commit: %w", err), w.abandon())
	}
	w.raw.guarded = false
	return nil
}

// join adds a request that waits now, if there is one.
func (w *writer) join(group []*request) []*request {
	for {
		select {
		case r, ok := <-w.queue:
			if !ok {
				return group
			}
			if r.state.CompareAndSwap(waiting, begun) {
				return append(group, r)
			}
		default:
			return group
		}
	}
}

func (w *writer) begin() error {
	w.raw.guarded, w.raw.rolledBack = false, false
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	w.raw.guarded = true
	return nil
}

// runOne runs a request and keeps what it returned. Its own error means that the transaction is lost, or, errMustUndo, can't be
// kept.
func (w *writer) runOne(r *request) error {
	tx := w.newTx(r)
	r.result = tx.run(r.ctx, w.log, r.fn)
	r.hooks = tx.hooks
	switch {
	case w.raw.rolledBack && r.result == nil:
		return errDropped
	case w.raw.rolledBack:
		return fmt.Errorf("%w: %w", errDropped, r.result)
	case r.result != nil && tx.wrote:
		return errMustUndo
	}
	return nil
}

// runInSavepoint is runOne that undoes what a failed function wrote.
func (w *writer) runInSavepoint(r *request) error {
	if err := w.exec("SAVEPOINT f"); err != nil {
		return fmt.Errorf("savepoint: %w", err)
	}
	if w.rehearse {
		_ = w.newTx(r).run(r.ctx, w.log, r.fn) // what it returns now counts
		if err := w.exec("ROLLBACK TO f"); err != nil {
			return fmt.Errorf("undo a rehearsal: %w", err)
		}
	}
	err := w.runOne(r)
	if errors.Is(err, errMustUndo) {
		err = w.exec("ROLLBACK TO f")
	}
	if err != nil {
		return fmt.Errorf("undo a function: %w", err)
	}
	// Should the transaction have gone in a way that the hook did not see, then the savepoint went with it and this fails.
	if err := w.exec("RELEASE f"); err != nil {
		return fmt.Errorf("the transaction no longer stands: %w", err)
	}
	return nil
}

func (w *writer) newTx(r *request) *Tx {
	return &Tx{q: w.conn, raw: w.raw, engine: SQLite, ctx: r.ctx, hub: w.hub}
}

// abandon rolls back whatever is left of the transaction. A connection of which that can't be said is replaced.
func (w *writer) abandon() error {
	w.raw.guarded = false
	if w.raw.rolledBack {
		return nil
	}
	if err := w.exec("ROLLBACK"); err != nil && !w.raw.rolledBack {
		drop(w.conn)
		w.conn, w.raw = nil, nil
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// exec runs a statement of the writer's own. No function has the connection at that moment.
func (w *writer) exec(query string) error { return w.raw.exec(query) }
