package ses

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/transport"
)

const (
	listKind   = "ses-list"
	objectKind = "ses-object"

	// maxPending is how many objects wait as jobs, of each source its part of them; further ones wait in their buckets and queues.
	maxPending = 10_000
	listBatch  = 500 // objects that are written down in one transaction
	// lateAfter is how long an object of a bucket with a queue is left to its notification, which knows more than the object does, and how long
	// a queue may hide a notification that could not be taken in.
	lateAfter = 15 * time.Minute
	// perSource is how many objects of a source are taken in at once, maxWorkers how many of all.
	perSource  = 4
	maxWorkers = 20
	pause      = 10 * time.Second // after a failure of the queue, and while too much waits
)

// Mail is package transport's Transport.
type Mail interface {
	Begin(ctx context.Context, s transport.Sender) (*transport.Transaction, error)
}

// Options are what a Service needs.
type Options struct {
	DB       *db.DB
	Mail     Mail
	Clock    clock.Clock
	Log      *slog.Logger
	Dialer   *dial.Dialer
	Hostname string // the server's own
	// MaxMessage is the largest message in bytes, Spool the directory for those on their way in.
	MaxMessage int64
	Spool      string
	Sources    map[string]Source
}

// Service takes mail in from buckets. It is safe for concurrent use.
type Service struct {
	Options
	sources map[string]*source
	stats   counters
}

// New opens the sources, and asks nobody.
func New(o Options) (*Service, error) {
	s := &Service{Options: o, sources: map[string]*source{}}
	for name, from := range o.Sources {
		opened, err := open(name, from, &o)
		if err != nil {
			return nil, fmt.Errorf("ses_inbound.%q: %w", name, err)
		}
		s.sources[name] = opened
	}
	return s, nil
}

// On reports whether there is anything to do.
func (s *Service) On() bool { return len(s.sources) > 0 }

// Handle makes runner list the buckets, which Start sets going, and take in what is found. The runner waits for buckets, and for none of them
// with all of its workers unless there are many.
func (s *Service) Handle(runner *job.Runner) {
	if s.On() {
		runner.PerShare = perSource
		runner.Workers = min((perSource+1)*len(s.sources), maxWorkers) // the one lists
		runner.Handle(listKind, s.list)
		runner.Handle(objectKind, s.object)
	}
}

// Start makes sure that each bucket is listed. Call it once when the server starts.
func (s *Service) Start(ctx context.Context) error {
	if !s.On() {
		return nil
	}
	return s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, name := range slices.Sorted(maps.Keys(s.sources)) {
			if err := job.EnqueueTx(ctx, tx, listKind, name, nil, s.Clock.Now()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Run receives from the queues until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var group sync.WaitGroup
	for _, from := range s.sources {
		if from.queue != nil {
			group.Go(func() { s.receive(ctx, from) })
		}
	}
	group.Wait()
	return nil
}

// object is a job's payload.
type object struct {
	Source string `json:"source"`
	Key    string `json:"key"`
	ETag   string `json:"etag"`
	Size   int64  `json:"size"`
	// Envelope is SES's word; nil where the object's own header has to do.
	Envelope *envelope `json:"envelope,omitempty"`
}

// id is the job's key, whose share is the source's: another object under the same key is another job.
func (o *object) id() string {
	sum := sha256.Sum256([]byte(o.Source + "\x00" + o.Key + "\x00" + o.ETag))
	return share(o.Source) + " " + hex.EncodeToString(sum[:])
}

// share is what the jobs of a source have in common.
func share(source string) string { return url.PathEscape(source) }

// found is an object and when it was written.
type found struct {
	object
	at time.Time
}

// enqueue makes jobs of objects, the oldest first, but for those that are known and of which nothing new is told.
func (s *Service) enqueue(ctx context.Context, list []found) error {
	var fresh []found
	known := func(ctx context.Context, tx *db.Tx) error {
		fresh = nil
		for _, f := range list {
			there, err := job.ExistsTx(ctx, tx, objectKind, f.id())
			if err != nil {
				return err
			}
			if !there || f.Envelope != nil {
				fresh = append(fresh, f)
			}
		}
		return nil
	}
	if err := s.DB.Read(ctx, known); err != nil || len(fresh) == 0 {
		return err
	}
	n := 0
	err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := known(ctx, tx); err != nil {
			return err
		}
		n = len(fresh)
		for _, f := range fresh {
			due := s.Clock.Now()
			if f.at.Before(due) {
				due = f.at
			}
			if err := job.EnqueueTx(ctx, tx, objectKind, f.id(), f.object, due); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.stats.found.Add(uint64(n))
	}
	return err
}

// most is how many objects of a source wait at most. That is the same for all, so that no backlog stops another's mail.
func (s *Service) most() int { return max(1, maxPending/len(s.sources)) }

// full reports whether so many objects of a source wait.
func (s *Service) full(ctx context.Context, from *source, most int) (full bool, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		n, err := job.OfShareTx(ctx, tx, objectKind, share(from.name), most)
		full = n >= most
		return err
	})
	return full, err
}

// list looks for new objects in a bucket, and orders the next look.
func (s *Service) list(ctx context.Context, j job.Job) error {
	from := s.sources[j.Key]
	if from == nil { // it is configured no more
		return nil
	}
	again := from.Poll
	switch full, err := s.look(ctx, from); {
	case ctx.Err() != nil:
		return ctx.Err()
	case full:
		again = min(again, pause)
	case err != nil:
		s.stats.bucket.Add(1)
		s.Log.ErrorContext(ctx, "a bucket of mail can't be listed; it will be tried again", "source", from.name, "error", err)
	}
	return s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return job.EnqueueTx(ctx, tx, listKind, from.name, nil, s.Clock.Now().Add(again))
	})
}

// look makes jobs of a bucket's new objects, and reports whether it left some for later. Where a queue tells of them, it looks only for those
// of which the queue, which is empty, should have told by then. It
// begins at the bucket's start, with what waits already, and so only while that is less than half of what may.
func (s *Service) look(ctx context.Context, from *source) (full bool, err error) {
	newest := s.Clock.Now()
	if from.queue != nil {
		drained := from.drained.Load()
		if drained == nil {
			return false, nil
		}
		newest = drained.Add(-lateAfter)
	}
	if full, err := s.full(ctx, from, (s.most()+1)/2); err != nil || full {
		return full, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var list []found
	for o := range from.client.ListObjectsIter(ctx, from.bucket, minio.ListObjectsOptions{Prefix: from.prefix, Recursive: !from.flat}) {
		if o.Err != nil {
			return false, o.Err
		}
		if from.holds(o.Key) && (from.queue == nil || o.LastModified.Before(newest)) {
			list = append(list, found{object{Source: from.name, Key: o.Key, ETag: o.ETag, Size: o.Size}, o.LastModified})
		}
		if len(list) == listBatch {
			if err := s.enqueue(ctx, list); err != nil {
				return false, err
			}
			list = list[:0]
			if full, err := s.full(ctx, from, s.most()); err != nil || full {
				return full, err
			}
		}
	}
	return false, s.enqueue(ctx, list)
}

// receive takes notifications from a queue until ctx ends. What was received before a start or a failure may not be taken in, and is hidden
// by the queue for a while, which then looks empty.
func (s *Service) receive(ctx context.Context, from *source) {
	failed := s.Clock.Now()
	for ctx.Err() == nil {
		began := s.Clock.Now()
		full, err := s.full(ctx, from, s.most())
		var list []notice
		if err == nil && !full {
			list, err = from.queue.receive(ctx)
		}
		if err == nil && !full && len(list) == 0 && began.Sub(failed) >= lateAfter {
			from.drained.Store(&began)
		}
		odd := false
		for _, n := range list {
			one := s.notified(ctx, from, n)
			if errors.Is(one, errNotification) || errors.Is(one, errLarge) {
				odd = true
				s.stats.ignored.Add(1)
				s.Log.ErrorContext(ctx, "a notification of mail is not understood, and stays in the queue", "source", from.name, "bytes", len(n.Body), "error", one)
			} else if one != nil {
				err = one
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil || odd {
			failed = s.Clock.Now()
		}
		if err != nil || odd || full {
			from.drained.Store(nil)
		}
		if err != nil {
			s.stats.queue.Add(1)
			s.Log.ErrorContext(ctx, "notifications of mail can't be taken in; it will be tried again", "source", from.name, "error", err)
		}
		if err != nil || full {
			_ = s.Clock.Sleep(ctx, pause) // whatever ended it, the loop looks
		}
	}
}

// notified makes jobs of the objects that a notification tells of, and deletes it then. One that fails comes again.
func (s *Service) notified(ctx context.Context, from *source, n notice) error {
	list, err := parseNotification([]byte(n.Body))
	if err != nil {
		return err
	}
	var jobs []found
	for _, t := range list {
		if t.bucket != from.bucket || !from.holds(t.key) {
			continue
		}
		etag, size, err := from.stat(ctx, t.key)
		switch {
		case errors.Is(err, errGone): // it was taken in before, or somebody removed it
			continue
		case err != nil:
			return err
		}
		jobs = append(jobs, found{object{from.name, t.key, etag, size, t.envelope}, s.Clock.Now()})
	}
	if err := s.enqueue(ctx, jobs); err != nil {
		return err
	}
	s.stats.notified.Add(1)
	return from.queue.delete(ctx, n)
}

// Stats is what happened since the start.
type Stats struct {
	Found     uint64            // objects
	Delivered uint64            // objects whose message everybody got
	Gone      uint64            // objects that were there no more
	Aside     map[string]uint64 // objects that were moved aside, by the reason
	Unable    uint64            // recipients who did not get a message that SES took for them
	Notified  uint64            // notifications that were taken in
	Ignored   uint64            // notifications that were not understood, as often as they came

	BucketFailures, QueueFailures uint64
}

type counters struct {
	found, delivered, gone, notified, ignored, bucket, queue, unable atomic.Uint64

	mu    sync.Mutex
	aside map[string]uint64 // guarded by mu
}

// Stats returns the counts.
func (s *Service) Stats() Stats {
	c := &s.stats
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Found: c.found.Load(), Delivered: c.delivered.Load(), Gone: c.gone.Load(), Aside: maps.Clone(c.aside), Notified: c.notified.Load(),
		Ignored: c.ignored.Load(), BucketFailures: c.bucket.Load(), QueueFailures: c.queue.Load(), Unable: c.unable.Load(),
	}
}

func (c *counters) setAside(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aside == nil {
		c.aside = map[string]uint64{}
	}
	c.aside[reason]++
}
