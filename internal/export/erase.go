package export

import (
	"context"
	"fmt"
	"os"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
)

// leftover is what an ended job left behind. It stands by itself: the organisation's rows may be gone.
type leftover struct {
	Export               int64
	Bucket, Path, Upload string
	Completed            bool
}

// lastCleaning is the attempt after which a bucket that refuses is left to its own rules for unfinished uploads.
const lastCleaning = 20

// clean removes what an ended job left: its upload, and if it was not completed an object that appeared in the same moment, its
// files and its rows.
func (s *Service) clean(ctx context.Context, j job.Job) error {
	var left leftover
	if err := j.Decode(&left); err != nil {
		return err
	}
	if !left.Completed {
		if over := s.interrupt(left.Export); over != nil {
			select {
			case <-over:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	if err := os.RemoveAll(s.dir(left.Export)); err != nil {
		return err
	}
	if err := s.forget(ctx, left.Export); err != nil {
		return err
	}
	b := s.buckets[left.Bucket]
	if b == nil || left.Completed {
		return nil
	}
	err := b.abort(ctx, left.Path, left.Upload)
	if err == nil {
		err = b.remove(ctx, left.Path)
	}
	if err != nil && j.Attempts >= lastCleaning {
		s.Log.ErrorContext(ctx, "what an export left in its bucket could not be removed, and stays", "bucket", left.Bucket, "path", left.Path, "upload", left.Upload, "error", err)
		return nil
	}
	return err
}

// EraseTx ends and removes up to limit jobs of an organisation that is being deleted, and returns how many; fewer means that none
// are left. Their uploads are aborted by a job that follows.
func (s *Service) EraseTx(ctx context.Context, tx *db.Tx, o *directory.Organization, limit int) (int, error) {
	jobs, err := jobsTx(ctx, tx, `SELECT `+jobColumns+` FROM export_job WHERE organization = $1 ORDER BY key LIMIT $2`, o.Key, limit)
	if err != nil {
		return 0, err
	}
	for i := range jobs {
		j := &jobs[i]
		if j.State == Running {
			if err := s.leaveTx(ctx, tx, j, Cancelled); err != nil {
				return 0, err
			}
		}
		if _, err := tx.Exec(ctx, `DELETE FROM export_job WHERE key = $1`, j.key); err != nil {
			return 0, fmt.Errorf("erase export %s: %w", j.ID, err)
		}
	}
	return len(jobs), nil
}

// Check looks for jobs of organisations that are gone, and returns a line per find.
func (s *Service) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	type found struct{ org, all, running int64 }
	organizations, err := db.All(ctx, tx, func(row db.Row) (f found, err error) {
		err = row.Scan(&f.org, &f.all, &f.running)
		return f, err
	}, `SELECT organization, COUNT(*), SUM(CASE WHEN state = 1 THEN 1 ELSE 0 END) FROM export_job GROUP BY organization`)
	if err != nil {
		return nil, fmt.Errorf("check exports: %w", err)
	}
	for _, f := range organizations {
		o, err := s.Directory.OrganizationByKeyTx(ctx, tx, f.org)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			faults = append(faults, fmt.Sprintf("export: %d jobs of organization %d, which does not exist", f.all, f.org))
		case err != nil:
			return nil, err
		case o.State == directory.OrgDeleted:
			faults = append(faults, fmt.Sprintf("export: %d jobs of organization %s, which is deleted", f.all, o.ID))
		case f.running > maxRunning:
			faults = append(faults, fmt.Sprintf("export: %d jobs of organization %s run at once", f.running, o.ID))
		}
	}
	return faults, nil
}
