package mailbox

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// snapshot is the UIDs of one folder at one version, and the flags, once they were asked for, at the same or an older one.
// It is immutable.
type snapshot struct {
	validity uint32
	at       ModSeq // Folder.Highest
	next     UID    // Folder.UIDNext
	uids     *UIDList
	flags    *flagLists
}

type snapshotKey struct {
	mailbox ID
	folder  FolderID
}

// snapshots keeps the newest snapshot of each folder in use, within a bound of memory, least recently used out first.
type snapshots struct {
	mu    sync.Mutex
	max   int // bytes
	used  int // bytes
	byKey map[snapshotKey]*list.Element
	order list.List // of *snapshotEntry, most recently used first
}

// snapshotEntry is a place in the cache. turn holds one token: whoever has it may read the database to renew the snapshot,
// so that many sessions selecting a large folder read it once.
type snapshotEntry struct {
	key  snapshotKey
	turn chan struct{}

	// Under snapshots.mu:
	snap  *snapshot // nil until first read
	bytes int
}

func newSnapshots(maxBytes int) *snapshots {
	return &snapshots{max: maxBytes, byKey: map[snapshotKey]*list.Element{}}
}

// entry returns the folder's entry, made where it is missing, and its snapshot.
func (c *snapshots) entry(key snapshotKey) (*snapshotEntry, *snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.byKey[key]
	if el == nil {
		e := &snapshotEntry{key: key, turn: make(chan struct{}, 1), bytes: 256}
		el = c.order.PushFront(e)
		c.byKey[key] = el
		c.used += e.bytes
	}
	c.order.MoveToFront(el)
	e := el.Value.(*snapshotEntry)
	return e, e.snap
}

// kept returns the folder's snapshot, nil where there is none.
func (c *snapshots) kept(key snapshotKey) *snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.byKey[key]; el != nil {
		return el.Value.(*snapshotEntry).snap
	}
	return nil
}

// put stores a newer snapshot and drops the least recently used ones that no longer fit. Flags that don't fit by themselves are
// not kept.
func (c *snapshots) put(e *snapshotEntry, snap *snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[e.key] == nil || c.byKey[e.key].Value != e {
		return // dropped meanwhile
	}
	c.used -= e.bytes
	if snap.flags.Bytes() > c.max/2 {
		bare := *snap
		bare.flags = nil
		snap = &bare
	}
	e.snap, e.bytes = snap, 256+snap.uids.Bytes()+snap.flags.Bytes()
	c.used += e.bytes
	for c.used > c.max && c.order.Len() > 1 {
		old := c.order.Remove(c.order.Back()).(*snapshotEntry)
		delete(c.byKey, old.key)
		c.used -= old.bytes
	}
}

// UIDList returns the UIDs of the folder as they stood when f was read: exactly f.Messages of them, whatever came or went
// since. The list is immutable and shared between sessions: ask for it anew when the session has caught up with the folder,
// rather than changing an own one. Faults: NotFound Folder when it was deleted; Temporary Folder when that state can't be told
// any more (f is very old), then read the folder again.
func (s *Store) UIDList(ctx context.Context, id ID, f *Folder) (*UIDList, error) {
	snap, err := s.snapshot(ctx, id, f, false)
	if err != nil {
		return nil, err
	}
	if snap.at == f.Highest {
		return snap.uids, nil
	}
	return s.rewind(ctx, id, f, snap)
}

// snapshot returns a snapshot of the folder that is no older than f, with its flags at the same version if they are asked for.
func (s *Store) snapshot(ctx context.Context, id ID, f *Folder, flags bool) (*snapshot, error) {
	e, snap := s.snaps.entry(snapshotKey{id, f.ID})
	if !snap.covers(f, flags) {
		select {
		case e.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		defer func() { <-e.turn }()
		// Someone may have renewed it while we waited.
		if _, snap = s.snaps.entry(e.key); !snap.covers(f, flags) {
			var err error
			if snap, err = s.renew(ctx, id, f.ID, snap, flags); err != nil {
				return nil, err
			}
			s.snaps.put(e, snap)
		}
	}
	if snap.validity != f.UIDValidity {
		return nil, tooOld(f)
	}
	return snap, nil
}

// covers reports whether the state f, and if asked for the flags of one no older, can be told from the snapshot.
func (snap *snapshot) covers(f *Folder, flags bool) bool {
	return snap != nil && snap.at >= f.Highest && snap.validity == f.UIDValidity &&
		(!flags || snap.flags != nil && snap.flags.at == snap.at)
}

func tooOld(f *Folder) error {
	return fault.New(fault.Temporary, fault.Folder, "what folder %d held at change %d is not known any more; read it again", f.ID, f.Highest)
}

// renew brings a snapshot (nil: none) up to date, and its flags if they are asked for.
func (s *Store) renew(ctx context.Context, id ID, fid FolderID, old *snapshot, flags bool) (snap *snapshot, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		f, err := folderRow(ctx, tx, id, fid)
		if err != nil {
			return err
		}
		snap = &snapshot{validity: f.UIDValidity, at: f.Highest, next: f.UIDNext}
		from := UID(1)
		var kept *UIDList
		if old != nil && old.validity == f.UIDValidity {
			snap.flags = old.flags
		}
		if old != nil && old.validity == f.UIDValidity && old.at >= f.Floor {
			left, err := vanishedUIDs(ctx, tx, id, fid, old.at, f.Highest)
			if err != nil {
				return err
			}
			kept, from = old.uids.Without(left), old.next
		}
		snap.uids, err = loadUIDs(ctx, tx, id, &f, kept, from)
		if err != nil {
			return err
		}
		if int64(snap.uids.Len()) != f.Messages {
			return fmt.Errorf("folder %d of mailbox %s counts %d items and has %d UIDs", fid, id, f.Messages, snap.uids.Len())
		}
		if flags {
			snap.flags, err = renewFlags(ctx, tx, id, &f, snap.flags)
		}
		return err
	})
	return snap, err
}

// loadUIDs adds the folder's UIDs at or above from to kept, which are those below.
func loadUIDs(ctx context.Context, tx *db.Tx, id ID, f *Folder, kept *UIDList, from UID) (*UIDList, error) {
	missing := f.Messages - int64(kept.Len())
	if missing == 0 {
		return kept, nil
	}
	// A folder from which nothing was removed has no gaps: then the first and the count tell all.
	var first, last int64
	err := tx.QueryRow(ctx, `SELECT (SELECT uid FROM item WHERE mailbox = $1 AND folder = $2 AND uid >= $3 ORDER BY uid LIMIT 1),
(SELECT uid FROM item WHERE mailbox = $1 AND folder = $2 AND uid >= $3 ORDER BY uid DESC LIMIT 1)`,
		int64(id), int64(f.ID), int64(from)).Scan(&first, &last)
	if err != nil {
		return nil, fmt.Errorf("read the UIDs of folder %d of mailbox %s: %w", f.ID, id, err)
	}
	if last-first+1 == missing {
		return kept.With(UIDSet{{UID(first), UID(last)}}), nil
	}
	var added UIDSet
	err = scanUIDs(ctx, tx, id, f.ID, UID(first), func(u UID) { added.add(u) })
	if err != nil {
		return nil, fmt.Errorf("read the UIDs of folder %d of mailbox %s: %w", f.ID, id, err)
	}
	return kept.With(added), nil
}

// rewind tells the state f from a newer snapshot: what came since has UIDs from f.UIDNext, and what left is remembered.
func (s *Store) rewind(ctx context.Context, id ID, f *Folder, snap *snapshot) (*UIDList, error) {
	var left UIDSet
	err := s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		left, err = vanishedUIDs(ctx, tx, id, f.ID, f.Highest, snap.at)
		return err
	})
	if err != nil {
		return nil, err
	}
	l := snap.uids.Without(UIDSet{{f.UIDNext, MaxUID}}).With(left.upTo(f.UIDNext - 1))
	if int64(l.Len()) != f.Messages {
		return nil, tooOld(f)
	}
	return l, nil
}
