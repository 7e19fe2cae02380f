package imap

import (
	"context"

	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// expunge answers EXPUNGE and UID EXPUNGE. What went is told by the update behind every command.
func (c *conn) expunge(ctx context.Context, a wire.Expunge) (result, error) {
	if err := c.writable(); err != nil {
		return result{}, err
	}
	set := mailbox.AllUIDs()
	if a.UID {
		var err error
		if set, err = c.resolve(true, a.Set); err != nil {
			return result{}, err
		}
	}
	gone, err := c.s.Mailboxes.Expunge(ctx, c.box, c.sel.folder, set, true)
	c.touched.uids, c.touched.items = gone.UIDs, gone.Items
	if err != nil || len(gone.Items) == 0 || !c.condStore {
		return result{}, err
	}
	return result{code: highestModSeq}, nil // RFC 7162 section 3.2.7
}
