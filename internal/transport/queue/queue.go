package queue

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/stack"
)

// Options is what a Queue stands on. All but Log, Record, Local, Random and Limits are needed; Courier and Teller only by Run.
type Options struct {
	DB      *db.DB
	Blobs   mailbox.Blobs // keys begin with "queue/"
	Clock   clock.Clock
	Log     *slog.Logger
	Courier Courier
	Teller  Teller
	// Record takes each event in the transaction that makes it happen; it does no I/O and may be run more than once. What becomes of
	// an attempt is written without it after it failed three times, and then it is asked again until it takes the event, for as long as
	// events are remembered. A Drop that bounces is Dropped, then Bounced, which Trace leaves out.
	Record func(ctx context.Context, tx *db.Tx, e Event) error
	// Local says which destinations are none of others' servers but work of the courier's own: as many attempts as a destination can have
	// begin at once there, and all of these have a quarter of the workers. It may be nil.
	Local func(Destination) bool
	// Random is where the jitter of the schedule comes from; nil takes a seed by chance.
	Random rand.Source
	Limits Limits
}

// Limits bound the queue's work. Zero values mean the defaults.
type Limits struct {
	Connections  int           // attempts at the same time; 100
	Destination  int           // of these to one destination; 10
	Organization int           // of these for one organisation; three quarters of Connections
	Recipients   int           // recipients of one message in one attempt; 100
	FirstRetry   time.Duration // wait after the first failure; doubles with each one; 1 minute
	LastRetry    time.Duration // the longest wait; 4 hours
	Expiry       time.Duration // how long attempts go on; 5 days
	Attempt      time.Duration // how long an attempt may take, beside the time its message's size has at 16 KiB/s; 15 minutes
	Delay        time.Duration // after which a sender hears of a delay, once; 4 hours, negative never
	Gather       time.Duration // how long reports of a message wait for others, to go into one notice; 2 seconds, negative none
	History      time.Duration // how long events are remembered; 14 days
	Inline       int64         // bytes up to which a message is kept in the database; mailbox.DefaultInlineLimit
	// OrganizationMessages and OrganizationBytes are how much of one organisation may be queued; 0 for no limit.
	OrganizationMessages, OrganizationBytes int64
	// Crashes is in how many crashes of the server an attempt must have been for its message to be held; 5.
	Crashes int
}

func (l Limits) withDefaults() Limits {
	orElse(&l.Connections, 100)
	orElse(&l.Destination, 10)
	orElse(&l.Organization, max(l.Connections*3/4, 1))
	orElse(&l.Recipients, 100)
	orElse(&l.FirstRetry, time.Minute)
	orElse(&l.LastRetry, 4*time.Hour)
	orElse(&l.Expiry, 5*24*time.Hour)
	orElse(&l.Attempt, 15*time.Minute)
	if l.Delay == 0 {
		l.Delay = 4 * time.Hour
	}
	if l.Gather == 0 {
		l.Gather = 2 * time.Second
	}
	l.Gather = max(l.Gather, 0)
	orElse(&l.History, 14*24*time.Hour)
	orElse(&l.Inline, mailbox.DefaultInlineLimit)
	orElse(&l.Crashes, 5)
	return l
}

func orElse[T int | int64 | time.Duration](v *T, standard T) {
	if *v <= 0 {
		*v = standard
	}
}

// Queue is the durable store of outgoing mail and its scheduler. One process at a time works on a database with it. It is safe for
// concurrent use.
type Queue struct {
	Options
	// life names this Queue among all that worked on the database: uploads of others are garbage.
	life int64

	lookEvery time.Duration // tests look less often

	random   sync.Mutex // guards Options.Random
	schedule *schedule
	counts   counters
	bells    struct{ tell, keep chan struct{} }
	telling  sync.Mutex
	told     map[ID]bool // messages of which somebody is being told; telling guards it
	wary     wary
	usage    usage
}

var _ Manager = (*Queue)(nil)

// New returns a queue. It can be filled and looked at at once; Run takes the mail away.
func New(o Options) *Queue {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Random == nil {
		o.Random = rand.NewPCG(rand.Uint64(), rand.Uint64())
	}
	o.Limits = o.Limits.withDefaults()
	q := &Queue{Options: o, life: id.Key(), lookEvery: lookEvery, told: map[ID]bool{}}
	q.schedule = newSchedule(o.Limits, o.Local)
	q.bells.tell, q.bells.keep = make(chan struct{}, 1), make(chan struct{}, 1)
	return q
}

// lookEvery is how often each part looks without being told: a wait that is too long because the clock was set is mended by it.
const lookEvery = time.Minute

// Run delivers, tells and keeps order until ctx ends. Then it waits for the attempts, which the courier cuts off, and for what
// they brought to be recorded, and returns nil. It returns an error only where it could not begin.
func (q *Queue) Run(ctx context.Context) error {
	if err := q.disownUploads(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("begin the work of the queue: %w", err)
	}
	if err := q.wake(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("begin the work of the queue: %w", err)
	}
	q.schedule.poke()
	var group sync.WaitGroup
	group.Go(func() {
		stack.Deepen()
		q.dispatch(ctx)
	})
	group.Go(func() {
		stack.Deepen()
		q.tell(ctx)
	})
	group.Go(func() {
		stack.Deepen()
		q.keep(ctx)
	})
	group.Wait()
	q.sleep(ctx)
	return nil
}

// ring wakes whoever waits at the bell, once however often it is rung.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// until is how long to rest for something that happens at a time in the tables; at most lookEvery.
func (q *Queue) until(at int64) time.Duration {
	if at == never {
		return q.lookEvery
	}
	return min(max(fromMicros(at).Sub(q.Clock.Now()), 0), q.lookEvery)
}

// guard runs fn, and turns a panic into an error.
func (q *Queue) guard(ctx context.Context, what string, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			q.Log.ErrorContext(ctx, "the queue: "+what+" panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s panicked: %v", what, p)
		}
	}()
	return fn()
}

// Stats counts what a queue did since New, for metrics.
type Stats struct {
	Queued    uint64 // recipients of messages that were enqueued
	Delivered uint64 // attempts by their results, one for each recipient
	Deferred  uint64
	Failed    uint64
	Expired   uint64 // recipients whose time was over
	Dropped   uint64 // recipients that operators removed
	Told      uint64 // reports that senders got
	Down      uint64 // how often a destination was found to take nothing
	Running   int    // attempts that run now
}

type counters struct {
	queued, delivered, deferred, failed, expired, dropped, told, down atomic.Uint64
}

// Stats returns the counts.
func (q *Queue) Stats() Stats {
	c := &q.counts
	return Stats{
		Queued: c.queued.Load(), Delivered: c.delivered.Load(), Deferred: c.deferred.Load(), Failed: c.failed.Load(),
		Expired: c.expired.Load(), Dropped: c.dropped.Load(), Told: c.told.Load(), Down: c.down.Load(), Running: q.schedule.running(),
	}
}

// wait returns how long to wait after the given number of failures in a row: FirstRetry, doubled with each one, at most LastRetry,
// and up to a fifth less, so that what failed together does not come back together.
func (q *Queue) wait(failures int64) time.Duration {
	d := q.Limits.LastRetry
	if shift := max(failures, 1) - 1; shift < 32 && q.Limits.FirstRetry<<shift>>shift == q.Limits.FirstRetry {
		d = min(q.Limits.FirstRetry<<shift, d)
	}
	q.random.Lock()
	defer q.random.Unlock()
	return d - time.Duration(rand.New(q.Random).Int64N(int64(d)/5+1))
}

// never is a time that does not come.
const never = 1<<63 - 1

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
