package organization

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/lazy"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

const (
	// retentionEvery is how often a policy is applied; the real service takes up to 48 hours.
	retentionEvery = 6 * time.Hour
	// retentionPage is how many mailboxes are listed at a time.
	retentionPage = 100
)

// RetentionStats is what retention did since the process started.
type RetentionStats struct {
	// Finished and Stopped count runs: one goes through all mailboxes of an organisation, unless the policy changes.
	Finished, Stopped uint64
	Mailboxes         uint64 // looked at
	Recoverable       uint64 // items removed by DELETE
	Removed           uint64 // items removed by PERMANENTLY_DELETE
}

type retentionCounts struct{ finished, stopped, mailboxes, recoverable, removed atomic.Uint64 }

// Retention returns what retention did.
func (s *Service) Retention() RetentionStats {
	c := &s.retained
	return RetentionStats{c.finished.Load(), c.stopped.Load(), c.mailboxes.Load(), c.recoverable.Load(), c.removed.Load()}
}

// HandleRetention makes runner apply retention policies. A first run may take long: give it a runner that nobody waits for.
func (s *Service) HandleRetention(runner *job.Runner) { runner.Handle(policy.RetentionJob, s.retain) }

// retentionRun is how far a run came. It is kept with the job, in the transactions that remove items, so that after a crash the run
// goes on and the audit trail tells of all it did.
type retentionRun struct {
	Policy    string // its id
	Version   int64
	After     string // the owner of the last mailbox that is done
	Mailboxes int64
	// Recoverable and Removed are items.
	Recoverable, Removed int64
}

// errPolicyChanged ends a run whose policy was changed or deleted.
var errPolicyChanged = errors.New("the retention policy was changed")

// retain applies an organisation's retention policy once and leaves a job for the next time.
func (s *Service) retain(ctx context.Context, j job.Job) error {
	o, rules, run, err := s.beginRetention(ctx, j)
	if err != nil || rules == nil {
		return err
	}
	for more := true; more && err == nil; {
		more, err = s.retainPage(ctx, j, o, rules, run)
	}
	if errors.Is(err, errPolicyChanged) {
		return s.stopRetention(ctx, j, o, run)
	}
	if err != nil {
		return fmt.Errorf("apply the retention policy of organization %s: %w", o.ID, err)
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := s.recordRetentionTx(ctx, tx, o, run, ""); err != nil {
			return err
		}
		return job.EnqueueTx(ctx, tx, j.Kind, j.Key, nil, s.clock.Now().Add(retentionEvery))
	})
	if err == nil {
		s.retained.finished.Add(1)
	}
	return err
}

// beginRetention returns the policy's folders and how far the run came, or no folders where there is nothing to apply. A run that
// was interrupted goes on, unless the policy changed meanwhile: then it is over, and told to the audit trail.
func (s *Service) beginRetention(ctx context.Context, j job.Job) (o *directory.Organization, rules []policy.RetentionFolder, run *retentionRun, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		rules, run = nil, &retentionRun{}
		if o, err = s.directory.OrganizationTx(ctx, tx, directory.OrgID(j.Key)); err != nil {
			return err
		}
		p, exists, err := s.policy.RetentionTx(ctx, tx, o.Key)
		if err != nil {
			return err
		}
		if _, err := j.Progress(run); err != nil {
			return err
		}
		if run.Version != 0 && run.Version != p.Version {
			if err := s.recordRetentionTx(ctx, tx, o, run, stoppedByChange); err != nil {
				return err
			}
			run = &retentionRun{}
		}
		if !exists || o.State != directory.OrgActive {
			return nil
		}
		rules, run.Policy, run.Version = append([]policy.RetentionFolder{}, p.Folders...), p.ID, p.Version
		return j.SaveTx(ctx, tx, run)
	})
	return o, rules, run, err
}

const stoppedByChange = "stopped by a change of the policy; "

// stopRetention ends a run whose policy was changed. Who changed it left word for this job to run again.
func (s *Service) stopRetention(ctx context.Context, j job.Job, o *directory.Organization, run *retentionRun) error {
	s.retained.stopped.Add(1)
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := s.recordRetentionTx(ctx, tx, o, run, stoppedByChange); err != nil {
			return err
		}
		return j.SaveTx(ctx, tx, retentionRun{})
	})
}

// recordRetentionTx tells the audit trail of a run that removed something.
func (s *Service) recordRetentionTx(ctx context.Context, tx *db.Tx, o *directory.Organization, run *retentionRun, how string) error {
	if run.Recoverable+run.Removed == 0 {
		return nil
	}
	r := audit.Of(principal.TheSystem("job"), string(o.ID), "ApplyRetentionPolicy", run.Policy)
	r.Detail = fmt.Sprintf("%s%d mailboxes, %d items made recoverable, %d removed for good", how, run.Mailboxes, run.Recoverable, run.Removed)
	return s.audit.AppendTx(ctx, tx, r)
}

// retainPage applies the policy to the next mailboxes, and reports whether there are more.
func (s *Service) retainPage(ctx context.Context, j job.Job, o *directory.Organization, folders []policy.RetentionFolder, run *retentionRun) (more bool, err error) {
	boxes, err := s.mailboxes.OpenMailboxes(ctx, mailbox.OrgKey(o.Key), run.After, retentionPage)
	if err != nil {
		return false, err
	}
	for _, box := range boxes {
		due, err := s.mailboxes.DueFolders(ctx, box.ID, retentionRules(folders, s.clock.Now()))
		if err != nil {
			return false, err
		}
		for _, d := range due {
			if err := s.retainFolder(ctx, j, o, box.ID, d, run); err != nil {
				return false, err
			}
		}
		run.After = box.Owner.Entity
		run.Mailboxes++
		s.retained.mailboxes.Add(1)
	}
	return len(boxes) == retentionPage, nil
}

// retainFolder removes what is due from one folder, some hundred items at a time. Each time the policy must still stand.
func (s *Service) retainFolder(ctx context.Context, j job.Job, o *directory.Organization, box mailbox.ID, d mailbox.Due, run *retentionRun) error {
	for more := true; more; {
		var next retentionRun
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			n, again, err := s.mailboxes.RetainTx(ctx, tx, box, d)
			if err != nil {
				return err
			}
			more, next = again, *run
			if d.Rule.Recoverable {
				next.Recoverable += int64(n)
			} else {
				next.Removed += int64(n)
			}
			stands, err := s.policy.RetentionStandsTx(ctx, tx, o.Key, run.Version)
			if err == nil && !stands {
				err = errPolicyChanged
			}
			if err != nil {
				return err
			}
			return j.SaveTx(ctx, tx, next)
		})
		if f := fault.As(err); f != nil && (f.Kind == fault.State || f.Kind == fault.NotFound) {
			return nil // the mailbox was closed just now, or the folder deleted
		}
		if err != nil {
			return err
		}
		s.retained.recoverable.Add(uint64(next.Recoverable - run.Recoverable))
		s.retained.removed.Add(uint64(next.Removed - run.Removed))
		*run = next
	}
	return nil
}

// usesOf is what package mailbox calls the folders of a policy.
var usesOf = lazy.Value[map[string]mailbox.Use]{Make: func() map[string]mailbox.Use {
	return map[string]mailbox.Use{
		policy.RetainInbox: mailbox.Inbox, policy.RetainDeletedItems: mailbox.Trash, policy.RetainSentItems: mailbox.Sent,
		policy.RetainDrafts: mailbox.Drafts, policy.RetainJunkEmail: mailbox.JunkMail,
	}
}}

func retentionRules(folders []policy.RetentionFolder, now time.Time) (rules []mailbox.Rule) {
	for _, f := range folders {
		if f.Action == policy.RetainForever {
			continue
		}
		rules = append(rules, mailbox.Rule{
			Use: usesOf.Get()[f.Folder], Before: now.Add(-time.Duration(f.Days) * 24 * time.Hour), Recoverable: f.Action == policy.RetainDelete,
		})
	}
	return rules
}
