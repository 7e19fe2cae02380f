package mailbox

import (
	"context"
	"io"
	"log/slog"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/feed"
)

// BatchRows is about how many items one write transaction touches. Store, Copy, Move, Expunge and Delete of more are
// several transactions.
const BatchRows = 500

// Blobs keeps the bytes of large bodies, outside the database.
type Blobs interface {
	// Put stores everything r gives under key and returns its length. When it returns nil the bytes are on disk. It
	// replaces what an earlier attempt left under the key.
	Put(ctx context.Context, key string, r io.Reader) (int64, error)
	// Open returns the bytes of key for reading at any offset.
	Open(ctx context.Context, key string) (Blob, error)
	// Delete removes key; a key that isn't there is no error.
	Delete(ctx context.Context, key string) error
}

// Blob is an open large body. It may be read by several goroutines at once.
type Blob interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Options is what a Store stands on, and its limits. DB, Blobs, Feed, Clock and Log are needed.
type Options struct {
	DB    *db.DB
	Blobs Blobs
	Feed  *feed.Feed
	Clock clock.Clock
	Log   *slog.Logger
	// InlineLimit is the size in bytes up to which a body is kept in the database; larger ones go to Blobs. 0 means
	// DefaultInlineLimit.
	InlineLimit int64
	// MaxMessage is the largest message in bytes (prefix and body). 0 means 40 MB, negative no limit.
	MaxMessage int64
	// MaxFolders is how many folders a mailbox can have. 0 means 10,000.
	MaxFolders int
	// KeepDepartures is how many departures of a folder are remembered for QRESYNC and the like, at least. 0 means 20,000.
	KeepDepartures int
	// SnapshotBytes bounds the memory of the UID lists kept for sharing between sessions. 0 means 64 MB.
	SnapshotBytes int
}
