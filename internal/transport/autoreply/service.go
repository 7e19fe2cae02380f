package autoreply

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
)

// Options is what a Service stands on. All are needed.
type Options struct {
	DB        *db.DB
	Directory *directory.Service
	Mailboxes *mailbox.Store
	Clock     clock.Clock
}

// Service keeps the automatic replies of all mailboxes. It is safe for concurrent use.
type Service struct {
	Options
	// standing are the replies that are not disabled; nil until they are read.
	mu       sync.Mutex
	standing map[mailbox.ID]Standing
	// changed are mailboxes whose reply is read anew: who commits first may tell of it last.
	changes sync.Mutex
	changed map[mailbox.ID]bool
}

// New returns the service.
func New(o Options) *Service { return &Service{Options: o, changed: map[mailbox.ID]bool{}} }

// Standing is a reply that is sent at the moment.
type Standing struct {
	Audience   Audience
	start, end int64 // microseconds since 1970, 0 for no bound
	stamp      int64
}

const (
	settingColumns = `state, start_at, end_at, internal, external, audience, stamp, answered`
	selectSetting  = `SELECT ` + settingColumns + ` FROM auto_reply WHERE mailbox = $1`
	selectStanding = `SELECT mailbox, state, start_at, end_at, audience, stamp FROM auto_reply WHERE state <> $1 AND ($2 = 0 OR mailbox = $2)`
	putSetting     = `INSERT INTO auto_reply (mailbox, ` + settingColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)
		ON CONFLICT (mailbox) DO UPDATE SET state = excluded.state, start_at = excluded.start_at, end_at = excluded.end_at, internal = excluded.internal,
		external = excluded.external, audience = excluded.audience, stamp = excluded.stamp, answered = 0`

	selectAnswered = `SELECT 1 FROM auto_reply_answered WHERE mailbox = $1 AND stamp = $2 AND sender = $3`
	countAnswered  = `UPDATE auto_reply SET answered = answered + 1 WHERE mailbox = $1 AND stamp = $2 AND answered < $3`
	insertAnswered = `INSERT INTO auto_reply_answered (mailbox, stamp, sender) VALUES ($1, $2, $3) ON CONFLICT (mailbox, stamp, sender) DO NOTHING`

	forgetBefore = `DELETE FROM auto_reply_answered WHERE mailbox = $1 AND (stamp, sender) IN (SELECT a.stamp, a.sender FROM auto_reply_answered a
		WHERE a.mailbox = $1 AND NOT EXISTS (SELECT 1 FROM auto_reply r WHERE r.mailbox = a.mailbox AND r.stamp = a.stamp) LIMIT $2)`
)

// MaxAnswered is how many senders are answered while a setting stands; nobody is after that.
const MaxAnswered = 10_000

// entityTx finds who has the mailbox of an automatic reply.
func (s *Service) entityTx(ctx context.Context, tx *db.Tx, o *directory.Organization, ident string) (*directory.Entity, error) {
	e, err := s.Directory.ResolveTx(ctx, tx, o, ident, directory.Narrow{})
	switch {
	case err != nil:
		return nil, err
	case e.Kind == directory.KindGroup || e.State == directory.Deleted:
		return nil, fault.New(fault.NotFound, fault.Entity, "user %q does not exist in this organization", ident)
	case e.State != directory.Enabled || e.Mailbox == 0:
		return nil, fault.New(fault.State, fault.Entity, "%s is in state %s or has its mailbox elsewhere; there is no mailbox here that could reply", e.ID, e.State)
	}
	return e, nil
}

// Put sets the automatic reply of an entity's mailbox, and forgets who was answered before. Faults: Invalid, NotFound (Entity), State
// (Entity) unless it is enabled and has a mailbox here.
func (s *Service) Put(ctx context.Context, p principal.Principal, org directory.OrgID, ident string, r Setting) error {
	if err := r.check(); err != nil {
		return s.Directory.GateFirst(ctx, org, err)
	}
	return s.Directory.Change(ctx, p, org, "PutAutomaticReply", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		e, err := s.entityTx(ctx, tx, o, ident)
		if err != nil {
			return "", err
		}
		return string(e.ID), s.PutTx(ctx, tx, mailbox.ID(e.Mailbox), r)
	})
}

// PutTx is Put for a mailbox, in a transaction. The setting must be one that Put takes.
func (s *Service) PutTx(ctx context.Context, tx *db.Tx, box mailbox.ID, r Setting) error {
	_, err := tx.Exec(ctx, putSetting, int64(box), string(r.State), micros(r.Start), micros(r.End), r.Internal, r.External, string(r.Audience), id.Key())
	if err != nil {
		return fmt.Errorf("store the automatic reply of mailbox %s: %w", box, err)
	}
	tx.OnCommit(func() { s.note(box) })
	return job.EnqueueTx(ctx, tx, forgetKind, box.String(), box, s.Clock.Now())
}

// note has the reply of a mailbox read anew.
func (s *Service) note(box mailbox.ID) {
	s.changes.Lock()
	defer s.changes.Unlock()
	s.changed[box] = true
}

// takeChanged reports whether the reply of a mailbox is to be read.
func (s *Service) takeChanged(box mailbox.ID) bool {
	s.changes.Lock()
	defer s.changes.Unlock()
	changed := s.changed[box]
	delete(s.changed, box)
	return changed
}

// Get returns the automatic reply of an entity's mailbox, a disabled one where none was set. Faults as Put's, but Invalid.
func (s *Service) Get(ctx context.Context, p principal.Principal, org directory.OrgID, ident string) (r Setting, err error) {
	err = s.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		e, err := s.entityTx(ctx, tx, o, ident)
		if err != nil {
			return err
		}
		r, _, _, err = settingTx(ctx, tx, mailbox.ID(e.Mailbox))
		return err
	})
	return r, err
}

func settingTx(ctx context.Context, tx *db.Tx, box mailbox.ID) (r Setting, stamp, answered int64, err error) {
	var start, end int64
	err = tx.QueryRow(ctx, selectSetting, int64(box)).Scan(&r.State, &start, &end, &r.Internal, &r.External, &r.Audience, &stamp, &answered)
	if errors.Is(err, sql.ErrNoRows) {
		return Setting{State: Disabled, Audience: All}, 0, 0, nil
	}
	if err != nil {
		return r, 0, 0, fmt.Errorf("read the automatic reply of mailbox %s: %w", box, err)
	}
	r.Start, r.End = fromMicros(start), fromMicros(end)
	return r, stamp, answered, nil
}

// Standing returns the replies that stand now of those mailboxes; nil for none.
func (s *Service) Standing(ctx context.Context, of ...mailbox.ID) (found map[mailbox.ID]Standing, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.standing == nil { // once: who asks meanwhile waits
		if s.standing, err = s.readStanding(ctx, 0); err != nil {
			return nil, err
		}
	}
	for _, box := range of {
		if !s.takeChanged(box) {
			continue
		}
		one, err := s.readStanding(ctx, box)
		if err != nil {
			s.note(box)
			return nil, err
		}
		delete(s.standing, box)
		maps.Copy(s.standing, one)
	}
	if len(s.standing) == 0 {
		return nil, nil
	}
	now := s.Clock.Now().UnixMicro()
	for _, box := range of {
		st, ok := s.standing[box]
		if !ok || now < st.start || st.end != 0 && now >= st.end {
			continue
		}
		if found == nil {
			found = map[mailbox.ID]Standing{}
		}
		found[box] = st
	}
	return found, nil
}

// readStanding reads the reply of a mailbox, or of all for 0.
func (s *Service) readStanding(ctx context.Context, box mailbox.ID) (all map[mailbox.ID]Standing, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		all = map[mailbox.ID]Standing{}
		return tx.Each(ctx, func(row db.Row) error {
			var box mailbox.ID
			var state State
			var st Standing
			if err := row.Scan(&box, &state, &st.start, &st.end, &st.Audience, &st.stamp); err != nil {
				return err
			}
			if state != Scheduled {
				st.start, st.end = 0, 0
			}
			all[box] = st
			return nil
		}, selectStanding, string(Disabled), int64(box))
	})
	if err != nil {
		return nil, fmt.Errorf("read the automatic replies: %w", err)
	}
	return all, nil
}

// Look returns the text for a sender; empty where there is none, the sender had it, or enough others did.
func (s *Service) Look(ctx context.Context, box mailbox.ID, st Standing, sender message.Address, internal bool) (text string, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		text = ""
		r, stamp, answered, err := settingTx(ctx, tx, box)
		if err != nil || stamp != st.stamp || answered >= MaxAnswered {
			return err
		}
		var one int
		if err := tx.QueryRow(ctx, selectAnswered, int64(box), stamp, hash(sender)).Scan(&one); !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if text = r.External; internal {
			text = r.Internal
		}
		return nil
	})
	return Plain(text), err
}

// RememberTx notes that a sender is answered, and reports whether it is to be: nobody did it meanwhile, and the setting still stands.
func (s *Service) RememberTx(ctx context.Context, tx *db.Tx, box mailbox.ID, st Standing, sender message.Address) (bool, error) {
	n, err := tx.Exec(ctx, countAnswered, int64(box), st.stamp, MaxAnswered)
	if err == nil && n > 0 {
		n, err = tx.Exec(ctx, insertAnswered, int64(box), st.stamp, hash(sender))
	}
	if err != nil {
		return false, fmt.Errorf("note whom mailbox %s answers: %w", box, err)
	}
	return n > 0, nil
}

// hash stands for an address.
func hash(a message.Address) int64 {
	sum := sha256.Sum256([]byte(a.Fold().String()))
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 1)
}

const (
	forgetKind  = "auto-reply-forget"
	forgetBatch = 1000
)

// Handle makes runner forget who was answered before a setting was changed.
func (s *Service) Handle(runner *job.Runner) {
	runner.Handle(forgetKind, func(ctx context.Context, j job.Job) error {
		var box mailbox.ID
		if err := j.Decode(&box); err != nil {
			return err
		}
		for n := int64(forgetBatch); n >= forgetBatch; {
			err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
				n, err = tx.Exec(ctx, forgetBefore, int64(box), forgetBatch)
				return err
			})
			if err != nil {
				return fmt.Errorf("forget whom mailbox %s answered: %w", box, err)
			}
		}
		return nil
	})
}

const (
	purgeAnswered = `DELETE FROM auto_reply_answered WHERE mailbox = $1 AND (stamp, sender) IN
		(SELECT stamp, sender FROM auto_reply_answered WHERE mailbox = $1 LIMIT $2)`
	purgeSetting = `DELETE FROM auto_reply WHERE mailbox = $1`
)

// ForgetTx removes up to limit rows about a mailbox that is being purged, and returns how many. It is for mailbox.Options.Forget.
func (s *Service) ForgetTx(ctx context.Context, tx *db.Tx, box mailbox.ID, limit int) (int, error) {
	n, err := tx.Exec(ctx, purgeAnswered, int64(box), limit)
	if err == nil && int(n) < limit {
		var more int64
		more, err = tx.Exec(ctx, purgeSetting, int64(box))
		n += more
	}
	if err != nil {
		return int(n), fmt.Errorf("forget the automatic reply of mailbox %s: %w", box, err)
	}
	tx.OnCommit(func() { s.note(box) })
	return int(n), nil
}

const repliers = `SELECT mailbox FROM auto_reply UNION SELECT mailbox FROM auto_reply_answered ORDER BY 1`

// Check looks for replies of mailboxes that are gone, and returns a line per find.
func (s *Service) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	var boxes []mailbox.ID
	rows, err := tx.Query(ctx, repliers)
	if err != nil {
		return nil, fmt.Errorf("check automatic replies: %w", err)
	}
	for rows.Next() {
		var box mailbox.ID
		if err := rows.Scan(&box); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		boxes = append(boxes, box)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("check automatic replies: %w", err)
	}
	for _, box := range boxes {
		_, err := s.Mailboxes.DetailsTx(ctx, tx, box)
		switch {
		case fault.Is(err, fault.NotFound, fault.Mailbox):
			faults = append(faults, fmt.Sprintf("automatic replies: something of mailbox %s, which does not exist", box))
		case err != nil:
			return nil, err
		}
	}
	return faults, nil
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
