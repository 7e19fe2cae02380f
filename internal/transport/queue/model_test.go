package queue

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

// step is one thing that happens, after a pause.
type step struct {
	pause time.Duration
	kind  string
	// What is sent, and to whom; or which entries are chosen.
	org    int64
	null   bool
	notify Notify
	to     []string
	of     int // the message sent so many before, where there is one; else all of a domain
	domain string
	bounce bool
}

// course is what an attempt does: it takes a time, then comes to a result for each recipient.
type course struct {
	takes   time.Duration
	down    bool
	results []Result
}

type modelPlan struct {
	steps   []step
	courses []course
	// expires lets the end of time decide; otherwise all that is left is delivered.
	expires bool
	limits  Limits
}

var modelDomains = []string{"x.example", "y.example", "z.example"}

func drawPlan(r *rapid.T) modelPlan {
	pauses := []time.Duration{0, time.Second, 20 * time.Second, time.Minute, 10 * time.Minute, 2 * time.Hour, 5 * time.Hour}
	steps := rapid.Custom(func(r *rapid.T) step {
		s := step{
			pause:  rapid.SampledFrom(pauses).Draw(r, "pause"),
			kind:   rapid.SampledFrom([]string{"send", "send", "send", "send", "hold", "release", "retry", "drop", "restart", "crash"}).Draw(r, "kind"),
			org:    rapid.Int64Range(1, 2).Draw(r, "org"),
			null:   rapid.IntRange(0, 4).Draw(r, "null") == 0,
			notify: rapid.SampledFrom([]Notify{0, 0, OnSuccess, OnFailure, OnDelay, OnSuccess | OnFailure | OnDelay, Never}).Draw(r, "notify"),
			of:     rapid.IntRange(0, 3).Draw(r, "of"),
			domain: rapid.SampledFrom(modelDomains).Draw(r, "domain"),
			bounce: rapid.Bool().Draw(r, "bounce"),
		}
		for i := range rapid.IntRange(1, 5).Draw(r, "recipients") {
			s.to = append(s.to, fmt.Sprintf("u%d@%s", i, rapid.SampledFrom(modelDomains).Draw(r, "at")))
		}
		return s
	})
	courses := rapid.Custom(func(r *rapid.T) course {
		return course{
			takes:   rapid.SampledFrom([]time.Duration{0, 0, time.Second, 5 * time.Minute}).Draw(r, "takes"),
			down:    rapid.IntRange(0, 3).Draw(r, "down") == 0,
			results: rapid.SliceOfN(rapid.SampledFrom([]Result{Deferred, Deferred, Delivered, Failed}), 5, 5).Draw(r, "results"),
		}
	})
	return modelPlan{
		steps:   rapid.SliceOfN(steps, 1, 12).Draw(r, "steps"),
		courses: rapid.SliceOfN(courses, 0, 25).Draw(r, "courses"),
		expires: rapid.Bool().Draw(r, "expires"),
		limits: Limits{
			Connections: rapid.IntRange(1, 6).Draw(r, "connections"), Destination: rapid.IntRange(1, 3).Draw(r, "per destination"),
			Recipients: rapid.IntRange(1, 4).Draw(r, "recipients at once"), Expiry: 9 * time.Hour, Inline: 10,
		},
	}
}

// fate is what the model knows of one recipient.
type fate struct {
	org    int64
	null   bool
	to     Recipient
	queued time.Time
	// earliest is when it may be tried again; running that it is now.
	earliest time.Time
	attempts int64
	running  bool
	// held and dropped are what operators did; touched says that they did while it ran.
	held, dropped, bounced, touched bool
	// taken counts how often a server took it, recorded how often the queue heard of that.
	taken, recorded int
	failed          bool
	told            []Action
}

// model is the courier and the teller, and holds what the queue does to what it promises.
type model struct {
	*rig
	plan     modelPlan
	mu       sync.Mutex
	fates    map[string]*fate // by trace and address
	messages []string         // traces, in the order of sending
	courses  []course
	faults   []string
	crashing bool
	ending   bool // of the plan: what expires says
	sites    map[string]*siteModel
	running  int
}

type siteModel struct {
	running, overlapped int
	until, down         time.Time // not before, since it was seen to be down
	ended               time.Time // the last attempt
}

func (m *model) fault(format string, args ...any) {
	m.faults = append(m.faults, fmt.Sprintf(format, args...))
}

func fateKey(trace string, r *Recipient) string { return trace + " " + r.Address.String() }

// leastWait is the shortest time that the schedule gives.
func (m *model) leastWait(failures int64) time.Duration {
	d := m.Limits.FirstRetry
	for range failures - 1 {
		d = min(2*d, m.Limits.LastRetry)
	}
	return d * 4 / 5
}

func (m *model) Deliver(ctx context.Context, to Destination, msg *Message) []Outcome {
	c := m.began(to, msg)
	cut := false
	select {
	case <-time.After(c.takes):
	case <-ctx.Done():
		cut = true
	}
	return m.ended(to, msg, c, cut)
}

func (m *model) began(to Destination, msg *Message) course {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if len(msg.Recipients) > m.Limits.Recipients {
		m.fault("%d recipients at once", len(msg.Recipients))
	}
	for i := range msg.Recipients {
		r := &msg.Recipients[i]
		f := m.fates[fateKey(msg.Trace, r)]
		switch {
		case f == nil:
			m.fault("%s was never queued", fateKey(msg.Trace, r))
			continue
		case f.running:
			m.fault("two attempts at once for %s", fateKey(msg.Trace, r))
		case f.recorded > 0 || f.failed:
			m.fault("%s has its end and is tried again", fateKey(msg.Trace, r))
		case now.Before(f.earliest):
			m.fault("%s is tried %v early", fateKey(msg.Trace, r), f.earliest.Sub(now))
		case f.held || f.dropped:
			m.fault("%s is tried though held (%v) or dropped (%v)", fateKey(msg.Trace, r), f.held, f.dropped)
		}
		f.running, f.touched = true, false
	}
	s := m.sites[to.Domain]
	// What ended in this instant may not be known to the queue yet.
	if now.Before(s.until) && !s.down.Equal(now) {
		m.fault("%s is tried %v before its time", to.Domain, s.until.Sub(now))
	}
	s.running++
	m.running++
	if s.running > 1 || s.ended.Equal(now) {
		s.overlapped = s.running
	}
	if s.running > m.Limits.Destination || m.running > m.Limits.Connections {
		m.fault("%d attempts at %s, %d in all", s.running, to.Domain, m.running)
	}
	c := course{results: slices.Repeat([]Result{Delivered}, 5)}
	switch {
	case m.ending && m.plan.expires:
		c.results = make([]Result, 5)
	case !m.ending && len(m.courses) > 0:
		c, m.courses = m.courses[0], m.courses[1:]
	}
	return c
}

func (m *model) ended(to Destination, msg *Message, c course, cut bool) []Outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	s := m.sites[to.Domain]
	out := make([]Outcome, len(msg.Recipients))
	for i := range msg.Recipients {
		f := m.fates[fateKey(msg.Trace, &msg.Recipients[i])]
		if f == nil {
			continue
		}
		f.running = false
		if cut {
			if m.crashing { // the other server took it, and nobody heard
				f.taken++
			}
			continue
		}
		f.attempts++
		switch res := c.results[i%5]; {
		case c.down:
			out[i] = down()
		case res == Deferred:
			out[i] = deferred(Outcome{})
		case res == Failed:
			out[i], f.failed = refused(), true
		default:
			out[i].Result = Delivered
			f.taken++
			f.recorded++
		}
		if out[i].Result == Deferred && !f.touched {
			f.earliest = now.Add(m.leastWait(f.attempts))
		}
	}
	s.ended = now
	if s.running--; s.running == 0 {
		if c.down && !cut && s.overlapped == 0 {
			s.until, s.down = now.Add(m.leastWait(1)), now
		}
		s.overlapped = 0
	}
	m.running--
	return out
}

func (m *model) Tell(ctx context.Context, n *Notice, done func(context.Context, *db.Tx) error) error {
	if err := m.DB.Write(ctx, done); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range n.Reports {
		f := m.fates[fateKey(n.Trace, &r.Recipient)]
		f.told = append(f.told, r.Action)
		if r.Action == ActionDelayed && time.Since(f.queued) < m.Limits.Delay {
			m.fault("of a delay is told after %v", time.Since(f.queued))
		}
	}
	return nil
}

// TestQueueBehavesAsItsModel sends at random while attempts last, fail and find nobody, operators meddle, and the server stops and is
// killed: no recipient is tried before its time, while held or after its end, none is lost, and senders hear exactly what they asked.
func TestQueueBehavesAsItsModel(t *testing.T) {
	for name, o := range map[string]db.Options{
		"sqlite":   {Path: filepath.Join(t.TempDir(), "x.db")},
		"postgres": {URL: dbtest.PostgresURL(t, Migrations())},
	} {
		o.NoSync, o.Rehearse, o.Migrations = true, true, Migrations()
		runs := 0
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				p := drawPlan(r)
				var faults []string
				runs++
				synctest.Test(t, func(t *testing.T) { faults = p.perform(t, o, fmt.Sprint(runs)) })
				for _, fault := range faults {
					r.Error(fault)
				}
			})
		})
	}
}

// perform runs the plan and returns what went wrong.
func (p modelPlan) perform(t *testing.T, o db.Options, run string) []string {
	d, err := db.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() // nothing is kept
	m := &model{plan: p, courses: p.courses, fates: map[string]*fate{}, sites: map[string]*siteModel{}}
	for _, d := range modelDomains {
		m.sites[d] = &siteModel{}
	}
	m.rig = newRig(t, d, p.limits)
	m.Courier, m.Teller = m, m
	m.start()
	for i, s := range p.steps {
		m.pass(s.pause)
		m.do(s, fmt.Sprintf("%s-%d", run, i))
		synctest.Wait()
	}
	m.finish()
	m.stop()
	m.sound()
	m.empty()
	for key, f := range m.fates {
		m.judgeFate(key, f)
	}
	return m.faults
}

func (m *model) do(s step, trace string) {
	ctx := m.t.Context()
	f := Filter{Domain: s.domain}
	if s.of < len(m.messages) {
		f = Filter{Trace: m.messages[len(m.messages)-1-s.of]}
	}
	chosen := func(change func(*fate)) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for key, x := range m.fates {
			trace, address, _ := strings.Cut(key, " ")
			over := x.recorded > 0 || x.failed || x.dropped
			if !over && (f.Trace == trace || f.Trace == "" && strings.HasSuffix(address, "@"+s.domain)) {
				x.touched = true
				change(x)
			}
		}
	}
	var err error
	switch s.kind {
	case "send":
		m.sendModel(s, trace)
	case "hold":
		_, err = m.Hold(ctx, f)
		chosen(func(x *fate) { x.held = true })
	case "release":
		chosen(func(x *fate) { x.held = false })
		_, err = m.Release(ctx, f)
	case "retry":
		chosen(func(x *fate) { x.earliest = time.Time{} })
		m.mu.Lock()
		for _, site := range m.sites {
			site.until = time.Time{}
		}
		m.mu.Unlock()
		_, err = m.Retry(ctx, f)
	case "drop":
		// What had its end is not dropped, whatever the model thinks: the tables say.
		var list []Entry
		list, _, err = m.List(ctx, f, Cursor{}, 1000)
		m.ok(err)
		_, err = m.Drop(ctx, f, s.bounce)
		m.mu.Lock()
		for _, e := range list {
			x := m.fates[e.Trace+" "+e.Recipient]
			x.dropped, x.bounced = true, s.bounce
		}
		m.mu.Unlock()
	case "restart", "crash":
		m.mu.Lock()
		m.crashing = s.kind == "crash"
		m.mu.Unlock()
		m.stop()
		m.crashing = false
		m.reopen()
	}
	m.ok(err)
}

// reopen goes on with a queue that knows nothing but the tables.
func (m *model) reopen() {
	o := m.Options
	m.Queue = New(o)
	m.lookEvery = time.Hour
	for _, s := range m.sites {
		s.overlapped = 0
	}
	m.start()
}

func (m *model) sendModel(s step, trace string) {
	e := Envelope{Organization: s.org, Trace: trace, From: addr("ann@here.example")}
	if s.null {
		e.From = addr("")
	}
	var list []Recipient
	m.mu.Lock()
	m.messages = append(m.messages, trace)
	for _, a := range s.to {
		r := Recipient{Address: addr(a), Notify: s.notify}
		list = append(list, r)
		// Mail that comes while it is written down that its destination is down need not know, nor where nothing else goes there.
		if s := m.sites[r.Address.Domain]; s.down.Equal(time.Now()) || !m.waits(r.Address.Domain) {
			s.until = time.Time{}
		}
		m.fates[fateKey(trace, &r)] = &fate{org: s.org, null: s.null, to: r, queued: time.Now()}
	}
	m.mu.Unlock()
	m.sendAs(e, strings.Repeat("b", 5+len(s.to)*2), list)
}

// waits reports whether something waits for the domain.
func (m *model) waits(domain string) bool {
	for _, f := range m.fates {
		if f.to.Address.Domain == domain && f.recorded == 0 && !f.failed && !f.dropped {
			return true
		}
	}
	return false
}

// finish lets the end come to all that is left.
func (m *model) finish() {
	m.mu.Lock()
	m.ending = true
	for _, f := range m.fates {
		f.held, f.touched, f.earliest = false, true, time.Time{}
	}
	for _, s := range m.sites {
		s.until = time.Time{}
	}
	m.mu.Unlock()
	m.pass(10 * time.Minute) // what runs comes to its end
	_, err := m.Release(m.t.Context(), Filter{})
	m.ok(err)
	if m.plan.expires {
		m.pass(11 * time.Hour)
		return
	}
	m.mu.Lock()
	for _, f := range m.fates {
		f.touched, f.earliest = true, time.Time{}
	}
	for _, s := range m.sites {
		s.until = time.Time{}
	}
	m.mu.Unlock()
	_, err = m.Retry(m.t.Context(), Filter{})
	m.ok(err)
	m.pass(10 * time.Second) // no more: nothing holds them back, and senders wait two seconds for one notice
}

// judgeFate says whether a recipient's end and what was told of it are right.
func (m *model) judgeFate(key string, f *fate) {
	events, err := m.Trace(m.t.Context(), f.org, strings.Fields(key)[0])
	m.ok(err)
	count := map[EventKind]int{}
	for _, e := range events {
		if e.Recipient.Address == f.to.Address {
			count[e.Kind]++
		}
	}
	ends := count[Sent] + count[Bounced] + count[Expired] + count[Dropped]
	switch {
	case count[Queued] != 1:
		m.fault("%s was queued %d times", key, count[Queued])
	case f.dropped && (count[Dropped] != 1 || ends > 2), !f.dropped && ends != 1:
		m.fault("%s came to the ends %v", key, count)
	case f.recorded != count[Sent]:
		m.fault("%s was delivered %d times and recorded %d times", key, f.recorded, count[Sent])
	case count[Expired] > 0 && time.Since(f.queued) < m.Limits.Expiry:
		m.fault("%s expired early", key)
	}
	var want []Action
	asked := func(n Notify) bool {
		return !f.null && f.to.Notify != Never && (f.to.Notify&n != 0 || f.to.Notify == 0 && n != OnSuccess)
	}
	switch {
	case count[Dropped] > 0:
		if f.bounced && asked(OnFailure) {
			want = append(want, ActionFailed)
		}
	case count[Sent] > 0 && asked(OnSuccess):
		want = append(want, ActionRelayed)
	case count[Bounced]+count[Expired] > 0 && asked(OnFailure):
		want = append(want, ActionFailed)
	}
	got := slices.Clone(f.told)
	if i := slices.Index(got, ActionDelayed); i >= 0 && asked(OnDelay) {
		got = slices.Delete(got, i, i+1)
	}
	if !slices.Equal(got, want) {
		m.fault("%s: told %v, want %v, and of a delay at most; %v", key, f.told, want, count)
	}
	if f.told != nil && count[Told] != len(f.told) {
		m.fault("%s: told %d times, recorded %d times", key, len(f.told), count[Told])
	}
}
