package mailbox

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/pennypost/pennypost/internal/db"
)

// Fetch goes through the items of set that exist, ascending by UID. It reads pages of some hundred and holds no database
// snapshot in between, so a slow caller stops nobody; items that leave meanwhile may be missing. An Item and what it points to
// are valid until the next step, unless copied (a copy of the Item keeps its slices). changedSince above 0 leaves out items
// whose ModSeq is not above it. What needs no pages, the flags of many items or of some thousands that changed, is of one moment. The
// sequence ends after its first error. Faults: NotFound Folder, Temporary.
func (s *Store) Fetch(ctx context.Context, id ID, f FolderID, set UIDSet, want Want, changedSince ModSeq) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		var it Item
		if changedSince > 0 {
			c, err := s.Changes(ctx, id, f, changedSince)
			if err != nil {
				yield(nil, err)
				return
			}
			var changed UIDSet
			pages := want&^WantModSeq != 0 || len(c.Changed) > changesHeld
			for _, u := range c.Changed {
				if !set.Contains(u.UID) {
					continue
				}
				if pages {
					changed.add(u.UID)
				} else if it.UID, it.Flags, it.ModSeq = u.UID, u.Flags, u.ModSeq; !yield(&it, nil) {
					return
				}
			}
			set = changed
		} else if want == WantFlags && set.Len() > s.limits.FewItems {
			uids, flags, err := s.flagsOf(ctx, id, f, set)
			if err != nil {
				yield(nil, err)
				return
			}
			if flags != nil {
				for it.UID, it.Flags = range flags.of(uids) {
					if !yield(&it, nil) {
						return
					}
				}
				return
			}
		}
		p := pager{store: s, id: id, folder: f, want: want.full(), set: slices.Clone(set)}
		for !p.done() {
			if err := p.read(ctx); err != nil {
				yield(nil, err)
				return
			}
			for i := range p.page {
				if !yield(&p.page[i], nil) {
					return
				}
			}
		}
	}
}

// changesHeld is how many changes are held while a caller goes through them; more are read again, in pages.
const changesHeld = 8 * pageItems

// full adds what a want implies.
func (w Want) full() Want {
	w &^= WantModSeq // every row's
	if w&WantBody != 0 {
		w |= WantPrefix
	}
	if w&WantMeta != 0 {
		w |= WantEnvelope
	}
	if w&(WantMeta|WantPrefix) != 0 {
		w |= WantItem
	}
	return w
}

const (
	pageItems = 512     // items per page at most
	pageBytes = 1 << 20 // about how many bytes of bodies, envelopes and the like per page
	// Single UIDs this close are read by one scan that skips what lies between.
	closeUIDs = 64
)

// pager reads the items of a set page by page.
type pager struct {
	store  *Store
	id     ID
	folder FolderID
	want   Want
	set    UIDSet // what is left
	page   []Item
}

func (p *pager) done() bool { return len(p.set) == 0 }

// read reads the next page and takes what it covered out of the set.
func (p *pager) read(ctx context.Context) error {
	span, ranges := p.span()
	dense := ranges == 1
	var covered UID
	err := p.store.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		covered = span.Last
		p.page = p.page[:0]
		rows, err := tx.Query(ctx, fetchTexts.Get()[p.want], int64(p.id), int64(p.folder), int64(span.First), int64(span.Last), pageItems)
		if err != nil {
			return err
		}
		defer rows.Close()
		n, bytes := 0, 0
		var sc itemScan
		for rows.Next() {
			if bytes > pageBytes {
				covered = sc.item.UID
				return nil
			}
			if err := sc.scan(rows, p.want); err != nil {
				return err
			}
			if n++; dense || p.set.Contains(sc.item.UID) {
				bytes += sc.bytes()
				p.page = append(p.page, sc.item)
			}
		}
		if n == pageItems {
			covered = sc.item.UID
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("fetch from folder %d of mailbox %s: %w", p.folder, p.id, err)
	}
	p.set = p.set.above(covered)
	return nil
}

// span returns the next UIDs to scan and how many ranges of the set they take in.
func (p *pager) span() (UIDRange, int) {
	span, n := p.set[0], 1
	for _, r := range p.set[1:] {
		if r.First-span.Last > closeUIDs || n == pageItems {
			break
		}
		span.Last = r.Last
		n++
	}
	return span, n
}

// above returns the part of the set above u. It changes the set, which must be the caller's own.
func (s UIDSet) above(u UID) UIDSet {
	for len(s) > 0 && s[0].Last <= u {
		s = s[1:]
	}
	if len(s) > 0 && s[0].First <= u {
		s[0].First = u + 1
	}
	return s
}
