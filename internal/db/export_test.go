package db

// Waiting returns how many write functions wait for SQLite's writer.
func (d *DB) Waiting() int { return len(d.store.(*sqliteStore).writer.queue) }
