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

// repeatedTries counts failed sign-ins, so that a phone with an old password, or who guesses, costs no durable write each time. The
// first failure of an account from an address is recorded at once, and nothing of the others in the minute, of whatever reason: a reply
// that waits for the disk again would tell that the reason is another, so that the password is right. How many there were of each
// reason, one record tells. Those that a limit on guessing refused cost who makes them next to nothing: all of them are told by one
// record a minute, of an account or of an address in one organisation. What was counted in the minute of a crash is lost.
type repeatedTries struct {
	clock clock.Clock

	mu      sync.Mutex
	seen    map[string]*repeatedTry // guarded by mu
	begun   map[string]bool         // guarded by mu; the accounts, addresses and protocols of which a failure was recorded at once
	counted []*repeatedTry          // guarded by mu; those of seen that have something to tell
}

// repeatedTry is the first refusal of a minute that was counted, and how many there were.
type repeatedTry struct {
	record audit.Record
	proof  proof
	how    Circumstances
	since  time.Time
	times  int64
	more   bool // than the one that was recorded at once
}

const (
	// maxRepeatedKeys bounds what is counted apart in a minute; the rest is counted together.
	maxRepeatedKeys = 10_000
	repeatedMinute  = time.Minute
)

func newRepeatedTries(c clock.Clock) *repeatedTries {
	return &repeatedTries{clock: c, seen: map[string]*repeatedTry{}, begun: map[string]bool{}}
}

// add counts a refusal, or reports false for one that is to be recorded at once. account is what failures of the account are
// counted by.
func (b *repeatedTries) add(r audit.Record, how Circumstances, p proof, account string) (counted bool) {
	kind := r.Operation + "\x00" + r.Detail
	source := account + "\x00" + addressKey(how.Address) + "\x00" + how.Protocol
	key, blocked := kind+"\x00"+account, true
	switch r.Detail {
	case blockedAccount:
	case blockedAddress: // whom it tried to be is not counted apart
		r.Subject, r.Actor.ID, r.Actor.Name = "", "", ""
		key = kind + "\x00" + addressKey(how.Address) + "\x00" + r.Organization
	default:
		key, blocked = kind+"\x00"+source, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.seen[key]
	if t == nil && len(b.seen) >= maxRepeatedKeys {
		r.Organization, r.Subject, r.Actor.ID, r.Actor.Name, r.Actor.Organization = "", "", "", "", ""
		key, blocked, p = kind, true, proof{}
		t = b.seen[key]
	}
	if t == nil {
		t = &repeatedTry{more: !blocked && !b.begun[source]}
		b.seen[key] = t
		if t.more {
			b.begun[source] = true
			return false
		}
	}
	if t.times++; t.times == 1 {
		t.record, t.proof, t.how, t.since = r, p, how, b.clock.Now()
		b.counted = append(b.counted, t)
	}
	return true
}

// take returns what was counted, and forgets it.
func (b *repeatedTries) take() []*repeatedTry {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.counted
	b.counted = nil
	clear(b.seen)
	clear(b.begun)
	return all
}

// Tally writes a record each minute of the failed sign-ins that were counted, until ctx ends, and then the last ones.
func (d *Door) Tally(ctx context.Context) error {
	for d.repeated.clock.Sleep(ctx, repeatedMinute) == nil {
		d.tellRepeated(ctx)
	}
	d.tellRepeated(context.WithoutCancel(ctx))
	return nil
}

func (d *Door) tellRepeated(ctx context.Context) {
	for some := range slices.Chunk(d.repeated.take(), 200) {
		records := make([]audit.Record, len(some))
		for i, t := range some {
			more := ""
			if t.more {
				more = " more"
			}
			records[i] = t.record
			records[i].Detail = fmt.Sprintf("%s: %d%s in a minute", t.record.Detail, t.times, more)
			records[i].Told = d.told(ctx, t.record, t.record.Actor.Name, t.how, t.proof, t.since, t.times)
		}
		if err := d.audit.Record(ctx, records...); err != nil {
			d.log.ErrorContext(ctx, "repeated failures to sign in were not recorded", "error", err, "records", len(records))
		}
	}
}
