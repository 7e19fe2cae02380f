package imap

import (
	"context"
	"strconv"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// selectFolder answers SELECT and EXAMINE with one state of the folder; what has happened since is told by the next command.
// A folder that was selected before is closed even where this fails.
func (c *conn) selectFolder(ctx context.Context, a wire.Select) (result, error) {
	if a.QResync != nil && !c.qresync {
		return result{}, bad("QRESYNC was not enabled")
	}
	if c.sel != nil {
		c.leave("the folder before was closed")
	}
	// The listener comes first, so that nothing happens between the look and the listening.
	notice := c.s.Feed.Listen(feed.Topic{Kind: "mailbox", Key: c.box.String()})
	f, list, err := c.openFolder(ctx, a.Mailbox)
	if err != nil {
		notice.Close()
		return result{}, err
	}
	keywords, err := c.s.Mailboxes.Keywords(ctx, c.box)
	if err != nil {
		notice.Close()
		return result{}, err
	}
	sel := &selected{folder: f.ID, path: f.Path, validity: f.UIDValidity, readOnly: a.ReadOnly, keywords: keywords, notice: notice}
	sel.view = view{list: list, next: f.UIDNext, told: f.Highest, whole: f.Highest, exists: list.Len()}
	c.sel = sel
	c.touched.folder = f.ID
	c.condStore = c.condStore || a.CondStore

	c.claimRecent()
	c.tellKeywords()
	b := appendNumber(append(c.w.Buf(), "* "...), int64(list.Len()))
	b = appendNumber(append(b, " EXISTS\r\n* "...), int64(list.Count(sel.recent)))
	b = appendNumber(append(b, " RECENT\r\n* OK [UIDVALIDITY "...), int64(f.UIDValidity))
	b = appendNumber(append(b, "] UIDs stand\r\n* OK [UIDNEXT "...), int64(f.UIDNext))
	b = appendNumber(append(b, "] the next one\r\n* OK [HIGHESTMODSEQ "...), int64(f.Highest))
	b = appendNumber(append(b, "] the last change\r\n* OK [MAILBOXID (F"...), int64(f.ID))
	c.w.SetBuf(append(b, ")] the folder\r\n"...))
	if q := a.QResync; q != nil && q.UIDValidity == f.UIDValidity {
		if err := c.resync(ctx, q); err != nil {
			return result{}, err
		}
	}
	if a.ReadOnly {
		return result{code: "READ-ONLY"}, nil
	}
	return result{code: "READ-WRITE"}, nil
}

// openFolder returns a folder that can be selected and its messages at the same moment.
func (c *conn) openFolder(ctx context.Context, path string) (f mailbox.Folder, list *mailbox.UIDList, err error) {
	const attempts = 5
	for range attempts {
		if f, err = c.s.Mailboxes.Folder(ctx, c.box, canonical(path)); err != nil {
			return f, nil, err
		}
		if !f.Selectable() {
			return f, nil, no("NONEXISTENT", strconv.Quote(path)+" holds no messages, only folders")
		}
		// A busy folder may have left that state behind already; then its new one is read.
		if list, err = c.s.Mailboxes.UIDList(ctx, c.box, &f); !fault.Is(err, fault.Temporary, fault.Folder) {
			return f, list, err
		}
	}
	return f, nil, err
}

// resync tells a client what happened since it was here, up to the state that it opened (RFC 7162 section 3.2.5).
func (c *conn) resync(ctx context.Context, q *wire.QResync) error {
	known := toUIDs(q.Known.Resolve(0))
	if len(q.Known.Ranges) == 0 {
		known = mailbox.AllUIDs()
	}
	ch, err := c.s.Mailboxes.Changes(ctx, c.box, c.sel.folder, mailbox.ModSeq(q.ModSeq))
	if err != nil {
		return err
	}
	c.tellEarlier(known, &ch)
	for _, u := range ch.Changed {
		if u.ModSeq <= c.sel.told && known.Contains(u.UID) {
			if err := c.tellFlags(ctx, u, true, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// tellEarlier sends VANISHED (EARLIER) for the messages of known that left before the client came.
func (c *conn) tellEarlier(known mailbox.UIDSet, ch *mailbox.Changes) {
	sel := c.sel
	left := intersect(ch.Vanished, known)
	if ch.Forgotten { // all that are not here may have left; saying so too often does no harm
		left = subtract(known, sel.list, sel.next)
	}
	left = outside(left, sel.list) // what the client sees as a message will be told as expunged
	if len(left) > 0 {
		c.w.Raw("* VANISHED (EARLIER) ")
		c.w.Raw(left.String())
		c.w.End()
	}
}

// closeFolder answers CLOSE: messages marked as deleted go without a word (RFC 3501 section 6.4.2).
func (c *conn) closeFolder(ctx context.Context) (result, error) {
	sel := c.sel
	if !sel.readOnly {
		gone, err := c.s.Mailboxes.Expunge(ctx, c.box, sel.folder, mailbox.AllUIDs(), true)
		c.touched.uids, c.touched.items = gone.UIDs, gone.Items
		if err != nil {
			return result{}, err
		}
	}
	c.unselect()
	return result{}, nil
}
