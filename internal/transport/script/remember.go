package script

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// Kind is what an id that is remembered is of.
type Kind int64

// The kinds. The numbers stand in the database.
const (
	Duplicate Kind = 1 // of the test duplicate (RFC 7352)
	Answered  Kind = 2 // a sender who was answered, with the answer's handle (RFC 5230)
)

const (
	seen     = `SELECT COUNT(*) FROM sieve_memory WHERE mailbox = $1 AND kind = $2 AND id = $3 AND until > $4`
	remember = `INSERT INTO sieve_memory (mailbox, kind, id, until) VALUES ($1, $2, $3, $4)
ON CONFLICT (mailbox, kind, id) DO UPDATE SET until = excluded.until`
	claim = remember + ` WHERE sieve_memory.until <= $5`
	// trim deletes what ends before boundary, where the last one begins that may stay. They are two, as PostgreSQL would read all rows for one.
	boundary = `SELECT until FROM sieve_memory WHERE mailbox = $1 AND kind = $2 ORDER BY until DESC LIMIT 1 OFFSET $3`
	trim     = `DELETE FROM sieve_memory WHERE mailbox = $1 AND kind = $2 AND until < $3`
	prune    = `DELETE FROM sieve_memory WHERE (mailbox, kind, id) IN (SELECT mailbox, kind, id FROM sieve_memory WHERE until <= $1 ORDER BY until LIMIT $2)`
)

// SeenTx reports whether the mailbox remembers an id.
func (s *Service) SeenTx(ctx context.Context, tx *db.Tx, id mailbox.ID, kind Kind, text string) (bool, error) {
	var n int64
	err := tx.QueryRow(ctx, seen, int64(id), int64(kind), s.hash(id, kind, text), s.Clock.Now().UnixMicro()).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("look what mailbox %s remembers: %w", id, err)
	}
	return n > 0, nil
}

// RememberTx has the mailbox remember an id until then, also where it does so already.
func (s *Service) RememberTx(ctx context.Context, tx *db.Tx, id mailbox.ID, kind Kind, text string, until time.Time) error {
	_, err := s.rememberTx(ctx, tx, remember, id, kind, text, until)
	return err
}

// ClaimTx has the mailbox remember an id until then, unless it does so already: it returns true for one of those who ask at the same time.
func (s *Service) ClaimTx(ctx context.Context, tx *db.Tx, id mailbox.ID, kind Kind, text string, until time.Time) (bool, error) {
	n, err := s.rememberTx(ctx, tx, claim, id, kind, text, until, s.Clock.Now().UnixMicro())
	return n > 0, err
}

func (s *Service) rememberTx(ctx context.Context, tx *db.Tx, statement string, id mailbox.ID, kind Kind, text string, until time.Time, more ...any) (int64, error) {
	h := s.hash(id, kind, text)
	n, err := tx.Exec(ctx, statement, append([]any{int64(id), int64(kind), h, until.UnixMicro()}, more...)...)
	if err == nil && n > 0 && h[0]%trimEvery == 0 {
		err = s.trimTx(ctx, tx, id, kind)
	}
	if err != nil {
		return 0, fmt.Errorf("remember for mailbox %s: %w", id, err)
	}
	return n, nil
}

// trimTx forgets those of a kind that are too many and end first. Each kind has its own room, so that ids of duplicates don't have senders
// answered again.
func (s *Service) trimTx(ctx context.Context, tx *db.Tx, id mailbox.ID, kind Kind) error {
	var until int64
	err := tx.QueryRow(ctx, boundary, int64(id), int64(kind), int64(s.Limits.Memory-1)).Scan(&until)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		_, err = tx.Exec(ctx, trim, int64(id), int64(kind), until)
	}
	return err
}

// hash is what is kept of an id. Nobody can choose ids whose hashes are never trimmed, as it is keyed.
func (s *Service) hash(id mailbox.ID, kind Kind, text string) []byte {
	h := hmac.New(sha256.New, s.Key)
	_, _ = h.Write(binary.BigEndian.AppendUint64([]byte{byte(kind)}, uint64(id)))
	_, _ = h.Write([]byte(text))
	return h.Sum(nil)[:16]
}

const (
	trimEvery  = 64 // one id in so many looks whether there are too many
	pruneKind  = "sieve-memory-prune"
	pruneEvery = time.Hour
	pruneBatch = 1000 // rows deleted in one transaction
)

// Prune forgets what is over, in batches.
func (s *Service) Prune(ctx context.Context) error {
	for n := int64(pruneBatch); n == pruneBatch; {
		err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			n, err = tx.Exec(ctx, prune, s.Clock.Now().UnixMicro(), int64(pruneBatch))
			return err
		})
		if err != nil {
			return fmt.Errorf("prune what mailboxes remember: %w", err)
		}
	}
	return nil
}

// Handle makes runner prune each hour, which Start sets going.
func (s *Service) Handle(runner *job.Runner) {
	runner.Handle(pruneKind, func(ctx context.Context, _ job.Job) error {
		if err := s.Prune(ctx); err != nil {
			return err
		}
		return s.schedule(ctx, pruneEvery)
	})
}

// Start makes sure that pruning is scheduled. Call it once when the server starts.
func (s *Service) Start(ctx context.Context) error { return s.schedule(ctx, 0) }

func (s *Service) schedule(ctx context.Context, after time.Duration) error {
	due := s.Clock.Now().Add(after)
	return s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return job.EnqueueTx(ctx, tx, pruneKind, "", nil, due)
	})
}

const (
	forgetScripts = `DELETE FROM sieve_script WHERE mailbox = $1 AND name IN (SELECT name FROM sieve_script WHERE mailbox = $1 LIMIT $2)`
	forgetMemory  = `DELETE FROM sieve_memory WHERE (mailbox, kind, id) IN (SELECT mailbox, kind, id FROM sieve_memory WHERE mailbox = $1 LIMIT $2)`
	keepers       = `SELECT mailbox FROM sieve_script UNION SELECT mailbox FROM sieve_memory ORDER BY 1`
)

// ForgetTx removes up to limit rows of a mailbox that is being purged, and returns how many. It is for mailbox.Options.Forget.
func (s *Service) ForgetTx(ctx context.Context, tx *db.Tx, id mailbox.ID, limit int) (total int, err error) {
	for _, statement := range []string{forgetScripts, forgetMemory} {
		n, err := tx.Exec(ctx, statement, int64(id), int64(limit-total))
		if err != nil {
			return total, fmt.Errorf("forget the scripts of mailbox %s: %w", id, err)
		}
		total += int(n)
	}
	tx.OnCommit(func() { s.memory.forget(id, false) })
	return total, nil
}

// Check returns a line for each mailbox that is gone and left something here.
func (s *Service) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	ids, err := db.All(ctx, tx, db.Value[mailbox.ID], keepers)
	if err != nil {
		return nil, fmt.Errorf("check the scripts of mailboxes: %w", err)
	}
	for _, id := range ids {
		_, err := s.Mailboxes.DetailsTx(ctx, tx, id)
		switch {
		case fault.Is(err, fault.NotFound, fault.Mailbox):
			faults = append(faults, fmt.Sprintf("scripts: something of mailbox %s, which does not exist", id))
		case err != nil:
			return nil, err
		}
	}
	return faults, nil
}
