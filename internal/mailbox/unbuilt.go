package mailbox

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/pennypost/pennypost/internal/db"
)

// THE SIGNATURES, committed ahead so that others can code against them; each moves to its file as it is built.

var errUnbuilt = errors.New("mailbox: not built yet")

// Store is all mailboxes of a database. Its verbs may be called from many goroutines.
type Store struct{}

// New returns the store.
func New(o Options) *Store { return &Store{} }

// ---- mailboxes ----

// Owner says whose a mailbox is: an entity of an organisation.
type Owner struct {
	Org    OrgKey
	Entity string
}

// State is whether a mailbox can be used.
type State uint8

// The states of a mailbox.
const (
	Open   State = iota // in use
	Closed              // kept until its purge time; Reopen brings it back
	Purged              // being removed; not to be found by its owner any more
)

// Details is a mailbox's row.
type Details struct {
	ID        ID
	Owner     Owner
	State     State
	PurgeTime time.Time // when a closed mailbox may be purged; zero while open
	Quota     int64     // bytes
	Bytes     int64     // sum of the sizes of the items, copies counted each
	Change    ModSeq    // the counter
}

// CreateTx makes an open mailbox with its default folders INBOX, Drafts, Sent Items, Deleted Items and Junk E-mail.
// Faults: Exists Mailbox when the owner has one (open or closed).
func (s *Store) CreateTx(ctx context.Context, tx *db.Tx, o Owner, quota int64) (ID, error) { return 0, errUnbuilt }

// CloseTx closes the owner's mailbox; it stays until purge. Faults: NotFound Mailbox; State Mailbox when it is not open.
func (s *Store) CloseTx(ctx context.Context, tx *db.Tx, o Owner, purge time.Time) (ID, error) { return 0, errUnbuilt }

// ReopenTx opens a closed mailbox again. Faults: NotFound Mailbox (never there, or purged: then CreateTx); State Mailbox
// when it is open.
func (s *Store) ReopenTx(ctx context.Context, tx *db.Tx, o Owner) (ID, error) { return 0, errUnbuilt }

// SetQuotaTx sets the quota in bytes; it may lie below what is used. Faults: NotFound Mailbox.
func (s *Store) SetQuotaTx(ctx context.Context, tx *db.Tx, o Owner, quota int64) error { return errUnbuilt }

// ByOwner returns the owner's mailbox, open or closed. Faults: NotFound Mailbox.
func (s *Store) ByOwner(ctx context.Context, o Owner) (Details, error) { return Details{}, errUnbuilt }

// ByOwnerTx is ByOwner in the caller's transaction.
func (s *Store) ByOwnerTx(ctx context.Context, tx *db.Tx, o Owner) (Details, error) { return Details{}, errUnbuilt }

// Details returns a mailbox's row (quota, size). Faults: NotFound Mailbox.
func (s *Store) Details(ctx context.Context, id ID) (Details, error) { return Details{}, errUnbuilt }

// PurgeBatch removes a closed mailbox some hundred items at a time and returns true when nothing is left. The first call
// frees the owner for a new mailbox. Faults: State Mailbox when it is open.
func (s *Store) PurgeBatch(ctx context.Context, id ID) (done bool, err error) { return false, errUnbuilt }

// ---- folders ----

// Folders returns all folders with their counts. Faults of every verb below here that takes an ID: NotFound Mailbox.
func (s *Store) Folders(ctx context.Context, id ID) (*FolderList, error) { return nil, errUnbuilt }

// Folder returns the folder of that path as it stands (SELECT and STATUS: one row read). The path is compared without
// case. Faults: NotFound Folder, Invalid Folder (a path that can't exist).
func (s *Store) Folder(ctx context.Context, id ID, path string) (Folder, error) { return Folder{}, errUnbuilt }

// FolderByID is Folder by id. Faults: NotFound Folder.
func (s *Store) FolderByID(ctx context.Context, id ID, f FolderID) (Folder, error) { return Folder{}, errUnbuilt }

// FolderByUse returns the folder of a special use. Faults: NotFound Folder.
func (s *Store) FolderByUse(ctx context.Context, id ID, use Use) (Folder, error) { return Folder{}, errUnbuilt }

// CreateFolder makes a folder, and the missing ones above it. A NoItems folder of that path becomes one of kind.
// Faults: Exists Folder; Invalid Folder (name rules); Limit Folder (depth, number); Exists with use taken.
func (s *Store) CreateFolder(ctx context.Context, id ID, path string, kind Kind, use Use) (Folder, error) {
	return Folder{}, errUnbuilt
}

// RenameFolder renames from to to, making missing folders above it; what lies below from moves along. Renaming INBOX moves
// its items into a new folder to and leaves INBOX and the folders below it (RFC 3501 section 6.3.5), in batches as Move.
// Faults: NotFound Folder, Exists Folder, Invalid Folder (name rules, into itself), Unsupported Folder (default folders).
func (s *Store) RenameFolder(ctx context.Context, id ID, from, to string) error { return errUnbuilt }

// DeleteFolder deletes a folder and its items; with below, all folders below it too. Without, a folder that has others below
// becomes a NoItems one. The name is free when it returns; items of a large folder go some hundred at a time.
// Faults: NotFound Folder; Unsupported Folder (default folders); InUse Folder (NoItems with others below, without below).
func (s *Store) DeleteFolder(ctx context.Context, id ID, path string, below bool) error { return errUnbuilt }

// Subscribe subscribes or unsubscribes a path. A path where no folder is can be subscribed too. Faults: Invalid Folder.
func (s *Store) Subscribe(ctx context.Context, id ID, path string, on bool) error { return errUnbuilt }

// ---- keywords ----

// Keywords returns the names of the mailbox's keyword bits.
func (s *Store) Keywords(ctx context.Context, id ID) (*Keywords, error) { return nil, errUnbuilt }

// DefineKeywords returns the bits of the names (with or without case), giving out new ones where needed: a write of its own only when
// a name is new. Faults: Invalid Message (not an atom, too long); Limit Mailbox (MaxKeywords).
func (s *Store) DefineKeywords(ctx context.Context, id ID, names []string) (Flags, error) { return 0, errUnbuilt }

// Keywords maps keyword bits to names for one mailbox. It is immutable.
type Keywords struct{}

// Bit returns the bit of a keyword (compared without case), and whether the mailbox knows it.
func (k *Keywords) Bit(name string) (Flags, bool) { return 0, false }

// Names returns the names of the keyword bits of f, in the order of the bits.
func (k *Keywords) Names(f Flags) []string { return nil }

// All returns every bit that has a name: what FLAGS and PERMANENTFLAGS list.
func (k *Keywords) All() Flags { return 0 }

// ---- items in ----

// Source is where a message's bytes come from: in memory, or a spooled file that can be read more than once.
type Source struct {
	Bytes []byte
	Open  func() (io.ReadCloser, error) // used when Bytes is nil
	Size  int64                         // exact length of what Open gives
}

// Message is a message on its way in: the bytes, and what the parser made of them.
type Message struct {
	Source              Source
	Envelope, Structure []byte
	ParserVersion       int
}

// Target is one place for a message.
type Target struct {
	Mailbox  ID
	Folder   FolderID // 0 means the inbox
	Flags    Flags
	Prefix   []byte    // header lines for this recipient alone, CRLF-ended, at most MaxPrefix bytes
	Received time.Time // zero means now
	Thread   ThreadID  // 0 means a thread of its own
}

// MaxPrefix is the longest prefix in bytes.
const MaxPrefix = 8 << 10

// Stored says where a message lies now.
type Stored struct {
	Mailbox     ID
	Folder      FolderID
	UIDValidity uint32
	UID         UID
	ID          ItemID
	Email       EmailID
	ModSeq      ModSeq
}

// Deliver stores one message for all targets in one transaction: one body per organisation, one item each; when it returns
// nil everything is on disk. The results are in the order of targets. Faults, and then nothing is stored: NotFound Mailbox
// or Folder; State Mailbox (closed); OverQuota Mailbox; TooLarge Message; Unsupported Folder (NoItems).
func (s *Store) Deliver(ctx context.Context, m Message, targets ...Target) ([]Stored, error) { return nil, errUnbuilt }

// CheckRoom tells before the bytes are taken whether a message of that size may be stored: TooLarge, OverQuota, State and NotFound
// as Deliver. It is a look, not a reservation.
func (s *Store) CheckRoom(ctx context.Context, id ID, size int64) error { return errUnbuilt }

// ---- items changed ----

// StoreResult is what StoreFlags did.
type StoreResult struct {
	Changed []FlagUpdate // ascending by UID; items whose flags stayed the same are not in it
	Failed  UIDSet       // changed after unchangedSince, so left alone: MODIFIED
}

// FlagUpdate is an item's new flags.
type FlagUpdate struct {
	UID    UID
	Flags  Flags
	ModSeq ModSeq
}

// StoreFlags changes flags of the items of set that exist. Items changed after unchangedSince are left alone, unless it is 0.
// Sets of more than BatchRows items are several transactions; after an error those before it stand.
func (s *Store) StoreFlags(ctx context.Context, id ID, f FolderID, set UIDSet, c FlagChange, unchangedSince ModSeq) (StoreResult, error) {
	return StoreResult{}, errUnbuilt
}

// Copied pairs the UIDs of items with those they got in the target folder: COPYUID. From[i] became To[i].
type Copied struct {
	UIDValidity uint32
	From, To    []UID
}

// Copy copies the items of set that exist to another folder of the mailbox (the same folder is allowed). RFC 3501 wants all or
// nothing: quota is checked for all first, but sets of more than BatchRows items are several transactions; when one fails the
// copies made are removed again. Faults: OverQuota Mailbox, NotFound Folder, Unsupported Folder.
func (s *Store) Copy(ctx context.Context, id ID, from FolderID, set UIDSet, to FolderID) (Copied, error) {
	return Copied{}, errUnbuilt
}

// Move moves the items of set that exist; they keep their ItemID. Each item is always in exactly one of the folders. Sets of
// more than BatchRows items are several transactions; after an error the result says what was moved. Faults as Copy, without quota.
func (s *Store) Move(ctx context.Context, id ID, from FolderID, set UIDSet, to FolderID) (Copied, error) {
	return Copied{}, errUnbuilt
}

// Expunge removes the items of set that exist, only those marked Deleted if onlyDeleted, and returns their UIDs and the
// highest number given. Sets of more than BatchRows items are several transactions; after an error the result says what went.
func (s *Store) Expunge(ctx context.Context, id ID, f FolderID, set UIDSet, onlyDeleted bool) (UIDSet, ModSeq, error) {
	return nil, 0, errUnbuilt
}

// ---- items out ----

// Changes is what happened in a folder after a number.
type Changes struct {
	Folder Folder // as it stands; Folder.Highest is the number to ask with next time
	// Changed are the items that arrived or changed and are still there, ascending by UID. Those that arrived have UIDs
	// from the UIDNext the caller knows.
	Changed []FlagUpdate
	// Vanished are the UIDs that left (expunged or moved away), unless Forgotten.
	Vanished UIDSet
	// Forgotten says that since lies below Folder.Floor, so that Vanished is not known: every UID below UIDNext that
	// isn't in the folder may have left.
	Forgotten bool
}

// Changes returns what happened in a folder after since, from one snapshot. It reads one row when nothing did.
// Faults: NotFound Folder when it was deleted.
func (s *Store) Changes(ctx context.Context, id ID, f FolderID, since ModSeq) (Changes, error) { return Changes{}, errUnbuilt }

// UIDList returns the UIDs of the folder as they stood when f was read: exactly f.Messages of them, whatever came or went
// since. The list is immutable and shared. Faults: NotFound Folder (deleted); Temporary Folder when that state can't be
// told any more, then read the folder again.
func (s *Store) UIDList(ctx context.Context, id ID, f *Folder) (*UIDList, error) { return nil, errUnbuilt }

// Fetch goes through the items of set, ascending by UID. It reads pages of some hundred and holds no snapshot in between, so
// a slow caller stops nobody; items that leave meanwhile may be missing. An Item is valid until the next step. changedSince
// above 0 leaves out items with ModSeq <= changedSince.
func (s *Store) Fetch(ctx context.Context, id ID, f FolderID, set UIDSet, want Want, changedSince ModSeq) iter.Seq2[*Item, error] {
	return func(func(*Item, error) bool) {}
}

// Content is a message's bytes, prefix and body as one. It must be closed.
type Content interface {
	io.ReaderAt
	io.Closer
	// Size is the length in bytes, the item's Size.
	Size() int64
	// Bytes returns everything if it is in memory already (inline bodies), else nil.
	Bytes() []byte
}

// Open returns the message of an item that was fetched WithBody, prefix first. It may be called after the loop went on only
// with a copy of the Item.
func (s *Store) Open(ctx context.Context, it *Item) (Content, error) { return nil, errUnbuilt }

// ---- upkeep ----

// Sweep does a bounded piece of upkeep: finishes deletions that a crash interrupted, removes bodies nobody refers to, forgets
// old departures. It returns true while there is more.
func (s *Store) Sweep(ctx context.Context) (more bool, err error) { return false, errUnbuilt }

// Check looks for contradictions in the store and returns a line for each.
func (s *Store) Check(ctx context.Context) (faults []string, err error) { return nil, errUnbuilt }

// Migrations returns the package's tables, versions from 4000.
func Migrations() []db.Migration { return nil }
