package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/pennypost/pennypost/internal/db"
)

// spares are change numbers that were taken from mailboxes' counters before they are needed. To mark one message is the most
// frequent write of all, and to raise the counter for it alone took a third of its statements' time and a quarter of the pages that
// its commit put into the log.
//
// Spare numbers may be given out for as long as the counter stands where it stood when they were taken: nobody has higher ones then.
// Whether it does is read together with the item, so that what is remembered here may be old, or of a transaction that others
// followed, and does no harm.
//
// Only SQLite has them, where write functions run one after the other. On PostgreSQL the counter is also the lock.
type spares struct {
	mu sync.Mutex
	m  map[ID]spare
}

// spare is a range of numbers, and where the counter stood when it was taken: at its end.
type spare struct{ next, last ModSeq }

const (
	spareNumbers = 256
	// maxSpares bounds the mailboxes with spare numbers; when it is reached all are forgotten, which leaves gaps.
	maxSpares = 1 << 12
)

func (s *spares) get(id ID) (spare, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.m[id]
	return n, ok && n.next <= n.last
}

func (s *spares) put(id ID, n spare) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil || len(s.m) >= maxSpares {
		s.m = map[ID]spare{}
	}
	s.m[id] = n
}

func (s *spares) drop(id ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, id)
}

const readRowSpare = `SELECT m.org, m.state, m.change, i.item, i.flags, i.changed, i.email FROM mailbox m CROSS JOIN item i
WHERE m.id = $1 AND i.mailbox = $1 AND i.folder = $2 AND i.uid = $3`

// lockRows locks a mailbox for changes of the flags of items, as lock does, and reads those of set. mine is the spare number that an
// earlier run of the same write function got, and then that which this one gets.
func (s *Store) lockRows(ctx context.Context, tx *db.Tx, id ID, f FolderID, set UIDSet, mine *ModSeq) (locked, []row, error) {
	numbers, more := s.most(set), 0
	if numbers == 1 && tx.Engine() == db.SQLite {
		l, w, err := s.spareRow(ctx, tx, id, f, set[0].First, mine)
		if err != nil || w != nil {
			return l, w, err
		}
		more = spareNumbers
	}
	l, err := s.lock(ctx, tx, id, numbers+more, 0, 0)
	if err != nil {
		return l, nil, err
	}
	if more > 0 {
		first := l.change + ModSeq(numbers)
		tx.OnCommit(func() { s.spares.put(id, spare{first, first + ModSeq(more) - 1}) })
	}
	rows, err := readRows(ctx, tx, id, f, set, s.batch)
	return l, rows, err
}

// spareRow reads an item for a change that gets a spare number. It returns no row where there is none, or no number.
func (s *Store) spareRow(ctx context.Context, tx *db.Tx, id ID, f FolderID, uid UID, mine *ModSeq) (l locked, rows []row, err error) {
	n, ok := s.spares.get(id)
	if !ok {
		return l, nil, nil
	}
	w := row{uid: uid}
	var counter ModSeq
	l = locked{id: id}
	err = tx.QueryRow(ctx, readRowSpare, int64(id), int64(f), int64(uid)).Scan(&l.org, &l.state, &counter, &w.item, &w.flags, &w.changed, &w.email)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return l, nil, nil
	case err != nil:
		return l, nil, fmt.Errorf("read item %d of folder %d of mailbox %s: %w", uid, f, id, err)
	case l.state != Open || counter != n.last:
		return l, nil, nil
	}
	if *mine == 0 || *mine != n.next-1 {
		*mine = n.next
		s.spares.put(id, spare{n.next + 1, n.last}) // even if this is rolled back: a gap
	}
	l.change = *mine
	s.publish(tx, id)
	return l, []row{w}, nil
}
