package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// Owner says whose a mailbox is: an entity (user or resource) of an organisation.
type Owner struct {
	Org    OrgKey
	Entity string
}

// State is whether a mailbox can be used.
type State uint8

// The states of a mailbox.
const (
	Open   State = iota // in use
	Closed              // kept until its purge time; ReopenTx brings it back
	Purged              // being removed; its owner does not find it any more
)

// Details is a mailbox's row.
type Details struct {
	ID        ID
	Owner     Owner
	State     State
	PurgeTime time.Time // when a closed mailbox may be purged; zero while open
	Quota     int64     // bytes
	Bytes     int64     // sum of the sizes of the items, each copy counted
}

// The folders a mailbox is made with have the same ids everywhere.
const (
	InboxID FolderID = 1 + iota
	DraftsID
	SentID
	TrashID
	JunkID
	firstFreeFolder
)

var defaultFolders = [...]struct {
	id   FolderID
	name string
	use  Use
}{
	{InboxID, "INBOX", Inbox},
	{DraftsID, "Drafts", Drafts},
	{SentID, "Sent Items", Sent},
	{TrashID, "Deleted Items", Trash},
	{JunkID, "Junk E-mail", JunkMail},
}

// DefaultPath returns the path of the folder with a use that every mailbox is made with, empty for other uses.
func DefaultPath(use Use) string {
	for _, d := range defaultFolders {
		if d.use == use {
			return d.name
		}
	}
	return ""
}

// CreateTx makes an open mailbox with its default folders INBOX, Drafts, Sent Items, Deleted Items and Junk E-mail, all
// subscribed. The quota is in bytes. Faults: Exists Mailbox when the owner has one, open or closed.
func (s *Store) CreateTx(ctx context.Context, tx *db.Tx, o Owner, quota int64) (ID, error) {
	if _, err := s.ByOwnerTx(ctx, tx, o); err == nil {
		return 0, fault.New(fault.Exists, fault.Mailbox, "entity %s has a mailbox already", o.Entity)
	} else if !fault.Is(err, fault.NotFound, fault.Mailbox) {
		return 0, err
	}
	var next int64
	if err := tx.QueryRow(ctx, `UPDATE mailbox_counter SET next = next + 1 WHERE one = 1 RETURNING next`).Scan(&next); err != nil {
		return 0, fmt.Errorf("take a mailbox id: %w", err)
	}
	id := ID(next - 1)
	validity := s.clock.Now().Unix()
	if _, err := tx.Exec(ctx, `INSERT INTO mailbox (id, org, owner, state, purge_at, change, tree_change, next_item, next_folder,
uidvalidity, bytes, quota) VALUES ($1, $2, $3, $4, 0, 1, 1, 1, $5, $6, 0, $7)`,
		int64(id), int64(o.Org), o.Entity, Open, int64(firstFreeFolder), validity, quota); err != nil {
		return 0, fmt.Errorf("create a mailbox for %s: %w", o.Entity, err)
	}
	for _, d := range defaultFolders {
		f := Folder{ID: d.id, Name: d.name, Use: d.use, Default: true, Subscribed: true, UIDValidity: uint32(validity)}
		if err := insertFolder(ctx, tx, id, f, 1); err != nil {
			return 0, err
		}
	}
	return id, nil
}

// insertFolder adds an empty folder at the change number.
func insertFolder(ctx context.Context, tx *db.Tx, id ID, f Folder, change ModSeq) error {
	_, err := tx.Exec(ctx, `INSERT INTO folder (mailbox, id, parent, name, key, kind, special, is_default, subscribed, gone,
uidvalidity, uidnext, highest, floor, properties_changed, counts_changed, messages, unseen, deleted, bytes, departures)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, FALSE, $10, 1, $11, 0, $11, $11, 0, 0, 0, 0, 0)`,
		int64(id), int64(f.ID), int64(f.Parent), f.Name, nameKey(f.Name), f.Kind, f.Use, f.Default, f.Subscribed, f.UIDValidity,
		int64(change))
	if err != nil {
		return fmt.Errorf("create folder %q in mailbox %s: %w", f.Name, id, err)
	}
	return nil
}

// CloseTx closes the owner's mailbox, which may be purged from purge on. Faults: NotFound Mailbox; State Mailbox when it is
// closed already.
func (s *Store) CloseTx(ctx context.Context, tx *db.Tx, o Owner, purge time.Time) (ID, error) {
	return s.setState(ctx, tx, o, Open, Closed, purge, "mailbox %s is closed already")
}

// ReopenTx opens a closed mailbox again. Faults: NotFound Mailbox (never there, or purged: then CreateTx); State Mailbox when
// it is open.
func (s *Store) ReopenTx(ctx context.Context, tx *db.Tx, o Owner) (ID, error) {
	return s.setState(ctx, tx, o, Closed, Open, time.Time{}, "mailbox %s is open already")
}

func (s *Store) setState(ctx context.Context, tx *db.Tx, o Owner, from, to State, purge time.Time, otherwise string) (ID, error) {
	d, err := s.ByOwnerTx(ctx, tx, o)
	if err != nil {
		return 0, err
	}
	l, err := s.lockAny(ctx, tx, d.ID, 1, 0, 0)
	if err != nil {
		return 0, err
	}
	if l.state != from {
		return 0, fault.New(fault.State, fault.Mailbox, otherwise, d.ID)
	}
	if _, err := tx.Exec(ctx, `UPDATE mailbox SET state = $2, purge_at = $3 WHERE id = $1`, int64(d.ID), to, micros(purge)); err != nil {
		return 0, fmt.Errorf("set the state of mailbox %s: %w", d.ID, err)
	}
	return d.ID, nil
}

// SetQuotaTx sets the quota in bytes; it may lie below what is used. Faults: NotFound Mailbox.
func (s *Store) SetQuotaTx(ctx context.Context, tx *db.Tx, o Owner, quota int64) error {
	d, err := s.ByOwnerTx(ctx, tx, o)
	if err != nil {
		return err
	}
	was := d.NearlyFull()
	if err := tx.QueryRow(ctx, `UPDATE mailbox SET quota = $2 WHERE id = $1 RETURNING bytes`, int64(d.ID), quota).Scan(&d.Bytes); err != nil {
		return fmt.Errorf("set the quota of %s: %w", o.Entity, err)
	}
	d.Quota = quota
	if s.limits.Filling == nil || was || !d.NearlyFull() || d.State != Open {
		return nil
	}
	return s.limits.Filling(ctx, tx, Filling{Mailbox: d.ID, Crossed: true})
}

func noMailboxOf(o Owner) error {
	return fault.New(fault.NotFound, fault.Mailbox, "entity %s has no mailbox", o.Entity)
}

const detailColumns = `SELECT id, org, owner, state, purge_at, quota, bytes FROM mailbox `

func scanDetails(row db.Row) (Details, error) {
	var d Details
	var purge int64
	err := row.Scan(&d.ID, &d.Owner.Org, &d.Owner.Entity, &d.State, &purge, &d.Quota, &d.Bytes)
	d.PurgeTime = fromMicros(purge)
	return d, err
}

// ByOwnerTx is ByOwner in the caller's transaction.
func (s *Store) ByOwnerTx(ctx context.Context, tx *db.Tx, o Owner) (Details, error) {
	d, err := scanDetails(tx.QueryRow(ctx, detailColumns+`WHERE org = $1 AND owner = $2`, int64(o.Org), o.Entity))
	if errors.Is(err, sql.ErrNoRows) {
		return d, noMailboxOf(o)
	}
	if err != nil {
		return d, fmt.Errorf("find the mailbox of %s: %w", o.Entity, err)
	}
	return d, nil
}

// ByOwner returns the owner's mailbox, open or closed. Faults: NotFound Mailbox.
func (s *Store) ByOwner(ctx context.Context, o Owner) (d Details, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		d, err = s.ByOwnerTx(ctx, tx, o)
		return err
	})
	return d, err
}

// Details returns a mailbox's row. Faults: NotFound Mailbox.
func (s *Store) Details(ctx context.Context, id ID) (d Details, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		d, err = s.DetailsTx(ctx, tx, id)
		return err
	})
	return d, err
}

// DetailsTx is Details in the caller's transaction.
func (s *Store) DetailsTx(ctx context.Context, tx *db.Tx, id ID) (Details, error) {
	d, err := scanDetails(tx.QueryRow(ctx, detailColumns+`WHERE id = $1`, int64(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return d, noMailbox(id)
	}
	if err != nil {
		return d, fmt.Errorf("read mailbox %s: %w", id, err)
	}
	return d, nil
}

// The counter itself may stand higher, where numbers were taken ahead (see spares).
const readChange = `SELECT MAX(number) FROM (SELECT tree_change AS number FROM mailbox WHERE id = $1
UNION ALL SELECT highest FROM folder WHERE mailbox = $1 UNION ALL SELECT properties_changed FROM folder WHERE mailbox = $1) AS given`

// Change returns the number of the last change to a mailbox's folders and what is in them: whatever changes later gets a higher one.
// Faults: NotFound Mailbox.
func (s *Store) Change(ctx context.Context, id ID) (last ModSeq, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		var n sql.Null[ModSeq]
		if err := tx.QueryRow(ctx, readChange, int64(id)).Scan(&n); err != nil {
			return fmt.Errorf("read the last change to mailbox %s: %w", id, err)
		}
		if !n.Valid {
			return noMailbox(id)
		}
		last = n.V
		return nil
	})
	return last, err
}
