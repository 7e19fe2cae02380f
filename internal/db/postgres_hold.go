package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// holdKey is the advisory lock of the process that works on a PostgreSQL database. Such locks are numbered per database;
	// the number is ours by choice ("pennypos" in ASCII).
	holdKey int64 = 0x70656e6e79706f73
	// holdPatience is how long Open waits for another process to let go: PostgreSQL may learn of a killed one's end a moment
	// after the operating system.
	holdPatience = 5 * time.Second
	// holdRetry is how long to wait between two attempts to get the lock, at the start or after its connection broke.
	holdRetry = 100 * time.Millisecond
)

// ErrHeld says that another process works on the PostgreSQL database.
var ErrHeld = errors.New("another pennypost works on this PostgreSQL database")

// errNotHeld is why a write is refused while the lock is not had.
var errNotHeld = errors.New("the connection to PostgreSQL was lost, and it is not certain yet that no other server works on the database")

// hold is the right to be the only process on a PostgreSQL database: a session lock, which PostgreSQL takes back when the
// connection ends, however the process ends. Several processes would each believe their caches of UID lists, sessions and
// sign-ins, tell only their own listeners of changes, and sweep large bodies that another is about to name.
type hold struct {
	config *pgx.ConnConfig
	log    *slog.Logger
	// have is false while the connection is lost and the lock not yet taken again: nothing may be written then.
	have atomic.Bool
	stop context.CancelFunc
	done sync.WaitGroup // watch
}

// takeHold takes the lock, or fails with ErrHeld.
func takeHold(ctx context.Context, config *pgx.ConnConfig, log *slog.Logger) (*hold, error) {
	h := &hold{config: config, log: log}
	for end := time.Now().Add(holdPatience); ; {
		conn, err := h.take(ctx)
		if err == nil {
			watching, stop := context.WithCancel(context.WithoutCancel(ctx))
			h.stop = stop
			h.have.Store(true)
			h.done.Go(func() { h.watch(watching, conn) })
			return h, nil
		}
		if !errors.Is(err, ErrHeld) || time.Now().After(end) {
			return nil, err
		}
		if err := pause(ctx, holdRetry); err != nil {
			return nil, err
		}
	}
}

// take makes a connection that has the lock, or fails with ErrHeld.
func (h *hold) take(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, h.config)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	// Where a whole machine dies, PostgreSQL must find out before its own default of two hours.
	var got bool
	if _, err = conn.Exec(ctx, "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"); err == nil {
		err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", holdKey).Scan(&got)
	}
	if err == nil && !got {
		err = fmt.Errorf("%w (%s on %s): one server at a time may; stop the other, or give this one a database of its own with "+
			"--database-url", ErrHeld, h.config.Database, h.config.Host)
	}
	if err != nil {
		_ = conn.Close(ctx) // it has nothing
		return nil, err
	}
	return conn, nil
}

// watch notices when the connection ends, and then tries to get the lock again until ctx ends.
func (h *hold) watch(ctx context.Context, conn *pgx.Conn) {
	for {
		// Nobody notifies this connection: it returns when the connection breaks or ctx ends.
		for err := error(nil); err == nil; {
			_, err = conn.WaitForNotification(ctx)
		}
		h.have.Store(false)
		_ = conn.Close(context.WithoutCancel(ctx)) // it is broken, or its work is done
		if ctx.Err() != nil {
			return
		}
		h.log.Error("the connection that keeps other servers off the PostgreSQL database is lost; nothing is written until there is another")
		var err error
		for conn, err = h.take(ctx); err != nil; conn, err = h.take(ctx) {
			if pause(ctx, holdRetry) != nil {
				return
			}
		}
		h.have.Store(true)
		h.log.Info("other servers are kept off the PostgreSQL database again")
	}
}

// check refuses a write while the lock is not had.
func (h *hold) check() error {
	if h == nil || h.have.Load() {
		return nil
	}
	return unavailable(errNotHeld)
}

// release lets go.
func (h *hold) release() {
	if h != nil {
		h.stop()
		h.done.Wait()
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
