package policy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/principal"
)

// RetentionJob is the kind of the job that applies an organisation's retention policy; its key is the organisation's id.
const RetentionJob = "retention"

// The folders that a retention policy can name, in the words of the API.
const (
	RetainInbox        = "INBOX"
	RetainDeletedItems = "DELETED_ITEMS"
	RetainSentItems    = "SENT_ITEMS"
	RetainDrafts       = "DRAFTS"
	RetainJunkEmail    = "JUNK_EMAIL"
)

// What becomes of items whose time is over, in the words of the API.
const (
	RetainForever   = "NONE"
	RetainDelete    = "DELETE"             // recoverable for a while
	RetainDeleteNow = "PERMANENTLY_DELETE" // gone
)

// RetentionPolicy says how long items stay in an organisation's mailboxes. An organisation has one or none.
type RetentionPolicy struct {
	ID          string
	Name        string // 1 to 64 of [a-zA-Z0-9_-]
	Description string // up to 256 characters
	Folders     []RetentionFolder
	// Version differs after each change.
	Version int64
}

// RetentionFolder is what a policy says of one folder of every mailbox; of folders that aren't named it says nothing.
type RetentionFolder struct {
	Folder string
	Action string
	Days   int // 1 to 730; 0 where there is none
}

func checkRetention(folders []RetentionFolder) error {
	seen := map[string]bool{}
	for _, f := range folders {
		if seen[f.Folder] {
			return fault.New(fault.Invalid, fault.Resource, "the folder %s is named twice", f.Folder)
		}
		seen[f.Folder] = true
		if f.Action != RetainForever && f.Days == 0 {
			return fault.New(fault.Invalid, fault.Resource, "the folder %s has the action %s and needs a period", f.Folder, f.Action)
		}
	}
	return nil
}

const (
	readRetention = `SELECT id, name, description, folders, version FROM retention_policy WHERE organization = $1`

	upsertRetention = `INSERT INTO retention_policy (organization, id, name, description, folders, version) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (organization) DO UPDATE SET name = excluded.name, description = excluded.description, folders = excluded.folders,
			version = excluded.version RETURNING id`

	updateRetention = `UPDATE retention_policy SET name = $3, description = $4, folders = $5, version = $6 WHERE organization = $1 AND id = $2`

	deleteRetention = `DELETE FROM retention_policy WHERE organization = $1 AND id = $2`
)

// PutRetentionPolicy makes r the organisation's policy: without an ID it takes the place of the one there is, keeping its id, or
// becomes the first; with one it changes that. It is applied to all mailboxes from now on, and what an older one had under way
// stops with this commit. Faults: Invalid (a folder named twice, an action without a period); Limit (Resource) for an ID beside
// the policy that there is; NotFound (Resource) for an ID where there is none.
func (s *Service) PutRetentionPolicy(ctx context.Context, p principal.Principal, org directory.OrgID, r RetentionPolicy) error {
	return s.directory.Change(ctx, p, org, "PutRetentionPolicy", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		if err := checkRetention(r.Folders); err != nil {
			return "", err
		}
		put, err := s.putRetentionTx(ctx, tx, o, r)
		if err != nil {
			return "", err
		}
		return put, job.EnqueueTx(ctx, tx, RetentionJob, string(o.ID), nil, s.clock.Now())
	})
}

func (s *Service) putRetentionTx(ctx context.Context, tx *db.Tx, o *directory.Organization, r RetentionPolicy) (string, error) {
	folders, err := json.Marshal(r.Folders)
	if err != nil {
		return "", fmt.Errorf("put a retention policy: %w", err)
	}
	version := id.Key()
	if r.ID == "" {
		err := tx.QueryRow(ctx, upsertRetention, o.Key, id.UUID(), r.Name, r.Description, string(folders), version).Scan(&r.ID)
		if err != nil {
			return "", fmt.Errorf("put a retention policy: %w", err)
		}
		return r.ID, nil
	}
	n, err := tx.Exec(ctx, updateRetention, o.Key, r.ID, r.Name, r.Description, string(folders), version)
	if err != nil {
		return "", fmt.Errorf("put a retention policy: %w", err)
	}
	if n > 0 {
		return r.ID, nil
	}
	if _, exists, err := s.RetentionTx(ctx, tx, o.Key); err != nil {
		return "", err
	} else if exists {
		return "", fault.New(fault.Limit, fault.Resource, "the organization has a retention policy with another id, and can have one only")
	}
	return "", fault.New(fault.NotFound, fault.Resource, "there is no retention policy with that id; leave the id out to make one")
}

// DeleteRetentionPolicy ends a policy: what it had under way stops with this commit. One that does not exist is no error.
func (s *Service) DeleteRetentionPolicy(ctx context.Context, p principal.Principal, org directory.OrgID, policy string) error {
	return s.directory.Change(ctx, p, org, "DeleteRetentionPolicy", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return policy, s.DeleteRetentionTx(ctx, tx, o, policy)
	})
}

// DeleteRetentionTx is DeleteRetentionPolicy in a transaction.
func (s *Service) DeleteRetentionTx(ctx context.Context, tx *db.Tx, o *directory.Organization, policy string) error {
	n, err := tx.Exec(ctx, deleteRetention, o.Key, policy)
	if err != nil {
		return fmt.Errorf("delete a retention policy: %w", err)
	}
	if n == 0 {
		return nil
	}
	// The job tells the audit trail of what was stopped, and ends.
	return job.EnqueueTx(ctx, tx, RetentionJob, string(o.ID), nil, s.clock.Now())
}

// RetentionPolicy returns the organisation's policy. Faults: NotFound (Resource) where it has none.
func (s *Service) RetentionPolicy(ctx context.Context, p principal.Principal, org directory.OrgID) (r RetentionPolicy, err error) {
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		var exists bool
		if r, exists, err = s.RetentionTx(ctx, tx, o.Key); err == nil && !exists {
			err = fault.New(fault.NotFound, fault.Resource, "organization %s has no retention policy", o.ID)
		}
		return err
	})
	return r, err
}

// RetentionTx returns the policy of the organisation with that key, if it has one.
func (s *Service) RetentionTx(ctx context.Context, tx *db.Tx, org int64) (r RetentionPolicy, exists bool, err error) {
	var folders string
	err = tx.QueryRow(ctx, readRetention, org).Scan(&r.ID, &r.Name, &r.Description, &folders, &r.Version)
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(folders), &r.Folders)
	}
	if err != nil {
		return r, false, fmt.Errorf("read the retention policy: %w", err)
	}
	return r, true, nil
}

// RetentionStandsTx reports whether the organisation's policy is still the one of that version, and makes those who would change
// it wait for the end of this transaction: the update changes nothing but locks the row.
func (s *Service) RetentionStandsTx(ctx context.Context, tx *db.Tx, org, version int64) (bool, error) {
	n, err := tx.Exec(ctx, `UPDATE retention_policy SET version = version WHERE organization = $1 AND version = $2`, org, version)
	if err != nil {
		return false, fmt.Errorf("hold the retention policy: %w", err)
	}
	return n > 0, nil
}

// checkRetentions finds policies that nothing applies.
func (s *Service) checkRetentions(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	policies := map[int64]string{}
	err = tx.Each(ctx, func(row db.Row) error {
		var org int64
		var id string
		if err := row.Scan(&org, &id); err != nil {
			return err
		}
		policies[org] = id
		return nil
	}, `SELECT organization, id FROM retention_policy`)
	if err != nil {
		return nil, fmt.Errorf("check retention policies: %w", err)
	}
	for org, id := range policies {
		o, err := s.directory.OrganizationByKeyTx(ctx, tx, org)
		if fault.KindOf(err) == fault.NotFound {
			continue // which checkSettings tells
		}
		if err != nil {
			return nil, err
		}
		applied, err := job.ExistsTx(ctx, tx, RetentionJob, string(o.ID))
		if err != nil {
			return nil, err
		}
		if !applied && o.State == directory.OrgActive {
			faults = append(faults, fmt.Sprintf("policy: retention policy %s of organization %s has no job that applies it", id, o.ID))
		}
	}
	return faults, nil
}
