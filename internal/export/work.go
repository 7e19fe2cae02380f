package export

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// work is how far a running job came. It is what the last checkpoint kept.
type work struct {
	PartSize int64
	Since    mailbox.ModSeq // the mailbox's change counter when the walk began
	Folder   int            // index of the folder that the walk is in
	UID      mailbox.UID    // up to which that folder is done
	Offset   int64          // of the zip
	Entries  int64          // of the zip
	Chunks   int
	Messages int64
	Bytes    int64 // of messages
	Expected int64 // bytes of messages when the walk began
	Manifest int64 // bytes of the manifest's lines of messages
	Skipped  int64 // messages whose bytes are not there
	// Size is that of the zip once all its parts are uploaded.
	Size     int64
	Restarts int // how often all was lost
	// Failures counts the attempts since the last progress, and FailingSince is when the first was.
	Failures     int
	FailingSince time.Time
}

// count is how many messages of a folder are in the zip, and their bytes.
type count struct{ Messages, Bytes int64 }

// items is what a chunk says of its messages.
type items struct {
	IDs    []mailbox.ItemID // each as the difference to the one before
	Counts map[mailbox.FolderID]count
}

// session is an attempt at a job.
type session struct {
	*Service
	job     job.Job
	row     *Job
	org     string
	bucket  bucket
	work    work
	folders []mailbox.Folder
	written idSet
	counts  map[mailbox.FolderID]count
	stage   *stage
	zip     *archive

	keywords *mailbox.Keywords
	// What the next checkpoint will keep.
	fresh    items
	manifest bytes.Buffer
	last     mailbox.ItemID
	named    bool // folders changed
}

// idSet is a set of items, in words of 64 neighbours: the ids of a mailbox are dense.
type idSet map[mailbox.ItemID]uint64

func (s idSet) add(i mailbox.ItemID)      { s[i>>6] |= 1 << (i & 63) }
func (s idSet) has(i mailbox.ItemID) bool { return s[i>>6]&(1<<(i&63)) != 0 }

const (
	readWork     = `SELECT work, folders FROM export_job WHERE key = $1`
	saveWork     = `UPDATE export_job SET work = $2, progress = $3 WHERE key = $1 AND state = 1`
	saveFolders  = `UPDATE export_job SET folders = $2 WHERE key = $1`
	saveUpload   = `UPDATE export_job SET upload = $2 WHERE key = $1 AND state = 1`
	insertChunk  = `INSERT INTO export_chunk (export, n, directory, manifest, items) VALUES ($1, $2, $3, $4, $5)`
	readItems    = `SELECT items FROM export_chunk WHERE export = $1 AND n = $2`
	readManifest = `SELECT manifest FROM export_chunk WHERE export = $1 AND n = $2`
	readDirs     = `SELECT directory FROM export_chunk WHERE export = $1 AND n = $2`
	upsertPart   = `INSERT INTO export_part (export, part, etag) VALUES ($1, $2, $3) ON CONFLICT (export, part) DO UPDATE SET etag = excluded.etag`
	readParts    = `SELECT etag FROM export_part WHERE export = $1 AND part <= $2 ORDER BY part`
	deleteChunks = `DELETE FROM export_chunk WHERE export = $1 AND n IN (SELECT n FROM export_chunk WHERE export = $1 LIMIT 50)`
	deleteParts  = `DELETE FROM export_part WHERE export = $1 AND part IN (SELECT part FROM export_part WHERE export = $1 LIMIT 500)`
)

// load reads what the last checkpoint kept.
func (s *session) load(ctx context.Context) (begun bool, err error) {
	var state, folders []byte
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, readWork, s.row.key).Scan(&state, &folders)
	})
	if err != nil || len(state) == 0 {
		return false, err
	}
	err = json.Unmarshal(state, &s.work)
	if err == nil && s.work.PartSize > 0 { // else it failed before it had begun
		begun, err = true, json.Unmarshal(folders, &s.folders)
	}
	if err != nil {
		err = fmt.Errorf("the state of export %s: %w", s.row.ID, err)
	}
	return begun, err
}

// recall reads which messages were written, and counts them.
func (s *session) recall(ctx context.Context) error {
	for n := range s.work.Chunks {
		text, err := s.chunk(ctx, readItems, n)
		if err != nil {
			return err
		}
		var chunk items
		if err := json.Unmarshal(text, &chunk); err != nil {
			return fmt.Errorf("chunk %d of export %s: %w", n, s.row.ID, err)
		}
		var id mailbox.ItemID
		for _, d := range chunk.IDs {
			id += d
			s.written.add(id)
		}
		for f, c := range chunk.Counts {
			s.count(f, c)
		}
	}
	return nil
}

func (s *session) count(f mailbox.FolderID, c count) {
	sum := s.counts[f]
	s.counts[f] = count{sum.Messages + c.Messages, sum.Bytes + c.Bytes}
}

// chunk reads a column of a chunk.
func (s *session) chunk(ctx context.Context, query string, n int) (text []byte, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, query, s.row.key, n).Scan(&text)
	})
	if err != nil {
		return nil, fmt.Errorf("read chunk %d of export %s: %w", n, s.row.ID, err)
	}
	return io.ReadAll(flate.NewReader(bytes.NewReader(text)))
}

func packed(text []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
}

// checkpoint makes all that was written so far durable, with where the walk is.
func (s *session) checkpoint(ctx context.Context) error {
	etags, err := s.stage.wait(ctx)
	if err != nil {
		return err
	}
	w := s.work
	w.Offset, w.Entries, w.Failures, w.FailingSince = s.stage.offset, s.zip.entries, 0, time.Time{}
	var chunk [3][]byte
	if len(s.fresh.IDs) > 0 {
		w.Chunks++
		ids, err := json.Marshal(s.fresh)
		if err != nil {
			return err
		}
		for i, text := range [][]byte{s.zip.directory.Bytes(), s.manifest.Bytes(), ids} {
			if chunk[i], err = packed(text); err != nil {
				return err
			}
		}
	}
	err = s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if w.Chunks > s.work.Chunks {
			if _, err := tx.Exec(ctx, insertChunk, s.row.key, s.work.Chunks, chunk[0], chunk[1], chunk[2]); err != nil {
				return fmt.Errorf("keep a chunk: %w", err)
			}
		}
		if s.named {
			if err := s.saveFoldersTx(ctx, tx); err != nil {
				return err
			}
		}
		return s.saveTx(ctx, tx, &w, etags)
	})
	if err != nil {
		return err
	}
	s.work, s.fresh, s.last, s.named = w, items{}, 0, false
	s.manifest.Reset()
	s.zip.directory.Reset()
	return s.stage.passed()
}

// saveTx keeps where the work is, if the job is still this attempt's.
func (s *session) saveTx(ctx context.Context, tx *db.Tx, w *work, etags map[int]string) error {
	if err := s.job.SaveTx(ctx, tx, nil); err != nil {
		return err
	}
	for part, etag := range etags {
		if _, err := tx.Exec(ctx, upsertPart, s.row.key, part, etag); err != nil {
			return fmt.Errorf("keep a part: %w", err)
		}
	}
	state, err := json.Marshal(w)
	if err != nil {
		return err
	}
	// The last percent is the end itself.
	progress := min(99, 99*w.Bytes/max(1, w.Expected))
	n, err := tx.Exec(ctx, saveWork, s.row.key, state, progress)
	if err == nil && n == 0 {
		err = job.ErrLost // it was ended meanwhile
	}
	return err
}

func (s *session) saveFoldersTx(ctx context.Context, tx *db.Tx) error {
	text, err := json.Marshal(s.folders)
	if err == nil {
		_, err = tx.Exec(ctx, saveFolders, s.row.key, text)
	}
	if err != nil {
		return fmt.Errorf("keep the folders: %w", err)
	}
	return nil
}

// start notes what there is to do, and begins the upload.
func (s *session) start(ctx context.Context) error {
	m, err := s.Mailboxes.Details(ctx, s.row.mailbox)
	if err != nil {
		return err
	}
	since, err := s.Mailboxes.Change(ctx, s.row.mailbox)
	if err != nil {
		return err
	}
	list, err := s.Mailboxes.Folders(ctx, s.row.mailbox)
	if err != nil {
		return err
	}
	s.folders = list.Folders
	s.work = work{
		PartSize: s.PartSize, Since: since, Expected: m.Bytes,
		Restarts: s.work.Restarts, Failures: s.work.Failures, FailingSince: s.work.FailingSince,
	}
	// S3 takes 10,000 parts; the manifest and what arrives meanwhile need some.
	if least := m.Bytes / 8000; least > s.work.PartSize {
		s.work.PartSize = (least>>20 + 1) << 20
	}
	upload, err := s.bucket.begin(ctx, s.row.Path, s.row.KMSKeyARN)
	if err != nil {
		return ofBucket("begin the upload", err)
	}
	s.row.upload = upload
	err = s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if _, err := tx.Exec(ctx, saveUpload, s.row.key, upload); err != nil {
			return fmt.Errorf("keep the upload: %w", err)
		}
		if err := s.saveFoldersTx(ctx, tx); err != nil {
			return err
		}
		return s.saveTx(ctx, tx, &s.work, nil)
	})
	if err != nil {
		// Nobody else knows of it. If this fails too, the cleaning looks for it.
		return errors.Join(err, s.bucket.abort(context.WithoutCancel(ctx), s.row.Path, upload))
	}
	return nil
}

// startOver forgets what was written.
func (s *session) startOver(ctx context.Context) error {
	if err := s.bucket.abort(ctx, s.row.Path, s.row.upload); err != nil {
		return ofBucket("remove what was uploaded", err)
	}
	if err := s.forget(ctx, s.row.key); err != nil {
		return err
	}
	return s.start(ctx)
}

// forget removes the chunks and parts of a job.
func (s *Service) forget(ctx context.Context, key int64) error {
	for _, statement := range []string{deleteChunks, deleteParts} {
		for more := true; more; {
			err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
				n, err := tx.Exec(ctx, statement, key)
				more = n > 0
				return err
			})
			if err != nil {
				return fmt.Errorf("forget the chunks of an export: %w", err)
			}
		}
	}
	return nil
}

// whose returns the job's row, or nil where it no longer runs.
func (s *Service) whose(ctx context.Context, key int64) (*Job, string, error) {
	var found Job
	var org string
	err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if found, err = scanJob(tx.QueryRow(ctx, jobByKey, key)); err != nil {
			return err
		}
		var number int64
		if err := tx.QueryRow(ctx, `SELECT organization FROM export_job WHERE key = $1`, key).Scan(&number); err != nil {
			return err
		}
		o, err := s.Directory.OrganizationByKeyTx(ctx, tx, number)
		if err == nil {
			org = string(o.ID)
		}
		return err
	})
	if isNoRows(err) || fault.KindOf(err) == fault.NotFound || err == nil && found.State != Running {
		return nil, "", nil
	}
	return &found, org, err
}
