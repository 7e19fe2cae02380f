package export

import (
	"bytes"
	"context"
	"crypto/sha512"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
)

func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// export carries out a job, or goes on with it.
func (s *Service) export(ctx context.Context, j job.Job) error {
	key, err := strconv.ParseInt(j.Key, 10, 64)
	if err != nil {
		return fmt.Errorf("key %q of a job is not an export's number: %w", j.Key, err)
	}
	ctx, end := s.begin(ctx, key)
	defer end()
	row, org, err := s.whose(ctx, key)
	if err != nil || row == nil {
		return err
	}
	a := &session{Service: s, job: j, row: row, org: org, bucket: s.bucketOf(directory.OrgID(org), row.Bucket), written: idSet{}, counts: map[mailbox.FolderID]count{}}
	err = a.run(ctx)
	switch {
	case err == nil:
		s.Log.InfoContext(ctx, "a mailbox was exported", "organization", org, "entity", row.EntityID, "export", row.ID, "messages", a.work.Messages, "bytes", a.work.Size)
		return nil
	case errors.Is(err, job.ErrLost), errors.Is(context.Cause(ctx), errCancelled):
		return nil // who ended it has left the rest to the cleaning
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return a.failed(ctx, err)
}

// run writes the zip from where the last attempt came to, and completes it.
func (s *session) run(ctx context.Context) error {
	if s.bucket == nil {
		return &refusal{"it is not in the server's configuration any more", errors.New("no such bucket")}
	}
	begun, err := s.load(ctx)
	if err != nil {
		return err
	}
	if !begun {
		if err := s.startOver(ctx); err != nil { // an attempt may have begun an upload and not come to note it
			return err
		}
	}
	err = s.goOn(ctx)
	if errors.Is(err, errGone) || errors.Is(err, errUnstaged) {
		if s.work.Restarts++; s.work.Restarts > maxRestarts {
			return &refusal{"what was uploaded was lost again and again", err}
		}
		s.Log.WarnContext(ctx, "what an export had written is lost; it begins again", "export", s.row.ID, "error", err)
		s.written, s.counts = idSet{}, map[mailbox.FolderID]count{}
		if err = s.startOver(ctx); err == nil {
			err = s.goOn(ctx)
		}
	}
	return err
}

// maxRestarts is how often a job begins from nothing.
const maxRestarts = 5

func (s *session) goOn(ctx context.Context) error {
	if s.work.Size > 0 {
		return s.complete(ctx, true)
	}
	if err := s.recall(ctx); err != nil {
		return err
	}
	var err error
	put := func(ctx context.Context, part int, body *io.SectionReader) (string, error) {
		etag, err := s.bucket.put(ctx, s.row.Path, s.row.upload, part, int64(part-1)*s.work.PartSize, body, body.Size())
		if err != nil {
			return "", ofBucket(fmt.Sprint("upload part ", part), err)
		}
		return etag, nil
	}
	if s.stage, err = openStage(ctx, s.dir(s.row.key), s.work.PartSize, s.work.Offset, put); err != nil {
		return err
	}
	if s.zip, err = newArchive(s.stage, s.work.Offset, s.work.Entries); err == nil {
		err = s.write(ctx)
	}
	// An upload that failed is why the writing did.
	upload := s.stage.uploads.Wait()
	closing := s.stage.close()
	switch {
	case upload != nil && ctx.Err() == nil:
		return upload
	case err != nil:
		return err
	case closing != nil:
		return closing
	}
	return s.complete(ctx, false)
}

// dir is where the parts of a job wait.
func (s *Service) dir(key int64) string { return filepath.Join(s.Dir, jobKey(key)) }

// write writes the zip from the last checkpoint to its end.
func (s *session) write(ctx context.Context) error {
	s.fresh, s.last = items{}, 0
	s.manifest.Reset()
	var err error
	if s.keywords, err = s.Mailboxes.Keywords(ctx, s.row.mailbox); err != nil {
		return err
	}
	if err := s.walk(ctx); err != nil {
		return err
	}
	if err := s.follow(ctx); err != nil {
		return err
	}
	if err := s.checkpoint(ctx); err != nil {
		return err
	}
	if err := s.finish(ctx); err != nil {
		return err
	}
	size := s.stage.offset
	etags, err := s.stage.finish(ctx)
	if err != nil {
		return err
	}
	w := s.work
	w.Size = size
	err = s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return s.saveTx(ctx, tx, &w, etags) })
	if err == nil {
		s.work = w
	}
	return err
}

// walk writes what the folders hold, one after the other.
func (s *session) walk(ctx context.Context) error {
	for s.work.Folder < len(s.folders) {
		f := &s.folders[s.work.Folder]
		rest := mailbox.UIDSet{{First: s.work.UID + 1, Last: mailbox.MaxUID}}
		if f.Kind == mailbox.Mail && s.work.UID < mailbox.MaxUID {
			err := s.fetch(ctx, f, rest, func(uid mailbox.UID) { s.work.UID = uid })
			if err != nil {
				return err
			}
		}
		s.work.Folder, s.work.UID = s.work.Folder+1, 0
	}
	return nil
}

// followed is how many of the items that were moved are looked up at once.
const followed = 2000

// follow writes what was moved away in front of the walk, until nothing is missing.
func (s *session) follow(ctx context.Context) error {
	for {
		places, err := s.Mailboxes.Touched(ctx, s.row.mailbox, s.work.Since, s.written.has, followed)
		if err != nil || len(places) == 0 {
			return err
		}
		byFolder := map[mailbox.FolderID][]mailbox.UID{}
		for _, p := range places {
			byFolder[p.Folder] = append(byFolder[p.Folder], p.UID)
		}
		wrote := len(s.fresh.IDs) + s.work.Chunks
		for id, uids := range byFolder {
			f, err := s.folder(ctx, id)
			if fault.Is(err, fault.NotFound, fault.Folder) {
				continue // deleted just now
			}
			if err != nil {
				return err
			}
			if f.Kind != mailbox.Mail {
				for _, p := range places { // they are not exported, and counted as such
					if p.Folder == id {
						s.written.add(p.Item)
					}
				}
				continue
			}
			if err := s.fetch(ctx, f, mailbox.UIDs(uids...), func(mailbox.UID) {}); err != nil {
				return err
			}
		}
		if wrote == len(s.fresh.IDs)+s.work.Chunks { // all of them were moved again, just now
			if err := s.Clock.Sleep(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
}

// folder returns a folder that messages are written from, and notes one that is new.
func (s *session) folder(ctx context.Context, id mailbox.FolderID) (*mailbox.Folder, error) {
	for i := range s.folders {
		if s.folders[i].ID == id {
			return &s.folders[i], nil
		}
	}
	f, err := s.Mailboxes.FolderByID(ctx, s.row.mailbox, id)
	if err != nil {
		return nil, err
	}
	s.folders, s.named = append(s.folders, f), true
	s.work.Folder = len(s.folders) // the walk is over
	return &s.folders[len(s.folders)-1], nil
}

// fetch writes the messages of a set that are not written yet. passed is told how far it came, before any checkpoint.
func (s *session) fetch(ctx context.Context, f *mailbox.Folder, set mailbox.UIDSet, passed func(mailbox.UID)) error {
	begin := s.stage.offset
	for it, err := range s.Mailboxes.Fetch(ctx, s.row.mailbox, f.ID, set, mailbox.WantBody, 0) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if s.written.has(it.ID) {
			passed(it.UID)
			continue
		}
		if it.Flags&mailbox.KeywordFlags&^s.keywords.All() != 0 { // defined since
			if s.keywords, err = s.Mailboxes.Keywords(ctx, s.row.mailbox); err != nil {
				return err
			}
		}
		if err := s.message(ctx, f, it); err != nil {
			return fmt.Errorf("message %d of folder %d: %w", it.UID, f.ID, err)
		}
		passed(it.UID)
		if len(s.fresh.IDs) >= s.checkpointMessages || s.stage.offset-begin >= s.checkpointBytes {
			if err := s.checkpoint(ctx); err != nil {
				return err
			}
			begin = s.stage.offset
		}
	}
	return nil
}

// inMemory is the size up to which a message is read as a whole.
const inMemory = 1 << 20

// message writes one message, with its line of the manifest.
func (s *session) message(ctx context.Context, f *mailbox.Folder, it *mailbox.Item) error {
	name, sum := fileName(f, it.ID), sha512.New384()
	content, err := s.Mailboxes.Open(ctx, it)
	if errors.Is(err, fs.ErrNotExist) {
		return s.lost(ctx, f, it)
	}
	if err != nil {
		return err
	}
	if it.Size <= inMemory {
		data := content.Bytes()
		if data == nil {
			data = make([]byte, it.Size)
			_, err = io.ReadFull(io.NewSectionReader(content, 0, it.Size), data)
		}
		if err == nil {
			sum.Write(data)
			err = s.zip.add(name, it.Received, data)
		}
	} else {
		err = s.zip.stream(name, it.Received, it.Size, func() io.Reader {
			sum.Reset()
			return io.TeeReader(newPages(content), sum)
		})
	}
	if err = errors.Join(err, content.Close()); err != nil {
		return err
	}
	s.work.Messages++
	s.work.Bytes += it.Size
	return s.note(f, it, s.messageLine(it, f.ID, name, sum.Sum(nil)), count{1, it.Size})
}

// newPages reads a large content by pages: each reading may be a request to a store.
func newPages(c mailbox.Content) io.Reader {
	return &pages{content: c, buf: make([]byte, inMemory)}
}

type pages struct {
	content mailbox.Content
	buf     []byte
	left    []byte
	at      int64
}

func (p *pages) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		n, err := p.content.ReadAt(p.buf, p.at)
		if n == 0 {
			return 0, err
		}
		p.left, p.at = p.buf[:n], p.at+int64(n)
	}
	n := copy(b, p.left)
	p.left = p.left[n:]
	return n, nil
}

// lost tells a message that was removed just now from one whose bytes are gone, which the manifest must not pass over.
func (s *session) lost(ctx context.Context, f *mailbox.Folder, it *mailbox.Item) error {
	for again, err := range s.Mailboxes.Fetch(ctx, s.row.mailbox, f.ID, mailbox.UIDs(it.UID), mailbox.WantItem, 0) {
		if err != nil {
			return err
		}
		if again.ID != it.ID {
			continue
		}
		s.Log.ErrorContext(ctx, "the bytes of a message are not there; it is exported without them", "export", s.row.ID, "mailbox", s.row.mailbox, "item", it.ID)
		s.work.Skipped++
		return s.note(f, it, s.messageLine(it, f.ID, "", nil), count{})
	}
	return nil
}

// note remembers that a message is written, or was not to be.
func (s *session) note(f *mailbox.Folder, it *mailbox.Item, l messageLine, c count) error {
	text, err := line(l)
	if err != nil {
		return err
	}
	s.manifest.Write(text)
	s.work.Manifest += int64(len(text))
	s.written.add(it.ID)
	s.fresh.IDs = append(s.fresh.IDs, it.ID-s.last)
	s.last = it.ID
	if s.fresh.Counts == nil {
		s.fresh.Counts = map[mailbox.FolderID]count{}
	}
	sum := s.fresh.Counts[f.ID]
	s.fresh.Counts[f.ID] = count{sum.Messages + c.Messages, sum.Bytes + c.Bytes}
	s.count(f.ID, c)
	return nil
}

// finish writes the manifest, the log and the zip's directory, from what the checkpoints kept.
func (s *session) finish(ctx context.Context) error {
	m, err := s.Mailboxes.Details(ctx, s.row.mailbox)
	if err == nil && m.State == mailbox.Purged {
		err = fault.New(fault.NotFound, fault.Mailbox, "mailbox %s is being removed", m.ID)
	}
	if err != nil {
		return err
	}
	end := s.Clock.Now()
	head, folders, skipped, err := s.head(ctx, end)
	if err != nil {
		return err
	}
	sum := sha512.New384()
	var failed error
	err = s.zip.stream(manifestName, end, int64(len(head))+s.work.Manifest, func() io.Reader {
		sum.Reset()
		return io.TeeReader(&chunks{ctx: ctx, session: s, query: readManifest, now: head, failed: &failed}, sum)
	})
	if err = errors.Join(failed, err); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	text := func(n int64) string { return strconv.FormatInt(n, 10) }
	log, err := json.MarshalIndent(logFile{
		NonExportable: text(skipped), Messages: text(s.work.Messages), SHA384: hex.EncodeToString(sum.Sum(nil)), Bytes: text(s.work.Bytes),
		Folders: text(int64(folders)), Start: text(s.row.Start.Unix()), End: text(end.Unix()),
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := s.zip.add(logName, end, append(log, '\n')); err != nil {
		return err
	}
	begin := s.zip.offset
	rest := bytes.Clone(s.zip.directory.Bytes()) // of the two files above
	for n := range s.work.Chunks {
		text, err := s.chunk(ctx, readDirs, n)
		if err == nil {
			err = s.zip.write(text)
		}
		if err != nil {
			return err
		}
	}
	if err := s.zip.write(rest); err != nil {
		return err
	}
	return s.zip.end(begin)
}

// head is the manifest before the messages: what was exported, and the folders as they are now, or were when they were last seen.
func (s *session) head(ctx context.Context, end time.Time) (text []byte, folders int, skipped int64, err error) {
	list, err := s.Mailboxes.Folders(ctx, s.row.mailbox)
	if err != nil {
		return nil, 0, 0, err
	}
	all, there := list.Folders, map[mailbox.FolderID]bool{}
	for i := range all {
		there[all[i].ID] = true
	}
	for i := range s.folders {
		if f := s.folders[i]; !there[f.ID] && s.counts[f.ID].Messages > 0 {
			all = append(all, f)
		}
	}
	skipped = s.work.Skipped
	var lines []any
	for i := range all {
		f := &all[i]
		lines = append(lines, folderLineOf(f, s.counts[f.ID]))
		if f.Kind != mailbox.Mail {
			skipped += f.Messages
		}
	}
	for _, path := range list.SubscribedOnly {
		lines = append(lines, subscriptionLine{"subscription", path})
	}
	lines = append([]any{headLine{
		Type: "export", Format: format, Version: formatVersion, Organization: s.org, Entity: string(s.row.EntityID), Job: s.row.ID,
		Start: s.row.Start, End: end, Folders: len(all), Messages: s.work.Messages, Bytes: s.work.Bytes, NonExportable: skipped, Left: leftOut[:],
	}}, lines...)
	for _, l := range lines {
		part, err := line(l)
		if err != nil {
			return nil, 0, 0, err
		}
		text = append(text, part...)
	}
	return text, len(all), skipped, nil
}

// chunks reads a column of all chunks, one after the other, behind what it begins with.
type chunks struct {
	ctx     context.Context // of the one call that reads it
	session *session
	query   string
	n       int
	now     []byte
	failed  *error
}

func (c *chunks) Read(p []byte) (int, error) {
	for len(c.now) == 0 {
		if c.n == c.session.work.Chunks {
			return 0, io.EOF
		}
		if c.now, *c.failed = c.session.chunk(c.ctx, c.query, c.n); *c.failed != nil {
			return 0, *c.failed
		}
		c.n++
	}
	n := copy(p, c.now)
	c.now = c.now[n:]
	return n, nil
}

// complete makes the object appear and the job completed. again says that an attempt before may have done the first.
func (s *session) complete(ctx context.Context, again bool) error {
	var etags []string
	err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		etags, err = db.All(ctx, tx, db.Value[string], readParts, s.row.key, (s.work.Size+s.work.PartSize-1)/s.work.PartSize)
		return err
	})
	if err != nil {
		return fmt.Errorf("read the parts of export %s: %w", s.row.ID, err)
	}
	err = s.bucket.complete(ctx, s.row.Path, s.row.upload, etags, s.work.Size)
	if errors.Is(err, errGone) && again {
		if size, there := s.bucket.size(ctx, s.row.Path); there == nil && size == s.work.Size {
			err = nil
		}
	}
	if err != nil {
		return ofBucket("complete the upload", err)
	}
	return s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := s.job.SaveTx(ctx, tx, nil); err != nil {
			return err
		}
		ended, err := s.endTx(ctx, tx, s.row, Completed, "")
		if err == nil && !ended {
			err = job.ErrLost
		}
		return err
	})
}

// The pauses between attempts double up to the longest.
const (
	firstPause = 5 * time.Second
	longPause  = 15 * time.Minute
)

// failed gives the job up, or lets it be tried again after a pause.
func (s *session) failed(ctx context.Context, cause error) error {
	now := s.Clock.Now()
	w := s.work
	if w.Failures++; w.FailingSince.IsZero() {
		w.FailingSince = now
	}
	why, final := s.explain(cause)
	if !final && now.Sub(w.FailingSince) >= s.Patience {
		why, final = fmt.Sprintf("%s, for %v", why, now.Sub(w.FailingSince).Round(time.Minute)), true
	}
	s.Log.WarnContext(ctx, "an export failed", "organization", s.org, "export", s.row.ID, "bucket", s.row.Bucket, "attempt", w.Failures, "final", final, "error", cause)
	err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := s.job.SaveTx(ctx, tx, nil); err != nil {
			return err
		}
		if final {
			_, err := s.endTx(ctx, tx, s.row, Failed, why)
			return err
		}
		if err := s.saveFailureTx(ctx, tx, &w); err != nil {
			return err
		}
		pause := time.Duration(min(float64(firstPause)*math.Pow(2, float64(w.Failures-1)), float64(longPause)))
		return job.EnqueueTx(ctx, tx, exportKind, jobKey(s.row.key), nil, now.Add(pause))
	})
	if errors.Is(err, job.ErrLost) {
		return nil
	}
	return err
}

// saveFailureTx keeps the count of failures beside what the last checkpoint kept.
func (s *session) saveFailureTx(ctx context.Context, tx *db.Tx, w *work) error {
	var state []byte
	if err := tx.QueryRow(ctx, `SELECT work FROM export_job WHERE key = $1`, s.row.key).Scan(&state); err != nil {
		return err
	}
	var kept work
	if len(state) > 0 {
		if err := json.Unmarshal(state, &kept); err != nil {
			return err
		}
	}
	kept.Failures, kept.FailingSince = w.Failures, w.FailingSince
	return s.saveTx(ctx, tx, &kept, nil)
}

// explain words a failure for the caller, and says whether it is no use to try again.
func (s *session) explain(err error) (why string, final bool) {
	if r, ok := errors.AsType[*refusal](err); ok {
		return fmt.Sprintf("Export to bucket %s: %s.", s.row.Bucket, r.text), true
	}
	_, bucket := errors.AsType[*bucketFault](err)
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
	switch {
	case fault.Is(err, fault.NotFound, fault.Mailbox):
		return "The mailbox was removed.", true
	case bucket && full:
		return fmt.Sprintf("Bucket %s had no room left", s.row.Bucket), false
	case bucket:
		return fmt.Sprintf("Bucket %s could not be reached or written to", s.row.Bucket), false
	case full:
		return "The server had no room left on its disk", false
	}
	return "The server could not read the mailbox", false
}
