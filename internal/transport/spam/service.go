package spam

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// Options are what a Service stands on. All but MaxTokens, MaxSenders and Rspamd are needed.
type Options struct {
	DB        *db.DB
	Directory *directory.Service
	Mailboxes *mailbox.Store
	Clock     clock.Clock
	Log       *slog.Logger
	// Key keys the hashes of tokens; what was trained under another is of no use.
	Key []byte
	// MaxTokens is how many tokens of a user are kept; 0 means 50,000.
	MaxTokens int
	// MaxSenders is how many senders of an organisation deliveries make known; 0 means 50,000.
	MaxSenders int
	// Rspamd is the filter beside the server; nil for none.
	Rspamd *Rspamd
}

// Service judges mail. It is safe for concurrent use.
type Service struct {
	Options
	stats stats
	// trained are the mailboxes whose tokens may say something; nil until they are read.
	mu      sync.Mutex
	trained map[mailbox.ID]counts

	reputation reputation
	failures   throttle
}

// New returns a service.
func New(o Options) *Service { return &Service{Options: o} }

// corpora returns those of the mailboxes whose tokens say something, with how many messages these are of.
func (s *Service) corpora(ctx context.Context, of []Recipient) (map[mailbox.ID]counts, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trained == nil { // once: who asks meanwhile waits
		trained, err := s.readTrained(ctx)
		if err != nil {
			return nil, err
		}
		s.trained = trained
	}
	found := map[mailbox.ID]counts{}
	for _, r := range of {
		if c, ok := s.trained[r.Mailbox]; ok {
			found[r.Mailbox] = c
		}
	}
	return found, nil
}

const readTrained = `SELECT mailbox, spam, ham FROM spam_corpus WHERE spam >= $1 AND ham >= $1`

func (s *Service) readTrained(ctx context.Context) (map[mailbox.ID]counts, error) {
	trained := map[mailbox.ID]counts{}
	err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		clear(trained)
		return tx.Each(ctx, func(row db.Row) error {
			var id mailbox.ID
			var c counts
			if err := row.Scan(&id, &c.spam, &c.ham); err != nil {
				return err
			}
			trained[id] = c
			return nil
		}, readTrained, MinTrained)
	})
	if err != nil {
		return nil, fmt.Errorf("read who trained a filter: %w", err)
	}
	return trained, nil
}

// learned takes note of a mailbox's committed counts.
func (s *Service) learned(id mailbox.ID, c counts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.trained == nil:
	case c.enough():
		s.trained[id] = c
	default:
		delete(s.trained, id)
	}
}

// batches are how many rows one statement handles, so that the texts stay few and prepared.
var batches = [...]int{128, 16, 1}

// inBatches calls do for all values, cols of which are a row, with one of few numbers of rows at a time.
func inBatches(values []int64, cols int, do func(batch []int64) error) error {
	for _, size := range batches {
		for len(values) >= size*cols {
			if err := do(values[:size*cols]); err != nil {
				return err
			}
			values = values[size*cols:]
		}
	}
	return nil
}

// placeholders returns those of rows, from a number on, with what stands around each row.
func placeholders(from, rows, cols int, before, after string) string {
	var b strings.Builder
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(before)
		for c := range cols {
			if c > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "$%d", from+i*cols+c)
		}
		b.WriteString(after)
	}
	return b.String()
}

// lookUp returns the counts of those of the tokens that a mailbox knows.
func (s *Service) lookUp(ctx context.Context, id mailbox.ID, tokens []int64) (found []counts, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		found = found[:0]
		return inBatches(tokens, 1, func(batch []int64) error {
			return tx.Each(ctx, func(row db.Row) error {
				var c counts
				if err := row.Scan(&c.spam, &c.ham); err != nil {
					return err
				}
				found = append(found, c)
				return nil
			}, `SELECT spam, ham FROM spam_token WHERE mailbox = $1 AND token IN (`+placeholders(2, len(batch), 1, "", "")+`)`,
				asArgs(batch, int64(id))...)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("look tokens of mailbox %s up: %w", id, err)
	}
	return found, nil
}

// asArgs returns what is the same for all rows, and the rows behind it.
func asArgs(values []int64, fixed ...any) []any {
	for _, v := range values {
		fixed = append(fixed, v)
	}
	return fixed
}

type stats struct {
	spam, gray, pass, unknown, refused, deferred, filterFailures, learnedSpam, learnedHam, presumedHam atomic.Uint64
}

// Stats are what was judged and learned since the start.
type Stats struct {
	Spam, Gray, Pass, Failed          uint64 // messages by the worst verdict of their recipients; Failed are those that rspamd should have judged
	Refused, Deferred                 uint64 // by rspamd
	FilterFailures                    uint64 // calls of rspamd without an answer
	LearnedSpam, LearnedHam, Presumed uint64 // messages counted for users; Presumed is ham that nobody named so
}

// Stats returns what was counted.
func (s *Service) Stats() Stats {
	c := &s.stats
	return Stats{
		c.spam.Load(), c.gray.Load(), c.pass.Load(), c.unknown.Load(), c.refused.Load(), c.deferred.Load(), c.filterFailures.Load(),
		c.learnedSpam.Load(), c.learnedHam.Load(), c.presumedHam.Load(),
	}
}
