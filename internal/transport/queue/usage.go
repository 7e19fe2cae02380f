package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// part is which part of its organisation's rows in queue_usage a message counts in. A part is locked until its transaction is durable.
func (m ID) part() int64 { return int64(m) % 64 }

// usage remembers what organisations have in the queue, as the table had it a moment ago and with what was committed since.
type usage struct {
	mu   sync.Mutex
	orgs map[int64]*used
}

type used struct {
	messages, bytes int64
	read            time.Time
}

const (
	// usageFor is how long what was read is believed: who read while others committed may have missed them, or counted them twice.
	usageFor = 5 * time.Second
	maxUsed  = 10_000 // organisations that are remembered
)

func (u *usage) add(org, messages, bytes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if o := u.orgs[org]; o != nil {
		o.messages += messages
		o.bytes += bytes
	}
}

func (u *usage) get(org int64, now time.Time) (messages, bytes int64, known bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	o := u.orgs[org]
	if o == nil || now.Sub(o.read).Abs() >= usageFor {
		return 0, 0, false
	}
	return o.messages, o.bytes, true
}

func (u *usage) set(org, messages, bytes int64, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.orgs) >= maxUsed || u.orgs == nil {
		u.orgs = map[int64]*used{}
	}
	u.orgs[org] = &used{messages, bytes, now}
}

// RoomTx returns Limit (Organization) where the queue has no room for a message more of an organisation, of size bytes. Those who enqueue
// at the same time may pass the limit by what they bring. What the server itself writes (0) has room.
func (q *Queue) RoomTx(ctx context.Context, tx *db.Tx, organization, size int64) error {
	l := &q.Limits
	if organization == 0 || l.OrganizationMessages <= 0 && l.OrganizationBytes <= 0 {
		return nil
	}
	now := q.Clock.Now()
	messages, bytes, known := q.usage.get(organization, now)
	if !known {
		if err := tx.QueryRow(ctx, selectUsage, organization).Scan(&messages, &bytes); err != nil {
			return fmt.Errorf("read what an organization has in the queue: %w", err)
		}
		q.usage.set(organization, messages, bytes, now)
	}
	switch {
	case l.OrganizationMessages > 0 && messages >= l.OrganizationMessages:
		return fault.New(fault.Limit, fault.Organization, "%d messages of the organization wait for other servers, as many as may; try again later", messages)
	case l.OrganizationBytes > 0 && bytes+size > l.OrganizationBytes:
		return fault.New(fault.Limit, fault.Organization, "%d MB of the organization's mail wait for other servers, and %d may; try again later",
			bytes>>20, l.OrganizationBytes>>20)
	}
	return nil
}
