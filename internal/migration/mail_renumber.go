package migration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
)

// Identity is what is left of a message when the source gives it another UID: its Message-ID, in the header or the field of that
// name, the size that the source says, and the date when the source got it, to the second.
func Identity(header []byte, size int64, received time.Time) int64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%d", messageID(header), size, received.Unix()))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// messageID returns the value of the first Message-ID field as it stands, but for blanks.
func messageID(header []byte) string {
	var value []byte
	in := false
	for line := range bytes.Lines(header[:min(len(header), message.MaxHeader)]) {
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0:
			return string(value)
		case line[0] == ' ' || line[0] == '\t':
			if in {
				value = append(value, bytes.TrimSpace(line)...)
			}
		case in:
			return string(value)
		default:
			name, rest, _ := bytes.Cut(line, []byte(":"))
			if in = bytes.EqualFold(bytes.TrimSpace(name), []byte("Message-ID")); in {
				value = append(value, bytes.TrimSpace(rest)...)
			}
		}
	}
	return string(value)
}

// MailNumbers are the UIDs that messages of a folder have now.
type MailNumbers struct {
	Mailbox  int64           `json:"mailbox"`
	Key      int64           `json:"key"`
	Messages []MessageNumber `json:"messages"`
}

// MessageNumber is the UID of a message.
type MessageNumber struct {
	UID      uint32 `json:"uid"`
	Identity int64  `json:"identity"`
}

// MailFound says how many messages were found again.
type MailFound struct {
	Messages int64 `json:"messages"`
}

// MailCame asks for messages that came from a folder, in the order of their UIDs.
type MailCame struct {
	Mailbox int64  `json:"mailbox"`
	Key     int64  `json:"key"`
	After   uint32 `json:"after"` // this UID
}

// MailNumbered are at most 10,000 messages with the UIDs that they had. None means that there are no more.
type MailNumbered struct {
	Messages []MessageNumber `json:"messages"`
}

const readNumbers = `SELECT uid, identity FROM import_item WHERE folder = $1 AND uid > $2 ORDER BY uid LIMIT $3`

// Came lists what came from a folder. Fault: NotFound Folder.
func (m *Mail) Came(ctx context.Context, p principal.Principal, r MailCame) (out MailNumbered, err error) {
	if err := mayImport(p); err != nil {
		return out, err
	}
	err = m.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		if _, err := folderTx(ctx, tx, r.Mailbox, r.Key); err != nil {
			return err
		}
		out.Messages, err = db.All(ctx, tx, func(row db.Row) (n MessageNumber, err error) {
			err = row.Scan(&n.UID, &n.Identity)
			return n, err
		}, readNumbers, r.Key, int64(r.After), maxPage)
		if err != nil {
			return fmt.Errorf("list what was imported: %w", err)
		}
		return nil
	})
	return out, err
}

// maxFormer is how often a folder can get other UIDs before one of the runs comes to its end.
const maxFormer = 100

// Renumber finds messages of a folder that came here under other UIDs. Those that nothing is found for are new. Settle follows when
// all have been asked for. Fault: NotFound Folder.
func (m *Mail) Renumber(ctx context.Context, p principal.Principal, r MailNumbers) (out MailFound, err error) {
	if err := mayImport(p); err != nil {
		return out, err
	}
	if len(r.Messages) > batchRows {
		return out, fault.New(fault.Invalid, fault.None, "at most %d messages are renumbered at a time", batchRows)
	}
	err = m.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		out.Messages = 0
		f, err := folderTx(ctx, tx, r.Mailbox, r.Key)
		if err != nil {
			return err
		}
		former, err := formerTx(ctx, tx, f)
		if err != nil {
			return err
		}
		for _, one := range r.Messages {
			found, err := renumberTx(ctx, tx, f, former, one)
			if err != nil {
				return fmt.Errorf("renumber what was imported: %w", err)
			}
			if found {
				out.Messages++
			}
		}
		return nil
	})
	return out, err
}

// formerTx returns the rows that a folder follows, the newest first.
func formerTx(ctx context.Context, tx *db.Tx, f folderRow) (all []folderRow, err error) {
	for f.previous != 0 && len(all) < maxFormer {
		if f, err = folderTx(ctx, tx, int64(f.mailbox), f.previous); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

const (
	findItem  = `SELECT uid FROM import_item WHERE folder = $1 AND identity = $2 ORDER BY uid LIMIT 1`
	hasItem   = `SELECT COUNT(*) FROM import_item WHERE folder = $1 AND uid = $2`
	giveTo    = `UPDATE import_item SET folder = $3, uid = $4 WHERE folder = $1 AND uid = $2`
	unfollow  = `UPDATE import_folder SET previous = 0 WHERE mailbox = $1 AND previous = $2`
	forgetRow = `DELETE FROM import_folder WHERE key = $1`
)

func renumberTx(ctx context.Context, tx *db.Tx, f folderRow, former []folderRow, one MessageNumber) (bool, error) {
	var n int64
	if err := tx.QueryRow(ctx, hasItem, f.key, int64(one.UID)).Scan(&n); err != nil || n > 0 {
		return false, err
	}
	for _, old := range former {
		var uid int64
		err := tx.QueryRow(ctx, findItem, old.key, one.Identity).Scan(&uid)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err == nil {
			_, err = tx.Exec(ctx, giveTo, old.key, uid, f.key, int64(one.UID))
		}
		return err == nil, err
	}
	return false, nil
}

// MailSettle names a folder whose past is to be settled.
type MailSettle struct {
	Mailbox int64 `json:"mailbox"`
	Key     int64 `json:"key"`
	// Gone says that the source has the folder no more: all that came from it goes, and the folder here where nothing is left in it.
	Gone bool `json:"gone"`
}

// Settle removes messages that were not found again, as Sync does, some hundred at a time: it is to be called until nothing is More.
func (m *Mail) Settle(ctx context.Context, p principal.Principal, r MailSettle) (out MailSynced, err error) {
	if err := mayImport(p); err != nil {
		return out, err
	}
	var f, oldest folderRow
	var items []itemRow
	done := false
	err = m.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		if f, err = folderTx(ctx, tx, r.Mailbox, r.Key); err != nil {
			return err
		}
		former, err := formerTx(ctx, tx, f)
		if err != nil {
			return err
		}
		done, items = len(former) == 0 && !r.Gone, nil
		if oldest = f; len(former) > 0 {
			oldest = former[len(former)-1]
		}
		if done {
			return nil
		}
		items, err = itemsTx(ctx, tx, oldest.key, 0, 1<<32-1, batchRows)
		return err
	})
	if err != nil || done {
		return out, err
	}
	if len(items) > 0 {
		out.More = true
		return out, m.remove(ctx, &oldest, items, &out)
	}
	if out.More = oldest.key != f.key; !out.More {
		if err := m.dropFolder(ctx, &f); err != nil {
			return out, err
		}
	}
	return out, m.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, forgetRow, oldest.key)
		if err == nil {
			_, err = tx.Exec(ctx, unfollow, r.Mailbox, oldest.key)
		}
		if err != nil {
			return fmt.Errorf("forget the import of a folder: %w", err)
		}
		return nil
	})
}

// dropFolder deletes the folder here that messages of a source's folder went to, if it is as it was made, and nothing is in it or
// below it.
func (m *Mail) dropFolder(ctx context.Context, f *folderRow) error {
	here, err := m.Mailboxes.FolderByID(ctx, f.mailbox, f.folder)
	if fault.Is(err, fault.NotFound, fault.Folder) {
		return nil
	}
	if err != nil {
		return err
	}
	if here.Default || here.Use != mailbox.NoUse || here.Messages > 0 || here.HasChildren || here.Path != f.path {
		return nil
	}
	var others int64
	err = m.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT COUNT(*) FROM import_folder WHERE mailbox = $1 AND folder = $2 AND key <> $3`,
			int64(f.mailbox), int64(f.folder), f.key).Scan(&others)
	})
	if err != nil {
		return fmt.Errorf("drop an imported folder: %w", err)
	}
	if others > 0 {
		return nil
	}
	err = m.Mailboxes.DeleteFolder(ctx, f.mailbox, here.Path, false)
	if f := fault.As(err); f != nil && f.Subject == fault.Folder {
		return nil
	}
	return err
}
