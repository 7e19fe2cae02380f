package db

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"

	"modernc.org/sqlite"
)

// writeAheadLog watches SQLite's log file, which is moved into the database each time it has grown. A reader's connection moves it,
// beside the writer, who would take 8 ms for it in which everybody waits. What came meanwhile is left to the writer, and is little: the
// log can begin anew only when nothing of it is left.
//
// It also begins anew only at a moment when nobody reads from it. Readers that overlap without a gap never leave such a moment, and
// the log would grow for as long as they go on: then the writer makes one.
type writeAheadLog struct {
	path string
	// every is how many pages are written from one move to the next, pages how many were since the last.
	every, pages int
	// begin moves the log without the writer, and calls done after it returned.
	begin func(done func())
	stage atomic.Int32
	// limit is the size from which the writer makes a gap. After an attempt that failed it tries again step bytes later.
	limit, step int64
	next        int64
}

// The stages of moving the log.
const (
	logGrows int32 = iota
	logMoves
	logMoved // but for what the writer has to do
)

const moveLog = "PRAGMA wal_checkpoint(PASSIVE)"

// tendLog does after a commit what the log needs.
func (w *writer) tendLog() {
	if w.conn == nil {
		return
	}
	if n, _, err := w.raw.Status(sqlite.DBStatusCacheWrite, true); err == nil { // it knows this counter
		w.wal.pages += n
	}
	if w.wal.stage.Load() == logMoved {
		if err := w.exec(moveLog); err != nil {
			w.log.Warn("SQLite's log could not be moved into the database; trying again later", "error", err)
		}
		w.wal.stage.Store(logGrows)
	}
	if w.wal.pages < w.wal.every || w.wal.stage.Load() != logGrows {
		return
	}
	w.wal.pages = 0
	w.boundLog()
	w.wal.stage.Store(logMoves)
	w.wal.begin(func() { w.wal.stage.Store(logMoved) })
}

// logPatience is how long the writer waits for readers. Others wait behind it, so a long read, such as a check of everything,
// must be able to outlast it.
const logPatienceMillis = 100

// boundLog begins the log anew when it has become too large: it holds new readers off the log for a moment and waits for the
// old ones.
func (w *writer) boundLog() {
	info, err := os.Stat(w.wal.path)
	if err != nil || info.Size() < max(w.wal.limit, w.wal.next) {
		return
	}
	w.wal.next = info.Size() + w.wal.step
	if err := w.truncateLog(); err != nil {
		w.log.Warn("SQLite's log could not be shortened; trying again later", "bytes", info.Size(), "error", err)
		return
	}
	w.wal.next = 0
}

func (w *writer) truncateLog() error {
	if err := w.exec("PRAGMA busy_timeout = " + strconv.Itoa(logPatienceMillis)); err != nil {
		return err
	}
	defer w.exec("PRAGMA busy_timeout = " + strconv.Itoa(busyMillis))
	var busy, frames, moved int64
	row := w.conn.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
	if err := row.Scan(&busy, &frames, &moved); err != nil {
		return err
	}
	if busy != 0 {
		return fmt.Errorf("readers are busy: %d of %d pages were moved", moved, frames)
	}
	return nil
}
