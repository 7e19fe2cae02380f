package server

import (
	"context"
	"errors"
	"time"
)

// upkeepEvery is how often mailboxes and the messages kept for functions are swept when there is nothing to do.
const upkeepEvery = time.Minute

// upkeep finishes what mailboxes left undone, and removes what is kept for functions no longer, at the start and now and then, until ctx
// ends. A failure is logged and tried again: what is swept is in nobody's way.
func (c *core) upkeep(ctx context.Context) error {
	for {
		more, err := c.mailboxes.Sweep(ctx)
		moreKept, failure := c.contents.Sweep(ctx)
		if err = errors.Join(err, failure); err != nil && ctx.Err() == nil {
			c.log.Error("the upkeep of messages failed; it is tried again", "error", err)
		}
		if (more || moreKept) && err == nil {
			continue
		}
		if err := c.clock.Sleep(ctx, upkeepEvery); err != nil {
			return err
		}
	}
}
