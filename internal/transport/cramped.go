package transport

import (
	"context"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
)

const (
	maxCramped = 10_000
	crampedFor = 24 * time.Hour
)

// cramped remembers messages that came in vain for several recipients, of whom some had no room for them: a sender who announces no size
// would come again and again, since each recipient by itself is only refused once the size is known.
type cramped struct {
	mu    sync.Mutex
	sizes map[crampedKey]crampedSize
}

type crampedKey struct {
	mailbox mailbox.ID
	from    message.Address
}

type crampedSize struct {
	bytes int64
	until time.Time
}

// note remembers the mailboxes that have no room for a message of a size.
func (c *cramped) note(ctx context.Context, x *Transaction, size int64) {
	now := x.transport.Clock.Now()
	for _, t := range x.targets {
		bytes := size + int64(len(x.prefix(t, x.results())))
		if err := x.transport.Mailboxes.CheckRoom(ctx, t.mailbox, bytes); fault.KindOf(err) != fault.OverQuota || err == nil {
			continue
		}
		c.mu.Lock()
		if len(c.sizes) >= maxCramped || c.sizes == nil { // who is forgotten costs another attempt
			c.sizes = map[crampedKey]crampedSize{}
		}
		c.sizes[crampedKey{t.mailbox, x.sender.From}] = crampedSize{bytes, now.Add(crampedFor)}
		c.mu.Unlock()
	}
}

// size is what a message for a mailbox, of which a sender says how large it is, has at least to have room for. What was remembered is said
// once: another message of the sender may be smaller.
func (c *cramped) size(x *Transaction, m mailbox.ID) int64 {
	said := max(x.sender.Size, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	key := crampedKey{m, x.sender.From}
	known, ok := c.sizes[key]
	if !ok || said > 1 && known.bytes > said+MaxAdded {
		return said
	}
	delete(c.sizes, key)
	if x.transport.Clock.Now().After(known.until) {
		return said
	}
	return max(said, known.bytes)
}
