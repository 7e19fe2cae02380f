package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/pennypost/pennypost/internal/fault"
)

// PostgreSQL's codes (its manual, appendix A).
const (
	pgUniqueViolation      = "23505"
	pgSerializationFailure = "40001"
	pgDeadlockDetected     = "40P01"
	pgFeatureNotSupported  = "0A000" // also: a prepared statement's result has other columns now
	pgInvalidStatement     = "26000" // no such prepared statement
)

// IsUnique reports whether err is a violation of a unique index or a primary key. It looks at codes, never at texts.
func IsUnique(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
			return true
		}
		return false
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == pgUniqueViolation
}

// isFailure reports whether err says that the database could not do its work, rather than that the work was wrong.
func isFailure(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff { // the primary code
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
			sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT:
			return true
		}
		return false
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code[:2] {
		case "08", "53", "58": // connection exceptions, insufficient resources, system errors
			return true
		}
		return e.Code[:3] == "57P" // shut down
	}
	return errors.Is(err, errDropped) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.ErrUnexpectedEOF) || isNetwork(err)
}

func isNetwork(err error) bool {
	_, ok := errors.AsType[net.Error](err)
	return ok || pgconn.SafeToRetry(err)
}

// failure makes an error that says that the database could not do its work a temporary fault, unless the caller gave up.
func failure(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || fault.As(err) != nil || !isFailure(err) {
		return err
	}
	return unavailable(err)
}

// unavailable is the fault of a store that can't write or read now.
func unavailable(cause error) error {
	return fault.Wrap(cause, fault.Temporary, fault.None, "the store is not available now; try again later")
}
