package db

// Waiting returns how many write functions wait for SQLite's writer.
func (d *DB) Waiting() int { return len(d.store.(*sqliteStore).writer.queue) }

// SetLogLimit sets the size at which SQLite's log is begun anew. It must be called before the first write.
func (d *DB) SetLogLimit(bytes int64) {
	w := d.store.(*sqliteStore).writer
	w.wal.limit, w.wal.step = bytes, bytes/4
}

// OpenConnections returns how many connections to SQLite are open.
func (d *DB) OpenConnections() int { return d.store.(*sqliteStore).pool.Stats().OpenConnections }

// HoldKey is the number of the lock that keeps other processes off a PostgreSQL database.
const HoldKey = holdKey
