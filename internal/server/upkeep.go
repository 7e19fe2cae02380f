package server

import (
	"context"
	"time"
)

// upkeepEvery is how often the mailboxes are swept when there is nothing to do.
const upkeepEvery = time.Minute

// upkeep finishes what mailboxes left undone, at the start and now and then, until ctx ends. A failure is logged and tried
// again: what is swept is in nobody's way.
func (c *core) upkeep(ctx context.Context) error {
	for {
		more, err := c.mailboxes.Sweep(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Error("the upkeep of mailboxes failed; it is tried again", "error", err)
		}
		if more && err == nil {
			continue
		}
		if err := c.clock.Sleep(ctx, upkeepEvery); err != nil {
			return err
		}
	}
}
