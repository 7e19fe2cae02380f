package migration

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/lazy"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/principal"
)

// MailPage is what the source has in one range of UIDs of a folder.
type MailPage struct {
	Mailbox int64 `json:"mailbox"`
	Key     int64 `json:"key"`
	// First to Last is the range.
	First uint32 `json:"first"`
	Last  uint32 `json:"last"`
	// UIDs are all that are there, and Flags those of some of them: the others' are as they were.
	UIDs  mailbox.UIDSet `json:"uids"`
	Flags []SourceFlags  `json:"flags,omitempty"`
}

// SourceFlags are the flags of a message at the source.
type SourceFlags struct {
	UID   uint32   `json:"uid"`
	Flags []string `json:"flags"`
}

// MailSynced says what Sync, or Settle, did.
type MailSynced struct {
	// Wanted are the UIDs whose messages are not here.
	Wanted mailbox.UIDSet `json:"wanted,omitempty"`
	// Flagged messages got other flags, Removed ones are gone, Kept ones are gone at the source alone: they were changed here, or
	// moved or removed already.
	Flagged int64 `json:"flagged"`
	Removed int64 `json:"removed"`
	Kept    int64 `json:"kept"`
	// Dropped are keywords that the mailbox can't have.
	Dropped []string `json:"dropped,omitempty"`
	// More asks for the same call again.
	More bool `json:"more"`
}

// maxPage bounds the messages of a page.
const maxPage = 10_000

// Sync does here what happened at the source to the messages of a range that came from there. A flag is set or taken away here if
// it was at the source since the last run; all other flags stay as they are here. A message that is gone at the source is removed
// unless it was changed here: by then it is its owner's. Faults: NotFound and State Mailbox, NotFound Folder.
func (m *Mail) Sync(ctx context.Context, p principal.Principal, r MailPage) (out MailSynced, err error) {
	if err := mayImport(p); err != nil {
		return out, err
	}
	if r.First == 0 || r.UIDs.Len() > maxPage || len(r.Flags) > maxPage {
		return out, fault.New(fault.Invalid, fault.None, "a page begins with 1 and has at most %d messages", maxPage)
	}
	f, err := m.folder(ctx, r.Mailbox, r.Key)
	if err != nil {
		return out, err
	}
	flags := map[uint32]mailbox.Flags{}
	words := m.words(f.mailbox)
	for _, one := range r.Flags {
		if flags[one.UID], err = words.bits(ctx, one.Flags); err != nil {
			return out, err
		}
	}
	out.Dropped = words.dropped
	var known []mailbox.UID
	for after := r.First - 1; ; {
		var items []itemRow
		err := m.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			items, err = itemsTx(ctx, tx, f.key, after, r.Last, batchRows)
			return err
		})
		if err != nil {
			return out, err
		}
		var gone, changed []itemRow
		for _, i := range items {
			now, told := flags[i.uid]
			switch {
			case !r.UIDs.Contains(mailbox.UID(i.uid)):
				gone = append(gone, i)
				continue
			case told && now != i.flags:
				changed = append(changed, i)
			}
			known = append(known, mailbox.UID(i.uid))
		}
		if err := m.remove(ctx, &f, gone, &out); err != nil {
			return out, err
		}
		if err := m.reflag(ctx, &f, changed, flags, &out); err != nil {
			return out, err
		}
		if len(items) < batchRows {
			break
		}
		after = items[len(items)-1].uid
	}
	have := mailbox.UIDs(known...)
	var wanted []mailbox.UID
	for u := range r.UIDs.All() {
		if !have.Contains(u) {
			wanted = append(wanted, u)
		}
	}
	out.Wanted = mailbox.UIDs(wanted...)
	return out, nil
}

// byPlace calls fn for the items of each folder here.
func byPlace(items []itemRow, fn func(place mailbox.FolderID, items []itemRow) error) error {
	groups := map[mailbox.FolderID][]itemRow{}
	var places []mailbox.FolderID
	for _, i := range items {
		if groups[i.place] == nil {
			places = append(places, i.place)
		}
		groups[i.place] = append(groups[i.place], i)
	}
	slices.Sort(places)
	for _, p := range places {
		if err := fn(p, groups[p]); err != nil {
			return err
		}
	}
	return nil
}

// remove removes items that are gone at the source, and forgets where they came from.
func (m *Mail) remove(ctx context.Context, f *folderRow, items []itemRow, sum *MailSynced) error {
	if len(items) == 0 {
		return nil
	}
	var removed, kept int64
	err := m.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		removed, kept = 0, 0
		err := byPlace(items, func(place mailbox.FolderID, items []itemRow) error {
			all := make([]mailbox.Followed, len(items))
			for k, i := range items {
				all[k] = mailbox.Followed{UID: i.here, Item: i.item, Since: i.changed, Remove: true}
			}
			fates, err := m.Mailboxes.FollowTx(ctx, tx, f.mailbox, place, all)
			for _, fate := range fates {
				if fate.Fate == mailbox.Removed {
					removed++
				} else {
					kept++
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, i := range items {
			if _, err := tx.Exec(ctx, `DELETE FROM import_item WHERE folder = $1 AND uid = $2`, f.key, int64(i.uid)); err != nil {
				return fmt.Errorf("forget what was imported: %w", err)
			}
		}
		return nil
	})
	if err == nil {
		sum.Removed, sum.Kept = sum.Removed+removed, sum.Kept+kept
	}
	return err
}

// reflag carries changes of flags over.
func (m *Mail) reflag(ctx context.Context, f *folderRow, items []itemRow, now map[uint32]mailbox.Flags, sum *MailSynced) error {
	if len(items) == 0 {
		return nil
	}
	var flagged int64
	err := m.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		flagged = 0
		return byPlace(items, func(place mailbox.FolderID, items []itemRow) error {
			all := make([]mailbox.Followed, len(items))
			for k, i := range items {
				all[k] = mailbox.Followed{UID: i.here, Item: i.item, Since: i.changed, Change: mailbox.FlagChange{
					Add: now[i.uid] &^ i.flags, Remove: i.flags &^ now[i.uid],
				}}
			}
			fates, err := m.Mailboxes.FollowTx(ctx, tx, f.mailbox, place, all)
			if err != nil {
				return err
			}
			for k, i := range items {
				changed := i.changed
				if fate := fates[k]; fate.Fate == mailbox.Changed || fate.Fate == mailbox.Same {
					if fate.Fate == mailbox.Changed {
						flagged++
					}
					if !fate.Own { // else it stays its owner's
						changed = fate.ModSeq
					}
				}
				_, err := tx.Exec(ctx, `UPDATE import_item SET flags = $3, changed = $4 WHERE folder = $1 AND uid = $2`,
					f.key, int64(i.uid), int64(now[i.uid]), int64(changed))
				if err != nil {
					return fmt.Errorf("remember the flags of what was imported: %w", err)
				}
			}
			return nil
		})
	})
	if err == nil {
		sum.Flagged += flagged
	}
	return err
}

// words turns flags of a source into the bits of a mailbox.
type words struct {
	store    *mailbox.Store
	id       mailbox.ID
	keywords *mailbox.Keywords
	dropped  []string // can't be kept
}

func (m *Mail) words(id mailbox.ID) *words { return &words{store: m.Mailboxes, id: id} }

var systemFlags = lazy.Value[map[string]mailbox.Flags]{Make: func() map[string]mailbox.Flags {
	return map[string]mailbox.Flags{
		`\seen`: mailbox.Seen, `\answered`: mailbox.Answered, `\flagged`: mailbox.Flagged, `\deleted`: mailbox.Deleted, `\draft`: mailbox.Draft,
	}
}}

func (w *words) bits(ctx context.Context, names []string) (flags mailbox.Flags, err error) {
	for _, name := range names {
		if strings.HasPrefix(name, `\`) {
			flags |= systemFlags.Get()[strings.ToLower(name)] // \Recent is the session's, others are nobody's
			continue
		}
		if w.keywords == nil {
			if w.keywords, err = w.store.Keywords(ctx, w.id); err != nil {
				return 0, err
			}
		}
		bit, known := w.keywords.Bit(name)
		if !known {
			if slices.Contains(w.dropped, name) {
				continue
			}
			bit, err = w.store.DefineKeywords(ctx, w.id, []string{name})
			if fault.Is(err, fault.Invalid, fault.Message) || fault.Is(err, fault.Limit, fault.Mailbox) {
				w.dropped = append(w.dropped, name)
				continue
			}
			if err != nil {
				return 0, err
			}
			w.keywords = nil
		}
		flags |= bit
	}
	return flags, nil
}

// MailPassed says that all of a folder of the source was gone through: it had these numbers when that began.
type MailPassed struct {
	Mailbox int64  `json:"mailbox"`
	Key     int64  `json:"key"`
	UIDNext uint32 `json:"uidNext"`
	ModSeq  uint64 `json:"modSeq"`
}

// MailCount is how many messages of a folder of the source came here.
type MailCount struct {
	Messages int64 `json:"messages"`
}

// Passed remembers how far the import of a folder came, and counts. Fault: NotFound Folder.
func (m *Mail) Passed(ctx context.Context, p principal.Principal, r MailPassed) (out MailCount, err error) {
	if err := mayImport(p); err != nil {
		return out, err
	}
	err = m.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if _, err := folderTx(ctx, tx, r.Mailbox, r.Key); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE import_folder SET uidnext = $2, modseq = $3 WHERE key = $1`, r.Key, int64(r.UIDNext), int64(r.ModSeq))
		if err != nil {
			return fmt.Errorf("remember the import of a folder: %w", err)
		}
		out.Messages, err = countTx(ctx, tx, r.Key)
		return err
	})
	return out, err
}
