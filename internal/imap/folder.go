package imap

import (
	"context"
	"strconv"
	"strings"

	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// uses are the special uses (RFC 6154) by the attribute that shows them.
var uses = [...]struct {
	use  mailbox.Use
	attr string
}{
	{mailbox.Drafts, `\Drafts`}, {mailbox.Sent, `\Sent`}, {mailbox.Trash, `\Trash`}, {mailbox.JunkMail, `\Junk`}, {mailbox.Archive, `\Archive`},
}

// create answers CREATE. A delimiter at the end says that folders are to come below, which needs nothing here (RFC 3501
// section 6.3.3).
func (c *conn) create(ctx context.Context, a wire.Create) (result, error) {
	use := mailbox.NoUse
	for _, attr := range a.Use {
		known := false
		for _, u := range uses {
			if strings.EqualFold(u.attr, attr) {
				known = use == mailbox.NoUse || use == u.use
				use = u.use
			}
		}
		if !known { // RFC 6154 section 3
			return result{}, no("USEATTR", "a folder has one of the uses \\Drafts, \\Sent, \\Trash, \\Junk and \\Archive")
		}
	}
	f, err := c.s.Mailboxes.CreateFolder(ctx, c.box, canonical(a.Mailbox), mailbox.Mail, use)
	if err != nil {
		return result{}, err
	}
	c.touched.folder = f.ID
	return result{code: "MAILBOXID (F" + strconv.FormatInt(int64(f.ID), 10) + ")"}, nil // RFC 8474 section 4.1
}

// delete answers DELETE. A session that deletes the folder it has selected goes on without one; others end (see look).
func (c *conn) delete(ctx context.Context, a wire.Delete) (result, error) {
	path := canonical(a.Mailbox)
	f, err := c.s.Mailboxes.Folder(ctx, c.box, path)
	if err != nil {
		return result{}, err
	}
	if err := c.s.Mailboxes.DeleteFolder(ctx, c.box, path, false); err != nil {
		return result{}, err
	}
	c.touched.folder = f.ID
	if c.sel != nil && c.sel.folder == f.ID {
		c.leave("the folder that was selected is gone")
	}
	return result{}, nil
}

// rename answers RENAME.
func (c *conn) rename(ctx context.Context, a wire.Rename) (result, error) {
	return result{}, c.s.Mailboxes.RenameFolder(ctx, c.box, canonical(a.From), canonical(a.To))
}

// subscribe answers SUBSCRIBE and UNSUBSCRIBE.
func (c *conn) subscribe(ctx context.Context, path string, on bool) (result, error) {
	return result{}, c.s.Mailboxes.Subscribe(ctx, c.box, canonical(path), on)
}
