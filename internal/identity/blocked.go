package identity

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
)

// The reasons of refusals by a limit on guessing.
const (
	blockedAddress = "too many failures from the address"
	blockedAccount = "too many failures for the account"
)

// blockedTries counts the sign-ins that a limit on guessing refused. They cost who makes them next to nothing, so each must not
// cost the server a durable write: one record a minute tells of all that one account, or one address in one organisation,
// was refused. What was counted in the minute of a crash is lost.
type blockedTries struct {
	clock clock.Clock

	mu    sync.Mutex
	first map[string]*blockedTry // guarded by mu
}

// blockedTry is the first refusal of a minute, and how many there were.
type blockedTry struct {
	record audit.Record
	how    Circumstances
	since  time.Time
	times  int64
}

const (
	// maxBlockedKeys bounds what is counted apart in a minute; the rest is counted together.
	maxBlockedKeys = 10_000
	blockedMinute  = time.Minute
)

func newBlockedTries(c clock.Clock) *blockedTries {
	return &blockedTries{clock: c, first: map[string]*blockedTry{}}
}

// add counts a refusal. account is what failures of the account are counted by.
func (b *blockedTries) add(r audit.Record, how Circumstances, account string) {
	key := r.Detail + "\x00" + account
	if r.Detail == blockedAddress { // whom it tried to be is not counted apart
		r.Subject, r.Actor.ID, r.Actor.Name = "", "", ""
		key = r.Detail + "\x00" + addressKey(how.Address) + "\x00" + r.Organization
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first[key] == nil && len(b.first) >= maxBlockedKeys {
		r.Organization, r.Subject, r.Actor.ID, r.Actor.Name, r.Actor.Organization = "", "", "", "", ""
		key = r.Detail
	}
	t := b.first[key]
	if t == nil {
		t = &blockedTry{record: r, how: how, since: b.clock.Now()}
		b.first[key] = t
	}
	t.times++
}

// take returns what was counted, and forgets it.
func (b *blockedTries) take() []*blockedTry {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]*blockedTry, 0, len(b.first))
	for _, t := range b.first {
		all = append(all, t)
	}
	clear(b.first)
	return all
}

// Tally writes a record each minute of the sign-ins that limits on guessing refused, until ctx ends, and then the last ones.
func (d *Door) Tally(ctx context.Context) error {
	for d.blocked.clock.Sleep(ctx, blockedMinute) == nil {
		d.tellBlocked(ctx)
	}
	d.tellBlocked(context.WithoutCancel(ctx))
	return nil
}

func (d *Door) tellBlocked(ctx context.Context) {
	for some := range slices.Chunk(d.blocked.take(), 200) {
		records := make([]audit.Record, len(some))
		for i, t := range some {
			records[i] = t.record
			records[i].Detail = fmt.Sprintf("%s: %d in a minute", t.record.Detail, t.times)
			records[i].Told = d.authentication(t.record, t.how, proof{}, t.since, t.times)
		}
		if err := d.audit.Record(ctx, records...); err != nil {
			d.log.ErrorContext(ctx, "blocked sign-ins were not recorded", "error", err, "records", len(records))
		}
	}
}
