package migration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/principal"
)

// MailConfig is what a Mail is made of.
type MailConfig struct {
	DB        *db.DB
	Directory *directory.Service
	Mailboxes *mailbox.Store
	Audit     *audit.Log
	// MaxMessage is the largest message in bytes that is taken.
	MaxMessage int64
	// Spool is the directory of large messages on their way in.
	Spool string
}

// Mail takes in mail from other servers, and remembers where each message came from: in the transaction that stores it, so that
// a message is here once, whenever a run was ended. It is safe for concurrent use.
type Mail struct {
	MailConfig
	large chan struct{} // few large messages are in memory at once
}

// NewMail returns the service.
func NewMail(c MailConfig) *Mail { return &Mail{MailConfig: c, large: make(chan struct{}, 2)} }

// batchRows is about how many messages one transaction touches.
const batchRows = mailbox.BatchRows

// Account asks to bring the mail of one account into a mailbox.
type Account struct {
	Organization string `json:"organization"` // "m-…"
	Address      string `json:"address"`      // of the user or resource here, or its name or id
	Source       string `json:"source"`       // the server's name and the user's there; the same for each run
	Dry          bool   `json:"dry"`          // nothing is going to be changed
}

// Opened is the mailbox of an account.
type Opened struct {
	Mailbox int64 `json:"mailbox"`
	// Bytes of Quota are in use.
	Bytes, Quota int64
	MaxMessage   int64
}

// The audit trail's words.
const (
	importOperation = "ImportMail"
	maxSourceName   = 1000
)

// Open begins a run for an account, and writes an audit record unless it is dry. Faults: NotFound Organization, Entity and Mailbox;
// State Organization, Entity and Mailbox.
func (m *Mail) Open(ctx context.Context, p principal.Principal, a Account) (opened Opened, err error) {
	if err := mayImport(p); err != nil {
		return opened, err
	}
	look := func(ctx context.Context, tx *db.Tx, o *directory.Organization) (subject string, err error) {
		e, err := m.Directory.ResolveTx(ctx, tx, o, a.Address, directory.Narrow{})
		switch {
		case err != nil:
			return "", err
		case e.Kind == directory.KindGroup:
			return "", fault.New(fault.Unsupported, fault.Entity, "%s is a group and has no mailbox", a.Address)
		case e.State != directory.Enabled:
			return "", fault.New(fault.State, fault.Entity, "%s is in state %s; register it to WorkMail first", a.Address, e.State)
		}
		d, err := m.Mailboxes.ByOwnerTx(ctx, tx, mailbox.Owner{Org: mailbox.OrgKey(e.OrgKey), Entity: string(e.ID)})
		if err != nil {
			return "", err
		}
		if d.State != mailbox.Open {
			return "", fault.New(fault.State, fault.Mailbox, "the mailbox of %s is closed", a.Address)
		}
		opened = Opened{Mailbox: int64(d.ID), Bytes: d.Bytes, Quota: d.Quota, MaxMessage: m.MaxMessage}
		return string(e.ID), nil
	}
	org := directory.OrgID(a.Organization)
	if a.Dry {
		return opened, m.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
			_, err := look(ctx, tx, o)
			return err
		})
	}
	if a.Source == "" || len(a.Source) > maxSourceName {
		return opened, fault.New(fault.Invalid, fault.None, "the source's name has 1 to %d bytes, not %d", maxSourceName, len(a.Source))
	}
	err = m.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := m.Directory.GateTx(ctx, tx, org)
		if err != nil {
			return err
		}
		subject, err := look(ctx, tx, o)
		if err != nil {
			return err
		}
		r := audit.Of(p, a.Organization, importOperation, subject)
		r.Detail = "from " + a.Source
		return m.Audit.AppendTx(ctx, tx, r)
	})
	return opened, err
}

// mayImport lets only the operator in: who imports names mailboxes by their numbers.
func mayImport(p principal.Principal) error {
	if p.Kind != principal.Operator {
		return fault.New(fault.Denied, fault.None, "only the operator may import mail")
	}
	return nil
}

// folderRow is a row of import_folder.
type folderRow struct {
	key         int64
	mailbox     mailbox.ID
	name        string
	uidvalidity uint32
	uidnext     int64
	modseq      int64
	folder      mailbox.FolderID
	path        string
	previous    int64
}

const folderColumns = `SELECT key, mailbox, name, uidvalidity, uidnext, modseq, folder, path, previous FROM import_folder `

func scanFolder(r db.Row) (f folderRow, err error) {
	err = r.Scan(&f.key, &f.mailbox, &f.name, &f.uidvalidity, &f.uidnext, &f.modseq, &f.folder, &f.path, &f.previous)
	return f, err
}

// folderTx reads a row by its key, which must be of the mailbox.
func folderTx(ctx context.Context, tx *db.Tx, id, key int64) (folderRow, error) {
	f, err := scanFolder(tx.QueryRow(ctx, folderColumns+`WHERE key = $1`, key))
	if errors.Is(err, sql.ErrNoRows) || err == nil && int64(f.mailbox) != id {
		return f, fault.New(fault.NotFound, fault.Folder, "this folder's import is not known (any more): run the import again")
	}
	if err != nil {
		return f, fmt.Errorf("read the import of a folder: %w", err)
	}
	return f, nil
}

func (m *Mail) folder(ctx context.Context, id, key int64) (f folderRow, err error) {
	err = m.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		f, err = folderTx(ctx, tx, id, key)
		return err
	})
	return f, err
}

// foldersOf reads all rows of a source in a mailbox, oldest first.
func (m *Mail) foldersOf(ctx context.Context, id mailbox.ID, source string) (all []folderRow, err error) {
	err = m.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		all, err = foldersTx(ctx, tx, folderColumns+`WHERE mailbox = $1 AND source = $2 ORDER BY key`, int64(id), source)
		return err
	})
	return all, err
}

func foldersTx(ctx context.Context, tx *db.Tx, query string, args ...any) (all []folderRow, err error) {
	all, err = db.All(ctx, tx, scanFolder, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read the imports of folders: %w", err)
	}
	return all, nil
}

// itemRow is a row of import_item.
type itemRow struct {
	uid     uint32
	place   mailbox.FolderID
	here    mailbox.UID
	item    mailbox.ItemID
	changed mailbox.ModSeq
	flags   mailbox.Flags
}

const readItems = `SELECT uid, place, here, item, changed, flags FROM import_item
WHERE folder = $1 AND uid > $2 AND uid <= $3 ORDER BY uid LIMIT $4`

func itemsTx(ctx context.Context, tx *db.Tx, folder int64, after, upTo uint32, limit int) (items []itemRow, err error) {
	items, err = db.All(ctx, tx, func(row db.Row) (i itemRow, err error) {
		err = row.Scan(&i.uid, &i.place, &i.here, &i.item, &i.changed, &i.flags)
		return i, err
	}, readItems, folder, int64(after), int64(upTo), limit)
	if err != nil {
		return nil, fmt.Errorf("read what was imported: %w", err)
	}
	return items, nil
}

// ForgetTx removes up to limit rows about a mailbox that is being purged, and returns how many; fewer means that none are left.
func (m *Mail) ForgetTx(ctx context.Context, tx *db.Tx, id mailbox.ID, limit int) (int, error) {
	folders, err := foldersTx(ctx, tx, folderColumns+`WHERE mailbox = $1 ORDER BY key LIMIT $2`, int64(id), limit)
	if err != nil {
		return 0, err
	}
	n := int64(0)
	for _, f := range folders {
		gone, err := tx.Exec(ctx, `DELETE FROM import_item WHERE folder = $1 AND uid IN (SELECT uid FROM import_item WHERE folder = $1 ORDER BY uid LIMIT $2)`,
			f.key, int64(limit)-n)
		if err != nil {
			return 0, fmt.Errorf("forget what was imported: %w", err)
		}
		if n += gone; n == int64(limit) {
			break
		}
		if _, err := tx.Exec(ctx, `DELETE FROM import_folder WHERE key = $1`, f.key); err != nil {
			return 0, fmt.Errorf("forget what was imported: %w", err)
		}
		if n++; n == int64(limit) {
			break
		}
	}
	return int(n), nil
}

// Check looks for rows about mailboxes or folders that are gone, and returns a line per find.
func (m *Mail) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	boxes := map[int64]int64{}
	var orphans, dangling int64
	err = errors.Join(
		tx.Each(ctx, func(r db.Row) error {
			var id, n int64
			err := r.Scan(&id, &n)
			boxes[id] = n
			return err
		}, `SELECT mailbox, COUNT(*) FROM import_folder GROUP BY mailbox`),
		tx.QueryRow(ctx, `SELECT COUNT(*) FROM import_item i LEFT JOIN import_folder f ON f.key = i.folder WHERE f.key IS NULL`).Scan(&orphans),
		tx.QueryRow(ctx, `SELECT COUNT(*) FROM import_folder f LEFT JOIN import_folder p ON p.key = f.previous WHERE f.previous <> 0 AND p.key IS NULL`).Scan(&dangling),
	)
	if err != nil {
		return nil, fmt.Errorf("check imported mail: %w", err)
	}
	ids := make([]int64, 0, len(boxes))
	for id := range boxes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		_, err := m.Mailboxes.DetailsTx(ctx, tx, mailbox.ID(id))
		switch {
		case fault.Is(err, fault.NotFound, fault.Mailbox):
			faults = append(faults, fmt.Sprintf("migration: %d imported folders of mailbox %d, which does not exist", boxes[id], id))
		case err != nil:
			return nil, err
		}
	}
	if orphans > 0 {
		faults = append(faults, fmt.Sprintf("migration: %d imported messages of folders that are not known", orphans))
	}
	if dangling > 0 {
		faults = append(faults, fmt.Sprintf("migration: %d imported folders follow one that is not known", dangling))
	}
	return faults, nil
}
