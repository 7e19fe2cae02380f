package mailbox

import (
	"context"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
)

// Filed is what a user did with items of a mailbox that says whether they are junk: they were moved or copied into Junk E-mail or out
// of it, put there, or marked with $Junk or $NotJunk.
type Filed struct {
	Mailbox ID
	Org     OrgKey
	// From and To are the folders; From is 0 for items that were put into To, and To for those marked there.
	From, To FolderID
	// Root is the folder at the top that To lies below, of what was moved or copied out of Junk E-mail; To where it is at the top.
	Root FolderID
	// Junk and NotJunk say what the items were marked with; neither where they were moved or copied.
	Junk, NotJunk bool
	// Brought says that this was done where the items were brought from.
	Brought bool
	// Since is a number before which nothing happened to the items after this: Touched finds where they are now.
	Since ModSeq
	Items []FiledItem
}

// FiledItem is one of them. An item and its copies have the same Email.
type FiledItem struct {
	Email EmailID
	UID   UID // in To
	// Received is INTERNALDATE of what was brought.
	Received time.Time
}

// filed tells that rows went from a folder to another, where they have the UIDs to.
func (s *Store) filed(ctx context.Context, tx *db.Tx, l locked, from, to FolderID, rows []row, uids []UID) error {
	if s.limits.Filed == nil || (from == JunkID) == (to == JunkID) {
		return nil
	}
	f := Filed{Mailbox: l.id, Org: l.org, From: from, To: to, Since: l.change, Items: make([]FiledItem, len(rows))}
	for i, w := range rows {
		f.Items[i] = FiledItem{Email: w.email, UID: uids[i]}
	}
	f.Root = to
	for parent := FolderID(0); from == JunkID; f.Root = parent {
		if err := tx.QueryRow(ctx, `SELECT parent FROM folder WHERE mailbox = $1 AND id = $2`, int64(l.id), int64(f.Root)).Scan(&parent); err != nil {
			return fmt.Errorf("look where folder %d of mailbox %s is: %w", to, l.id, err)
		}
		if parent == 0 {
			break
		}
	}
	return s.limits.Filed(ctx, tx, f)
}

// appended tells that a user put an item into a folder.
func (s *Store) appended(ctx context.Context, tx *db.Tx, l locked, to FolderID, flags Flags, item FiledItem) error {
	var marked Filed
	marked.add(flags, 0, item)
	if len(marked.Items) > 0 {
		return s.tellMarked(ctx, tx, l, to, marked)
	}
	if s.limits.Filed == nil || to != JunkID {
		return nil
	}
	return s.limits.Filed(ctx, tx, Filed{Mailbox: l.id, Org: l.org, To: to, Since: l.change, Items: []FiledItem{item}})
}

// brought tells what users said elsewhere of items that were brought here.
func (s *Store) brought(ctx context.Context, tx *db.Tx, l locked, folder FolderID, deliveries []delivery, stored []Stored) error {
	if s.limits.Filed == nil {
		return nil
	}
	said := [...]Filed{{Junk: true}, {NotJunk: true}, {}}
	for i := range stored {
		f := &said[2]
		switch flags := deliveries[i].targets[0].Flags; {
		case flags.Has(Junk) && !flags.Has(NotJunk):
			f = &said[0]
		case flags.Has(NotJunk) && !flags.Has(Junk):
			f = &said[1]
		case folder != JunkID:
			continue
		}
		f.Items = append(f.Items, FiledItem{stored[i].Email, stored[i].UID, deliveries[i].targets[0].Received})
	}
	for _, f := range said {
		f.Mailbox, f.Org, f.To, f.Since, f.Brought = l.id, l.org, folder, l.change, true
		if len(f.Items) > 0 {
			if err := s.limits.Filed(ctx, tx, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// tellMarked tells that items of a folder were marked.
func (s *Store) tellMarked(ctx context.Context, tx *db.Tx, l locked, in FolderID, f Filed) error {
	if s.limits.Filed == nil || len(f.Items) == 0 {
		return nil
	}
	f.Mailbox, f.Org, f.From, f.To, f.Since = l.id, l.org, 0, in, l.change
	return s.limits.Filed(ctx, tx, f)
}

// add takes in an item that got the flags of given that it had not, if they say what it is.
func (f *Filed) add(given, had Flags, item FiledItem) {
	junk, not := given.Has(Junk), given.Has(NotJunk)
	if junk == not || had.Has(given&(Junk|NotJunk)) {
		return
	}
	f.Junk, f.NotJunk = junk, not
	f.Items = append(f.Items, item)
}
