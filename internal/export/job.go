package export

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/principal"
)

// State is where a job is in its life.
type State uint8

// The states of a job. The numbers are stored.
const (
	Running   State = 1 // also while it waits for its turn, or for a bucket to answer again
	Completed State = 2
	Failed    State = 3
	Cancelled State = 4
)

// String returns the state in the words of the API.
func (s State) String() string {
	switch s {
	case Running:
		return "RUNNING"
	case Completed:
		return "COMPLETED"
	case Failed:
		return "FAILED"
	case Cancelled:
		return "CANCELLED"
	}
	return "UNKNOWN"
}

// Request asks for an export.
type Request struct {
	Entity      string // id, address or name of a user or resource
	Description string
	Bucket      string // a name of the configuration
	Prefix      string // of the object's key
	// RoleARN is kept for the record. KMSKeyARN is handed to S3, which encrypts with it.
	RoleARN, KMSKeyARN string
	ClientToken        string
}

// Job is an export. Times are zero for what never happened.
type Job struct {
	Request     // without Entity and ClientToken
	ID          string
	EntityID    directory.EntityID
	Path        string // the object's key
	State       State
	Progress    int    // percent, an estimate
	Error       string // why it failed
	Start, End  time.Time
	key, entity int64
	mailbox     mailbox.ID
	upload      string
}

const (
	maxKey   = 1023 // characters of an object's key in the API
	maxError = 1024 // characters of ErrorInfo
)

const (
	jobColumns = `key, id, entity, entity_id, mailbox, description, role, kms_key, bucket, prefix, path, state, progress, error, started, ended, upload`
	insertJob  = `INSERT INTO export_job (` + jobColumns + `, organization, work, folders)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, '', $13, 0, '', $14, $15, $16)`
	jobByID      = `SELECT ` + jobColumns + ` FROM export_job WHERE organization = $1 AND id = $2`
	jobByKey     = `SELECT ` + jobColumns + ` FROM export_job WHERE key = $1`
	listJobs     = `SELECT ` + jobColumns + ` FROM export_job WHERE organization = $1 AND key < $2 AND started > $3 ORDER BY key DESC LIMIT $4`
	countRunning = `SELECT COUNT(*) FROM export_job WHERE organization = $1 AND state = 1`
	countRecent  = `SELECT COUNT(*) FROM export_job WHERE organization = $1 AND entity = $2 AND (state = 1 OR state = 2 AND started > $3)`
	forgetJobs   = `DELETE FROM export_job WHERE key IN
		(SELECT key FROM export_job WHERE organization = $1 AND started < $2 AND state <> 1 ORDER BY started LIMIT 8)`
	endJob = `UPDATE export_job SET state = $2, error = $3, ended = $4, progress = CASE WHEN $5 THEN 100 ELSE progress END, work = $6, folders = $6
		WHERE key = $1 AND state = 1`
)

// Start begins the export of a mailbox, also of the kept one of a disabled user, and returns the job's id. Faults: Invalid for a
// bucket that the configuration doesn't know, a prefix that can't be one, and (Token); NotFound (Entity), also for a group and for
// who has no mailbox; Limit when the organisation has ten running, or the mailbox is being exported or was within 24 hours.
func (s *Service) Start(ctx context.Context, p principal.Principal, org directory.OrgID, r Request) (string, error) {
	input, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("start an export: %w", err)
	}
	var started string
	// Alone, so that two can't both be the tenth.
	err = s.Directory.ChangeAlone(ctx, p, org, "StartMailboxExportJob", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		once := directory.Once{Scope: "StartMailboxExportJob " + string(org), Token: r.ClientToken, Input: input}
		started, err = s.Directory.OnceTx(ctx, tx, once, func() (string, error) { return s.startTx(ctx, tx, o, r) })
		return started, err
	})
	return started, err
}

func (s *Service) startTx(ctx context.Context, tx *db.Tx, o *directory.Organization, r Request) (string, error) {
	j := Job{Request: r, ID: id.UUID(), key: id.Key(), State: Running}
	if err := s.place(o.ID, &j); err != nil {
		return "", err
	}
	e, err := s.Directory.ResolveTx(ctx, tx, o, r.Entity, directory.Narrow{})
	if err != nil {
		return "", err
	}
	if e.Kind == directory.KindGroup || e.State == directory.Deleted {
		return "", fault.New(fault.NotFound, fault.Entity, "user or resource %q does not exist in this organization", r.Entity)
	}
	m, err := s.Mailboxes.ByOwnerTx(ctx, tx, mailbox.Owner{Org: mailbox.OrgKey(e.OrgKey), Entity: string(e.ID)})
	if err != nil {
		return "", err
	}
	now := s.Clock.Now()
	var running, recent int
	if err := tx.QueryRow(ctx, countRunning, o.Key).Scan(&running); err != nil {
		return "", fmt.Errorf("count the running exports: %w", err)
	}
	if err := tx.QueryRow(ctx, countRecent, o.Key, e.Key, now.Add(-perMailbox).UnixMicro()).Scan(&recent); err != nil {
		return "", fmt.Errorf("count the exports of %s: %w", e.ID, err)
	}
	switch {
	case recent > 0:
		return "", fault.New(fault.Limit, fault.Mailbox, "the mailbox of %s is being exported, or was within the last 24 hours", e.ID)
	case running >= maxRunning:
		return "", fault.New(fault.Limit, fault.Organization, "%d exports of this organization are running; wait until one ends", running)
	}
	_, err = tx.Exec(ctx, insertJob, j.key, j.ID, e.Key, string(e.ID), int64(m.ID), r.Description, r.RoleARN, r.KMSKeyARN, r.Bucket, r.Prefix, j.Path,
		int64(Running), now.UnixMicro(), o.Key, []byte{}, []byte{})
	if err != nil {
		return "", fmt.Errorf("start an export: %w", err)
	}
	if _, err := tx.Exec(ctx, forgetJobs, o.Key, now.Add(-remembered).UnixMicro()); err != nil {
		return "", fmt.Errorf("forget old exports: %w", err)
	}
	return j.ID, job.EnqueueTx(ctx, tx, exportKind, jobKey(j.key), nil, now)
}

// place gives a job its object's key.
func (s *Service) place(org directory.OrgID, j *Job) error {
	if s.bucketOf(org, j.Bucket) == nil {
		return fault.New(fault.Invalid, fault.None, "bucket %q is not one that organization %s may export to: the server's configuration has no [export_bucket.%q] for it", j.Bucket, org, j.Bucket)
	}
	prefix := strings.TrimSuffix(j.Prefix, "/")
	for name := range strings.SplitSeq(prefix, "/") {
		if name == "" || name == "." || name == ".." {
			return fault.New(fault.Invalid, fault.None, "prefix %q has an empty part, or one that is . or ..", j.Prefix)
		}
	}
	j.Path = prefix + "/" + j.ID + ".zip"
	if len(j.Path) > maxKey {
		return fault.New(fault.Invalid, fault.None, "prefix %q leaves no room for a name: the key would have %d characters, and may have %d", j.Prefix, len(j.Path), maxKey)
	}
	return nil
}

// Cancel ends a running export; what was uploaded is removed, and no object appears. A cancelled one stays so. Faults: NotFound
// (Entity); Invalid when the job has completed or failed, and (Token).
func (s *Service) Cancel(ctx context.Context, p principal.Principal, org directory.OrgID, jobID, token string) error {
	return s.Directory.Change(ctx, p, org, "CancelMailboxExportJob", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		once := directory.Once{Scope: "CancelMailboxExportJob " + string(org), Token: token, Input: []byte(jobID)}
		return s.Directory.OnceTx(ctx, tx, once, func() (string, error) {
			j, err := jobTx(ctx, tx, o, jobID)
			if err != nil {
				return "", err
			}
			if j.State == Cancelled {
				return j.ID, nil
			}
			ended, err := s.endTx(ctx, tx, j, Cancelled, "")
			if err == nil && !ended {
				err = fault.New(fault.Invalid, fault.None, "export job %s is %s: it is too late to cancel it", j.ID, j.State)
			}
			return j.ID, err
		})
	})
}

// endTx ends a running job, leaves a job that removes what it left behind, and reports whether it did run.
func (s *Service) endTx(ctx context.Context, tx *db.Tx, j *Job, to State, why string) (bool, error) {
	why = strings.ToValidUTF8(why, "\uFFFD")
	if runes := []rune(why); len(runes) > maxError {
		why = string(runes[:maxError])
	}
	n, err := tx.Exec(ctx, endJob, j.key, int64(to), why, s.Clock.Now().UnixMicro(), to == Completed, []byte{})
	if err != nil {
		return false, fmt.Errorf("end export %s: %w", j.ID, err)
	}
	if n == 0 {
		return false, nil
	}
	return true, s.leaveTx(ctx, tx, j, to)
}

// leaveTx takes the work from who may be at it, and leaves the cleaning to a job.
func (s *Service) leaveTx(ctx context.Context, tx *db.Tx, j *Job, to State) error {
	if to != Completed { // who completes it is the one that works on it
		if _, err := job.CancelTx(ctx, tx, exportKind, jobKey(j.key)); err != nil {
			return err
		}
		tx.OnCommit(func() { s.interrupt(j.key) })
	}
	left := leftover{Export: j.key, Bucket: j.Bucket, Path: j.Path, Upload: j.upload, Completed: to == Completed}
	return job.EnqueueTx(ctx, tx, cleanKind, jobKey(j.key), left, s.Clock.Now())
}

// Describe returns a job; ended ones for thirty days. Faults: NotFound (Entity).
func (s *Service) Describe(ctx context.Context, p principal.Principal, org directory.OrgID, jobID string) (j *Job, err error) {
	err = s.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		j, err = jobTx(ctx, tx, o, jobID)
		return err
	})
	return j, err
}

// List returns the jobs that were started within the last seven days, the newest first. Faults: Invalid (Token).
func (s *Service) List(ctx context.Context, p principal.Principal, org directory.OrgID, page directory.Page) (jobs []Job, next string, err error) {
	limit := page.Limit
	if limit <= 0 || limit > 100 {
		limit = 100
	}
	err = s.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		before := int64(1<<63 - 1)
		if page.After != "" {
			if before, err = strconv.ParseInt(page.After, 10, 64); err != nil {
				return fault.New(fault.Invalid, fault.Token, "the page token is not one that this list gave out; begin again without a token")
			}
		}
		if jobs, err = jobsTx(ctx, tx, listJobs, o.Key, before, s.Clock.Now().Add(-listed).UnixMicro(), limit+1); err != nil {
			return err
		}
		next = ""
		if len(jobs) > limit {
			jobs = slices.Clip(jobs[:limit])
			next = strconv.FormatInt(jobs[limit-1].key, 10)
		}
		return nil
	})
	return jobs, next, err
}

func jobTx(ctx context.Context, tx *db.Tx, o *directory.Organization, jobID string) (*Job, error) {
	j, err := scanJob(tx.QueryRow(ctx, jobByID, o.Key, jobID))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, fault.Entity, "export job %q does not exist in this organization", jobID)
	}
	if err != nil {
		return nil, fmt.Errorf("read export job %s: %w", jobID, err)
	}
	return &j, nil
}

func jobsTx(ctx context.Context, tx *db.Tx, query string, args ...any) ([]Job, error) {
	jobs, err := db.All(ctx, tx, scanJob, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list exports: %w", err)
	}
	return jobs, nil
}

func scanJob(row db.Row) (j Job, err error) {
	var start, end int64
	err = row.Scan(&j.key, &j.ID, &j.entity, &j.EntityID, &j.mailbox, &j.Description, &j.RoleARN, &j.KMSKeyARN, &j.Bucket, &j.Prefix, &j.Path,
		&j.State, &j.Progress, &j.Error, &start, &end, &j.upload)
	j.Start = time.UnixMicro(start).UTC()
	if end != 0 {
		j.End = time.UnixMicro(end).UTC()
	}
	return j, err
}
