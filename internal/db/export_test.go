package db

// Waiting returns how many write functions wait for SQLite's writer.
func (d *DB) Waiting() int { return len(d.store.(*sqliteStore).writer.queue) }

// SetLogLimit sets the size at which SQLite's log is begun anew. It must be called before the first write.
func (d *DB) SetLogLimit(bytes int64) {
	w := d.store.(*sqliteStore).writer
	w.wal.limit, w.wal.step, w.wal.every = bytes, bytes/4, int(bytes/4/pageSize)
}

// SetLogPages sets after how many pages SQLite's log is moved. It must be called before the first write.
func (d *DB) SetLogPages(n int) { d.store.(*sqliteStore).writer.wal.every = n }

// AwaitLog returns when nobody but the writer has anything to do about SQLite's log.
func (d *DB) AwaitLog() { d.store.(*sqliteStore).moving.Wait() }

// OpenConnections returns how many connections to SQLite are open.
func (d *DB) OpenConnections() int { return d.store.(*sqliteStore).pool.Stats().OpenConnections }

// Unnamed is a query as it is prepared on SQLite.
func Unnamed(query string) string { return unnamed(query) }

// HoldKey is the number of the lock that keeps other processes off a PostgreSQL database.
const HoldKey = holdKey
