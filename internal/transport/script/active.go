package script

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message/sieve"
)

// memory keeps the compiled active scripts.
type memory struct {
	mu     sync.Mutex
	loaded bool
	// may are the mailboxes that may have an active script: all that do, once loaded.
	may        map[mailbox.ID]struct{}
	compiled   map[mailbox.ID]compiled
	bytes      int    // that compiled takes
	most       int    // bytes
	generation uint64 // counts changes
}

type compiled struct {
	script *sieve.Script // nil for one that doesn't compile any more
	bytes  int
}

// maxCompiled is how many bytes of compiled scripts are kept.
const maxCompiled = 64 << 20

const (
	activeMailboxes = `SELECT mailbox FROM sieve_script WHERE active`
	activeScripts   = `SELECT mailbox, source FROM sieve_script WHERE active AND mailbox IN ($1, $2, $3, $4, $5, $6, $7, $8)`
	activeAtOnce    = 8
)

// Active returns the active scripts of those of the mailboxes that have one, compiled. Those without cost nothing. One that was stored by
// another version and doesn't compile any more is told to the log, and is none.
func (s *Service) Active(ctx context.Context, ids ...mailbox.ID) (map[mailbox.ID]*sieve.Script, error) {
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	found, missing, generation := s.memory.known(ids)
	if len(missing) == 0 {
		return found, nil
	}
	sources := map[mailbox.ID][]byte{}
	err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		clear(sources)
		for at := 0; at < len(missing); at += activeAtOnce {
			args := make([]any, activeAtOnce)
			for i := range args {
				args[i] = int64(missing[min(at+i, len(missing)-1)])
			}
			if err := readSources(ctx, tx, args, sources); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, id := range missing {
		source, ok := sources[id]
		c := compiled{}
		if ok {
			if c.script, err = s.compile(source); err != nil {
				s.Log.ErrorContext(ctx, "an active Sieve script does not compile any more and is left out", "mailbox", id, "error", err)
			} else {
				found[id], c.bytes = c.script, c.script.Size()
			}
		}
		s.memory.keep(id, c, ok, generation)
	}
	return found, nil
}

const activeName = `SELECT name FROM sieve_script WHERE mailbox = $1 AND active`

// ActiveName returns what the mailbox's active script is called; empty where it has none.
func (s *Service) ActiveName(ctx context.Context, id mailbox.ID) (name string, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		name = ""
		err := tx.QueryRow(ctx, activeName, int64(id)).Scan(&name)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return name, err
}

func readSources(ctx context.Context, tx *db.Tx, args []any, sources map[mailbox.ID][]byte) error {
	return tx.Each(ctx, func(row db.Row) error {
		var id mailbox.ID
		var source []byte
		if err := row.Scan(&id, &source); err != nil {
			return err
		}
		sources[id] = source
		return nil
	}, activeScripts, args...)
}

// load reads who has an active script, once.
func (s *Service) load(ctx context.Context) error {
	m := &s.memory
	m.mu.Lock()
	loaded := m.loaded
	m.mu.Unlock()
	if loaded {
		return nil
	}
	var have []mailbox.ID
	err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		have, err = db.All(ctx, tx, db.Value[mailbox.ID], activeMailboxes)
		return err
	})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range have { // beside those that changed since
		m.may[id] = struct{}{}
	}
	m.loaded = true
	return nil
}

// known returns what is kept of the mailboxes, those of which more must be read, and the generation for keep.
func (m *memory) known(ids []mailbox.ID) (found map[mailbox.ID]*sieve.Script, missing []mailbox.ID, generation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found = map[mailbox.ID]*sieve.Script{}
	for _, id := range ids {
		if _, may := m.may[id]; !may {
			continue
		}
		c, ok := m.compiled[id]
		switch {
		case !ok:
			missing = append(missing, id)
		case c.script != nil:
			found[id] = c.script
		}
	}
	return found, missing, m.generation
}

// keep keeps what was read of a mailbox, unless something changed since.
func (m *memory) keep(id mailbox.ID, c compiled, has bool, generation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.generation != generation {
		return
	}
	if !has {
		delete(m.may, id)
		return
	}
	m.drop(id)
	for other := range m.compiled { // one after the other, in no order
		if m.bytes+c.bytes <= m.most {
			break
		}
		m.drop(other)
	}
	m.bytes += c.bytes
	m.compiled[id] = c
}

func (m *memory) drop(id mailbox.ID) {
	m.bytes -= m.compiled[id].bytes
	delete(m.compiled, id)
}

// forget forgets what was compiled for a mailbox, which may have another active script now, or never will again.
func (m *memory) forget(id mailbox.ID, may bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.generation++
	m.drop(id)
	if may {
		m.may[id] = struct{}{}
	} else {
		delete(m.may, id)
	}
}
