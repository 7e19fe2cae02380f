package db

import (
	"context"
	"errors"
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
	// ahead is how long the file is made when it begins to grow; 0 leaves it alone.
	ahead int64
}

// logPatience is how long the writer waits for readers. Others wait behind it, so a long read, such as a check of everything,
// must be able to outlast it.
const logPatienceMillis = 100

// tendLog looks at the size of the log after a write. When it has become too large it begins the log anew: it holds new readers
// off the log for a moment and waits for the old ones. When it begins to grow it makes the log as long as it becomes between two
// checkpoints: a commit that makes the file longer waits for the file system to note that too, which doubles the time of a small
// one, and SQLite writes over a log that was moved. Nobody but who has the turn writes to the log, and nothing at or beyond its
// end was ever written, so no frame is touched; a reader stops at the first frame that has not the log's numbers, so zeros mean
// nothing (SQLite's file format, section 4).
func (w *writer) tendLog() {
	info, err := os.Stat(w.wal.path)
	if err != nil || w.conn == nil {
		return
	}
	switch size := info.Size(); {
	case size >= max(w.wal.limit, w.wal.next):
		w.wal.next = size + w.wal.step
		if err := w.truncateLog(); err != nil {
			w.log.Warn("SQLite's log could not be shortened; trying again later", "bytes", size, "error", err)
			return
		}
		w.wal.next = 0
	case size >= logBusy && size < w.wal.ahead:
		if err := fill(w.wal.path, w.wal.ahead); err != nil {
			w.log.Warn("SQLite's log could not be made long ahead; commits are slower until it has grown", "error", err)
			w.wal.ahead = 0
		}
	}
}

const (
	// logBusy is from where the log is made long ahead: a server that writes little has no use for it.
	logBusy = 1 << 20
	// logAhead is how long: what the log grows to between two checkpoints, and a little.
	logAhead = 17 << 20
)

// fill writes zeros from the end of a file that is there up to size; if that fails, the file is as long as before.
func fill(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close() // what was written means nothing
	info, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 128<<10)
	for at := info.Size(); at < size; {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
		if err != nil {
			return errors.Join(err, f.Truncate(info.Size()))
		}
		at += int64(n)
	}
	return nil
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
