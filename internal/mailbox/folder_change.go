package mailbox

import (
	"context"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// changeTree runs fn with the mailbox locked and its folders read; fn's changes get the number.
func (s *Store) changeTree(ctx context.Context, id ID, fn func(context.Context, *db.Tx, *forest) error) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		l, err := s.lock(ctx, tx, id, 1, 0, 0)
		if err != nil {
			return err
		}
		t, err := readFolders(ctx, tx, id)
		if err != nil {
			return err
		}
		w := &forest{tree: t, store: s, id: id, change: l.change, validity: l.validity}
		if err := fn(ctx, tx, w); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE mailbox SET tree_change = $2, next_folder = next_folder + $3, uidvalidity = $4 WHERE id = $1`,
			int64(id), int64(w.change), w.made, w.validity)
		if err != nil {
			return fmt.Errorf("change the folders of mailbox %s: %w", id, err)
		}
		return nil
	})
}

// forest is a locked mailbox's folders while they are changed.
type forest struct {
	*tree
	store    *Store
	id       ID
	change   ModSeq
	validity uint32 // the last UIDVALIDITY given out
	made     int    // folders made
	next     FolderID
}

// plant makes a folder under parent. Faults: Limit Folder.
func (w *forest) plant(ctx context.Context, tx *db.Tx, f Folder) (Folder, error) {
	if len(w.list.Folders)+w.made >= w.store.limits.MaxFolders {
		return f, fault.New(fault.Limit, fault.Folder, "the mailbox has %d folders; it can't have more", w.store.limits.MaxFolders)
	}
	if w.made == 0 {
		if err := tx.QueryRow(ctx, `SELECT next_folder FROM mailbox WHERE id = $1`, int64(w.id)).Scan(&w.next); err != nil {
			return f, fmt.Errorf("take a folder id in mailbox %s: %w", w.id, err)
		}
	}
	f.ID = w.next + FolderID(w.made)
	w.made++
	f.UIDValidity, f.UIDNext, f.Highest = w.freshValidity(), 1, w.change
	f.PropertiesChanged, f.CountsChanged = w.change, w.change
	return f, insertFolder(ctx, tx, w.id, f, w.change)
}

// freshValidity returns a UIDVALIDITY above all the mailbox has had, so that a folder made anew under an old name is never
// taken for the old one (RFC 3501 section 2.3.1.1).
func (w *forest) freshValidity() uint32 {
	w.validity = max(w.validity+1, uint32(w.store.clock.Now().Unix()))
	return w.validity
}

// parents makes what is missing above the last of names and returns the id of the folder just above it, 0 at the top.
func (w *forest) parents(ctx context.Context, tx *db.Tx, names []string) (FolderID, error) {
	parent := FolderID(0)
	for i := range names[:len(names)-1] {
		if f, ok := w.find(names[:i+1]); ok {
			parent = f.ID
			continue
		}
		subscribed, err := w.takeSubscription(ctx, tx, names[:i+1])
		if err != nil {
			return 0, err
		}
		f, err := w.plant(ctx, tx, Folder{Parent: parent, Name: names[i], Subscribed: subscribed})
		if err != nil {
			return 0, err
		}
		parent = f.ID
	}
	return parent, nil
}

// takeSubscription removes the subscription of a path that had no folder and says whether there was one.
func (w *forest) takeSubscription(ctx context.Context, tx *db.Tx, names []string) (bool, error) {
	n, err := tx.Exec(ctx, `DELETE FROM subscription WHERE mailbox = $1 AND key = $2`, int64(w.id), pathKey(names))
	return n > 0, err
}

// CreateFolder makes a folder, and the missing ones above it. Where the path is a name without items (NoItems), that name
// becomes a folder. Faults: Exists Folder; Invalid Folder (name rules, INBOX); Limit Folder (number of folders); InUse
// Folder (another folder has the use).
func (s *Store) CreateFolder(ctx context.Context, id ID, path string, kind Kind, use Use) (f Folder, err error) {
	names, err := splitPath(path)
	if err != nil {
		return f, err
	}
	err = s.changeTree(ctx, id, func(ctx context.Context, tx *db.Tx, w *forest) error {
		if use != NoUse {
			for _, other := range w.list.Folders {
				if other.Use == use {
					return fault.New(fault.InUse, fault.Folder, "folder %q has that special use already", other.Path)
				}
			}
		}
		old, exists := w.find(names)
		switch {
		case exists && (old.Kind != NoItems || kind == NoItems):
			return fault.New(fault.Exists, fault.Folder, "there is a folder %q already", old.Path)
		case exists:
			f = old
			f.Kind, f.Use, f.UIDValidity, f.PropertiesChanged = kind, use, w.freshValidity(), w.change
			_, err := tx.Exec(ctx, `UPDATE folder SET kind = $3, special = $4, uidvalidity = $5, properties_changed = $6
WHERE mailbox = $1 AND id = $2`, int64(id), int64(f.ID), f.Kind, f.Use, f.UIDValidity, int64(w.change))
			return err
		}
		parent, err := w.parents(ctx, tx, names)
		if err != nil {
			return err
		}
		subscribed, err := w.takeSubscription(ctx, tx, names)
		if err != nil {
			return err
		}
		f, err = w.plant(ctx, tx, Folder{Parent: parent, Name: names[len(names)-1], Kind: kind, Use: use, Subscribed: subscribed})
		f.Path = strings.Join(names, Delimiter)
		return err
	})
	return f, err
}

// RenameFolder renames from to to, making missing folders above it; what lies below moves along, and ids, UIDs and
// subscriptions stay. Renaming INBOX moves its items into a new folder and leaves INBOX and the folders below it (RFC 3501
// section 6.3.5), as Move does. Faults: NotFound Folder; Exists Folder; Invalid Folder (name rules, a place below itself);
// Unsupported Folder (the other default folders); Limit Folder.
func (s *Store) RenameFolder(ctx context.Context, id ID, from, to string) error {
	source, err := splitPath(from)
	if err != nil {
		return err
	}
	target, err := splitPath(to)
	if err != nil {
		return err
	}
	var moveTo FolderID
	err = s.changeTree(ctx, id, func(ctx context.Context, tx *db.Tx, w *forest) error {
		moveTo = 0
		f, ok := w.find(source)
		if !ok {
			return fault.New(fault.NotFound, fault.Folder, "there is no folder %q", from)
		}
		if other, ok := w.find(target); ok && (other.ID != f.ID || f.Path == strings.Join(target, Delimiter)) {
			return fault.New(fault.Exists, fault.Folder, "there is a folder %q already", other.Path)
		}
		if f.Default && f.Use != Inbox {
			return fault.New(fault.Unsupported, fault.Folder, "folder %q belongs to every mailbox and can't be renamed", f.Path)
		}
		if f.Use != Inbox && len(target) > len(source) && pathKey(target[:len(source)]) == pathKey(source) {
			return badPath("folder %q can't be moved below itself", f.Path)
		}
		if err := w.fits(f, target); err != nil {
			return err
		}
		parent, err := w.parents(ctx, tx, target)
		if err != nil {
			return err
		}
		subscribed, err := w.takeSubscription(ctx, tx, target)
		if err != nil {
			return err
		}
		if f.Use == Inbox {
			made, err := w.plant(ctx, tx, Folder{Parent: parent, Name: target[len(target)-1], Subscribed: subscribed})
			moveTo = made.ID
			return err
		}
		name := target[len(target)-1]
		_, err = tx.Exec(ctx, `UPDATE folder SET parent = $3, name = $4, key = $5, subscribed = $6, properties_changed = $7
WHERE mailbox = $1 AND id = $2`, int64(id), int64(f.ID), int64(parent), name, nameKey(name), f.Subscribed || subscribed, int64(w.change))
		return err
	})
	if err != nil || moveTo == 0 {
		return err
	}
	_, err = s.Move(ctx, id, InboxID, AllUIDs(), moveTo)
	return err
}

// fits checks that what lies below f keeps to the limits when f is called target.
func (w *forest) fits(f Folder, target []string) error {
	if f.Use == Inbox {
		return nil
	}
	path := strings.Join(target, Delimiter)
	for _, c := range w.below(f.ID) {
		if _, err := splitPath(path + c.Path[len(f.Path):]); err != nil {
			return err
		}
	}
	return nil
}

// Subscribe subscribes or unsubscribes a path, whether a folder is there or not (RFC 3501 section 6.3.6). Faults: Invalid
// Folder; Limit Folder (as many subscriptions without a folder as folders are allowed).
func (s *Store) Subscribe(ctx context.Context, id ID, path string, on bool) error {
	names, err := splitPath(path)
	if err != nil {
		return err
	}
	return s.changeTree(ctx, id, func(ctx context.Context, tx *db.Tx, w *forest) error {
		if f, ok := w.find(names); ok {
			_, err := tx.Exec(ctx, `UPDATE folder SET subscribed = $3, properties_changed = $4 WHERE mailbox = $1 AND id = $2`,
				int64(id), int64(f.ID), on, int64(w.change))
			return err
		}
		if !on {
			_, err := w.takeSubscription(ctx, tx, names)
			return err
		}
		if len(w.list.SubscribedOnly) >= s.limits.MaxFolders {
			return fault.New(fault.Limit, fault.Folder, "the mailbox has %d subscriptions; it can't have more", s.limits.MaxFolders)
		}
		return w.keepSubscription(ctx, tx, names)
	})
}

func (w *forest) keepSubscription(ctx context.Context, tx *db.Tx, names []string) error {
	_, err := tx.Exec(ctx, `INSERT INTO subscription (mailbox, key, path) VALUES ($1, $2, $3) ON CONFLICT (mailbox, key) DO NOTHING`,
		int64(w.id), pathKey(names), strings.Join(names, Delimiter))
	return err
}
