package mailbox

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/feed"
)

// BatchRows is about how many items one write transaction touches. StoreFlags, Copy, Move, Expunge and DeleteFolder of more
// are several transactions.
const BatchRows = 500

// Blobs keeps the bytes of large bodies, outside the database.
type Blobs interface {
	// Put stores everything r gives under key and returns its length. When it returns nil the bytes are on disk. It
	// replaces what an earlier attempt left under the key.
	Put(ctx context.Context, key string, r io.Reader) (int64, error)
	// Open returns the bytes of key for reading at any offset; fs.ErrNotExist says that there are none.
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

// Options is what a Store stands on, and its limits. DB, Blobs, Feed and Clock are needed; a nil Log discards.
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
	// KeepRecoverable is how long items that RetainTx removed can be recovered. 0 means 30 days.
	KeepRecoverable time.Duration
	// Forget removes up to limit rows that others keep of a mailbox that is being purged, and returns how many; fewer means that
	// none are left. It may be nil.
	Forget func(ctx context.Context, tx *db.Tx, id ID, limit int) (int, error)
	// Filed is told, in the transaction, what a user did with items that says what they are. It may be nil.
	Filed func(ctx context.Context, tx *db.Tx, f Filed) error
	// Filling is told, in the transaction, of a mailbox that comes to hold nine tenths of its quota, by whatever makes it larger or the quota
	// smaller, and of one that does when messages are brought to it from elsewhere (DeliverAll). It may be nil.
	Filling func(ctx context.Context, tx *db.Tx, f Filling) error
	// SnapshotBytes bounds the memory of the lists of UIDs and flags kept for sharing between sessions. 0 means 64 MB.
	SnapshotBytes int
	// FewItems is up to how many items Fetch reads flags from the database, without making a list of the folder's for them. 0 means 512.
	FewItems int64
}

// DefaultInlineLimit is the size up to which bodies are kept in the database, chosen by measurement (DESIGN.md).
const DefaultInlineLimit = 128 << 10

// Store is all mailboxes of a database. Its verbs may be called from many goroutines.
type Store struct {
	db    *db.DB
	blobs Blobs
	feed  *feed.Feed
	clock clock.Clock
	log   *slog.Logger
	// limits is the options for the numbers in them, defaults filled in.
	limits   Options
	bulk     bulks
	snaps    *snapshots
	trees    *trees
	zip      *zip
	orgs     orgCache
	spares   spares
	together together
	batch    int // BatchRows; tests have less
	// expired counts the recoverable items whose time was over.
	expired atomic.Uint64
}

// New returns the store. It starts no goroutine and needs no closing.
func New(o Options) *Store {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.InlineLimit == 0 {
		o.InlineLimit = DefaultInlineLimit
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = 40 << 20
	}
	if o.MaxFolders == 0 {
		o.MaxFolders = 10_000
	}
	if o.KeepDepartures == 0 {
		o.KeepDepartures = 20_000
	}
	if o.KeepRecoverable == 0 {
		o.KeepRecoverable = 30 * 24 * time.Hour
	}
	if o.SnapshotBytes == 0 {
		o.SnapshotBytes = 64 << 20
	}
	if o.FewItems == 0 {
		o.FewItems = pageItems
	}
	return &Store{
		db: o.DB, blobs: o.Blobs, feed: o.Feed, clock: o.Clock, log: o.Log, limits: o, bulk: newBulks(), snaps: newSnapshots(o.SnapshotBytes), trees: newTrees(), zip: newZip(),
		batch: BatchRows,
	}
}
