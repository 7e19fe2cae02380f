package imap

import (
	"context"
	"strconv"

	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// status answers STATUS.
func (c *conn) status(ctx context.Context, a wire.Status) (result, error) {
	f, err := c.s.Mailboxes.Folder(ctx, c.box, canonical(a.Mailbox))
	if err != nil {
		return result{}, err
	}
	if !f.Selectable() {
		return result{}, no("NONEXISTENT", strconv.Quote(a.Mailbox)+" holds no messages, only folders")
	}
	c.touched.folder = f.ID
	if a.Items&wire.StatusHighestModSeq != 0 { // RFC 7162 section 3.1
		c.enableCondStore()
	}
	return result{}, c.tellStatus(ctx, a.Items, &f)
}

// tellStatus sends STATUS of a folder.
func (c *conn) tellStatus(ctx context.Context, items wire.StatusItems, f *mailbox.Folder) (err error) {
	var recent, deleted int64
	if items&wire.StatusRecent != 0 {
		if recent, err = c.countRecent(ctx, f); err != nil {
			return err
		}
	}
	if items&wire.StatusDeletedStorage != 0 && f.DeletedMarked > 0 {
		if deleted, err = c.deletedBytes(ctx, f); err != nil {
			return err
		}
	}
	c.statusLine(items, f, recent, deleted)
	return nil
}

// deletedBytes returns how many bytes EXPUNGE would free (RFC 9208 section 4.1.5).
func (c *conn) deletedBytes(ctx context.Context, f *mailbox.Folder) (bytes int64, err error) {
	marked := mailbox.Criterion{Op: mailbox.FlagsAre, Mask: mailbox.Deleted, Flags: mailbox.Deleted}
	found, err := c.s.Mailboxes.Search(ctx, c.box, f.ID, &marked, nil, false)
	if err != nil {
		return 0, err
	}
	for it, err := range c.s.Mailboxes.Fetch(ctx, c.box, f.ID, found.UIDs, mailbox.WantItem, 0) {
		if err != nil {
			return 0, err
		}
		bytes += it.Size
	}
	return bytes, nil
}

// countRecent returns how many messages nobody has been told of as recent.
func (c *conn) countRecent(ctx context.Context, f *mailbox.Folder) (int64, error) {
	upTo := c.s.recent.upTo(folderKey{c.box, f.ID}, f.UIDValidity)
	switch {
	case upTo == 0:
		return f.Messages, nil
	case upTo+1 >= f.UIDNext:
		return 0, nil
	}
	f2, list, err := c.openFolder(ctx, f.Path)
	if err != nil {
		return 0, err
	}
	*f = f2 // all items of the answer are of the same moment
	old, _ := list.Rank(upTo)
	return int64(list.Len() - old), nil
}

func (c *conn) statusLine(items wire.StatusItems, f *mailbox.Folder, recent, deleted int64) {
	b := wire.AppendMailbox(append(c.w.Buf(), "* STATUS "...), f.Path)
	b = append(b, " ("...)
	for _, it := range [...]struct {
		item  wire.StatusItems
		name  string
		value int64
	}{
		{wire.StatusMessages, "MESSAGES ", f.Messages},
		{wire.StatusRecent, "RECENT ", recent},
		{wire.StatusUIDNext, "UIDNEXT ", int64(f.UIDNext)},
		{wire.StatusUIDValidity, "UIDVALIDITY ", int64(f.UIDValidity)},
		{wire.StatusUnseen, "UNSEEN ", f.Unseen},
		{wire.StatusHighestModSeq, "HIGHESTMODSEQ ", int64(f.Highest)},
		{wire.StatusSize, "SIZE ", f.Bytes},
		{wire.StatusDeleted, "DELETED ", f.DeletedMarked},
		{wire.StatusDeletedStorage, "DELETED-STORAGE ", deleted},
		{wire.StatusAppendLimit, "APPENDLIMIT ", c.s.MaxMessage},
	} {
		if items&it.item != 0 {
			b = append(appendNumber(append(b, it.name...), it.value), ' ')
		}
	}
	if items&wire.StatusMailboxID != 0 {
		b = append(appendNumber(append(b, "MAILBOXID (F"...), int64(f.ID)), ") "...)
	}
	if b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	c.w.SetBuf(append(b, ")\r\n"...))
}
