package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// Config is what a Service is made of. All but Log, Buckets, Patience, MaxObject and PartSize are required.
type Config struct {
	DB        *db.DB
	Directory *directory.Service
	Mailboxes *mailbox.Store
	Clock     clock.Clock
	Log       *slog.Logger // nil discards
	// Buckets are the buckets that there are, by the names that callers give.
	Buckets map[string]Bucket
	// Dialer connects to the endpoints of buckets. They are the operator's own, from the configuration: an organisation names a
	// bucket, never an address, so that the dialer may reach private networks.
	Dialer *dial.Dialer
	// Dir is where parts wait for their upload; it is made when the first does.
	Dir string
	// Patience is how long a job that makes no progress is tried again, with growing pauses; 0 means six hours.
	Patience time.Duration
	// MaxObject is how many bytes an object has that Object reads.
	MaxObject int64
	// PartSize is the least size of an upload's parts; 0 means 8 MiB. S3 takes no less than 5 MiB.
	PartSize int64
}

// The limits of WorkMail, and what lists show.
const (
	maxRunning = 10             // jobs of one organisation that run
	perMailbox = 24 * time.Hour // between two exports of a mailbox
	listed     = 7 * 24 * time.Hour
	// remembered is how long an ended job is described.
	remembered = 30 * 24 * time.Hour
)

// Service keeps and carries out export jobs. It is safe for concurrent use.
type Service struct {
	Config
	buckets map[string]bucket // by name; bucketOf says who may use them
	// A checkpoint is made after so many bytes of the zip or so many messages, whichever come first.
	checkpointBytes    int64
	checkpointMessages int

	mu      sync.Mutex
	running map[int64]*attempt // guarded by mu
}

// attempt is a job that runs here.
type attempt struct {
	cancel context.CancelCauseFunc
	over   chan struct{}
}

// New returns the service, or what is wrong with a bucket. It doesn't ask whether buckets are there: they may come later.
func New(c Config) (*Service, error) {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	c.Patience, c.PartSize = cmp.Or(c.Patience, 6*time.Hour), cmp.Or(c.PartSize, 8<<20)
	s := &Service{
		Config: c, buckets: map[string]bucket{}, running: map[int64]*attempt{},
		checkpointBytes: 16 << 20, checkpointMessages: 2000,
	}
	for name, b := range c.Buckets {
		opened, err := b.open(c.Dialer, c.MaxObject)
		if err != nil {
			return nil, fmt.Errorf("export_bucket.%s: %w", name, err)
		}
		s.buckets[name] = opened
	}
	return s, nil
}

// bucketOf returns the bucket with the name, or nil where the configuration has none for the organisation.
func (s *Service) bucketOf(org directory.OrgID, name string) bucket {
	if b := s.Buckets[name]; !b.takes(org) {
		return nil
	}
	return s.buckets[name]
}

// The kinds of job: to write an export, and to remove what an ended one left. Their keys are the export's number.
const (
	exportKind = "mailbox-export"
	cleanKind  = "mailbox-export-clean"
)

// Handle makes runner write exports. They wait for other servers, so the runner should have no other work.
func (s *Service) Handle(runner *job.Runner) {
	runner.Handle(exportKind, s.export)
	runner.Handle(cleanKind, s.clean)
}

func jobKey(export int64) string { return strconv.FormatInt(export, 10) }

// errCancelled is why the attempt of a cancelled job ends.
var errCancelled = errors.New("the export was cancelled")

// begin notes that a job runs here. The context ends when it is cancelled.
func (s *Service) begin(ctx context.Context, export int64) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	a := &attempt{cancel, make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[export] = a
	return ctx, func() {
		s.mu.Lock()
		delete(s.running, export)
		s.mu.Unlock()
		cancel(nil)
		close(a.over)
	}
}

// interrupt tells an attempt that its job was cancelled, and returns what closes at its end; nil where none runs.
func (s *Service) interrupt(export int64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.running[export]
	if a == nil {
		return nil
	}
	a.cancel(errCancelled)
	return a.over
}
