package organization

import (
	"context"
	"fmt"
	"strconv"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/principal"
)

const (
	megabyte = 1 << 20
	// defaultQuotaMB is WorkMail's quota of a new mailbox, and the largest there is.
	defaultQuotaMB = 51_200
)

// owner is what package mailbox calls an entity.
func owner(e *directory.Entity) mailbox.Owner {
	return mailbox.Owner{Org: mailbox.OrgKey(e.OrgKey), Entity: string(e.ID)}
}

// MailboxDetails says how much a mailbox may hold and holds.
type MailboxDetails struct {
	QuotaMB int64 // in units of 1,048,576 bytes
	Bytes   int64
}

// MailboxDetails returns the quota and the size of a user's or resource's mailbox; of one who never had a mailbox, those it
// would begin with. Faults: NotFound (Entity).
func (s *Service) MailboxDetails(ctx context.Context, p principal.Principal, org directory.OrgID, ident string) (MailboxDetails, error) {
	var details MailboxDetails
	err := s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		e, err := s.mailboxOwnerTx(ctx, tx, o, ident)
		if err != nil {
			return err
		}
		m, err := s.mailboxes.ByOwnerTx(ctx, tx, owner(e))
		if fault.Is(err, fault.NotFound, fault.Mailbox) {
			details = MailboxDetails{QuotaMB: s.quotaMB}
			return nil
		}
		details = MailboxDetails{QuotaMB: m.Quota / megabyte, Bytes: m.Bytes}
		return err
	})
	return details, err
}

// mailboxOwnerTx finds a user or resource that is not deleted.
func (s *Service) mailboxOwnerTx(ctx context.Context, tx *db.Tx, o *directory.Organization, ident string) (*directory.Entity, error) {
	e, err := s.directory.ResolveTx(ctx, tx, o, ident, directory.Narrow{})
	if err != nil {
		return nil, err
	}
	if e.Kind == directory.KindGroup || e.State == directory.Deleted {
		return nil, fault.New(fault.NotFound, fault.Entity, "user %q does not exist in this organization", ident)
	}
	return e, nil
}

// SetQuota sets how many megabytes (of 1,048,576 bytes) a mailbox may hold: 1 to what new mailboxes have. Faults: Invalid, NotFound (Entity),
// State (Entity) unless enabled.
func (s *Service) SetQuota(ctx context.Context, p principal.Principal, org directory.OrgID, ident string, megabytes int64) error {
	return s.directory.Change(ctx, p, org, "UpdateMailboxQuota", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return s.SetQuotaTx(ctx, tx, o, ident, megabytes)
	})
}

// SetQuotaTx is SetQuota in a transaction. It returns the entity's id.
func (s *Service) SetQuotaTx(ctx context.Context, tx *db.Tx, o *directory.Organization, ident string, megabytes int64) (string, error) {
	if megabytes < 1 || megabytes > s.quotaMB {
		return "", fault.New(fault.Invalid, fault.Mailbox, "mailbox quota %d is not between 1 and %d megabytes", megabytes, s.quotaMB)
	}
	e, err := s.mailboxOwnerTx(ctx, tx, o, ident)
	if err != nil {
		return "", err
	}
	if e.Role == directory.RoleRemote {
		return "", fault.New(fault.State, fault.Entity, "%s is a REMOTE_USER, whose mailbox is on another server", e.ID)
	}
	if e.State != directory.Enabled {
		return "", fault.New(fault.State, fault.Entity, "%s is in state %s and has no mailbox to use; register it to WorkMail first", e.ID, e.State)
	}
	return string(e.ID), s.mailboxes.SetQuotaTx(ctx, tx, owner(e), megabytes*megabyte)
}

// openTx makes the entity's mailbox, or opens the one it had, and reports whether it is new.
func (s *Service) openTx(ctx context.Context, tx *db.Tx, e *directory.Entity) (id mailbox.ID, made bool, err error) {
	id, err = s.mailboxes.ReopenTx(ctx, tx, owner(e))
	if fault.Is(err, fault.NotFound, fault.Mailbox) {
		id, err = s.mailboxes.CreateTx(ctx, tx, owner(e), s.quotaMB*megabyte)
		made = true
	}
	return id, made, err
}

// closeTx closes the entity's mailbox, if it has one, and leaves a job that purges it when it is due.
func (s *Service) closeTx(ctx context.Context, tx *db.Tx, e *directory.Entity) error {
	if e.Mailbox != 0 {
		if _, err := s.mailboxes.CloseTx(ctx, tx, owner(e), s.clock.Now().Add(s.directory.Remember())); err != nil {
			return err
		}
	}
	return s.schedulePurgeTx(ctx, tx, e)
}

// purgePayload names whom a purge is about. The mailbox is in it because an owner is forgotten when the purge begins.
type purgePayload struct {
	Entity  int64
	Mailbox int64
}

// key is the job's. A purge that began is not moved or cancelled with that of a mailbox which the entity was given since.
func (p purgePayload) key() string { return fmt.Sprintf("%d/%d", p.Entity, p.Mailbox) }

func (s *Service) schedulePurgeTx(ctx context.Context, tx *db.Tx, e *directory.Entity) error {
	p := purgePayload{e.Key, e.Mailbox}
	return job.EnqueueTx(ctx, tx, purgeKind, p.key(), p, s.clock.Now().Add(s.directory.Remember()))
}

// purge removes the mailbox of an entity that stayed disabled or deleted, and the row of a deleted one.
func (s *Service) purge(ctx context.Context, j job.Job) error {
	var p purgePayload
	if err := j.Decode(&p); err != nil {
		return err
	}
	var due bool
	err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		due, err = s.beginPurgeTx(ctx, tx, p)
		return err
	})
	if err != nil || !due {
		return err
	}
	if p.Mailbox != 0 {
		err := s.purgeAll(ctx, p.Mailbox)
		if fault.Is(err, fault.State, fault.Mailbox) {
			return nil // its owner was registered again just now
		}
		if err != nil {
			return err
		}
	}
	return s.removeDeleted(ctx, p.Entity)
}

// beginPurgeTx reports whether the entity's time has come, and then ends what was remembered of it. Where the time is yet to
// come, because the entity was disabled again or deleted since the job was written, the job is written anew.
func (s *Service) beginPurgeTx(ctx context.Context, tx *db.Tx, p purgePayload) (due bool, err error) {
	e, err := s.directory.LockByKeyTx(ctx, tx, p.Entity)
	switch {
	case fault.KindOf(err) == fault.NotFound, err == nil && p.Mailbox != 0 && p.Mailbox != e.Mailbox:
		return true, nil // an attempt came this far before; the mailbox may have a rest
	case err != nil || e.State == directory.Enabled:
		return false, err
	}
	since := e.Disabled
	if e.State == directory.Deleted {
		since = e.Deleted
	}
	if at := since.Add(s.directory.Remember()); at.After(s.clock.Now()) {
		return false, job.EnqueueTx(ctx, tx, purgeKind, p.key(), p, at)
	}
	return true, s.directory.ForgetTx(ctx, tx, e)
}

func (s *Service) purgeAll(ctx context.Context, id int64) error {
	for {
		done, err := s.mailboxes.PurgeBatch(ctx, mailbox.ID(id))
		if err != nil || done {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// removeDeleted takes away what a deleted entity left behind, once its time has come.
func (s *Service) removeDeleted(ctx context.Context, entity int64) error {
	for more := true; more; {
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			more = false
			e, err := s.directory.LockByKeyTx(ctx, tx, entity)
			if fault.KindOf(err) == fault.NotFound {
				return nil
			}
			if err != nil || e.State != directory.Deleted || e.Deleted.Add(s.directory.Remember()).After(s.clock.Now()) {
				return err
			}
			n, err := s.untieTx(ctx, tx, e.Key, batchRows)
			if more = n == batchRows; err != nil || more {
				return err
			}
			return s.directory.RemoveTx(ctx, tx, e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// parseKey reads the key of a job about an entity.
func parseKey(text string, key *int64) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("key %q of a job is not an entity's number: %w", text, err)
	}
	*key = n
	return nil
}
