package db

import (
	"context"
	"fmt"
	"os"
	"strconv"
)

// writeAheadLog watches the size of SQLite's log file. The log is moved into the database as it grows, but it can begin anew
// only at a moment when nobody reads from it. Readers that overlap without a gap never leave such a moment, and the log would
// grow for as long as they go on.
type writeAheadLog struct {
	path string
	// limit is the size from which the writer makes a gap. After an attempt that failed it tries again step bytes later.
	limit, step int64
	next        int64
}

// logPatience is how long the writer waits for readers. Others wait behind it, so a long read, such as a check of everything,
// must be able to outlast it.
const logPatienceMillis = 100

// boundLog begins the log anew when it has become too large: it holds new readers off the log for a moment and waits for the
// old ones.
func (w *writer) boundLog() {
	info, err := os.Stat(w.wal.path)
	if err != nil || info.Size() < max(w.wal.limit, w.wal.next) || w.conn == nil {
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
