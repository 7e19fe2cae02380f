package imap

import (
	"cmp"
	"context"
	"slices"

	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// store answers STORE and UID STORE.
func (c *conn) store(ctx context.Context, a wire.Store) (result, error) {
	if err := c.writable(); err != nil {
		return result{}, err
	}
	set, err := c.resolve(a.UID, a.Set)
	if err != nil {
		return result{}, err
	}
	if a.HasUnchangedSince {
		c.enableCondStore()
	}
	since := mailbox.Always
	if a.HasUnchangedSince {
		since = mailbox.ModSeq(a.UnchangedSince)
	}
	flags, err := c.flagBits(ctx, a.Flags)
	if err != nil {
		return result{}, err
	}
	var change mailbox.FlagChange
	switch a.Mode {
	case wire.AddFlags:
		change.Add = flags
	case wire.RemoveFlags:
		change.Remove = flags
	case wire.ReplaceFlags:
		change = mailbox.FlagChange{Add: flags, Remove: mailbox.AllFlags}
	}
	done, err := c.s.Mailboxes.StoreFlags(ctx, c.box, c.sel.folder, set, change, since)
	c.sel.stored(done.Changed)
	c.touched.items = done.Items
	if err != nil {
		return result{}, err
	}
	if err := c.tellStored(ctx, a, &done); err != nil {
		return result{}, err
	}
	return c.modified(a.UID, done.Failed), nil
}

// tellStored answers with the flags as they are now: those that changed, and unless SILENT was asked those that did not
// have to. A client that knows mod-sequences hears the new ones even with SILENT (RFC 7162 section 3.1.3).
func (c *conn) tellStored(ctx context.Context, a wire.Store, done *mailbox.StoreResult) error {
	if a.Silent {
		if c.condStore {
			return c.tellModSeqs(done.Changed, a.UID)
		}
		return nil
	}
	updates := slices.Concat(done.Changed, done.Same)
	slices.SortFunc(updates, func(a, b mailbox.FlagUpdate) int { return cmp.Compare(a.UID, b.UID) })
	for _, u := range updates {
		if err := c.tellFlags(ctx, u, a.UID, c.condStore); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) tellModSeqs(updates []mailbox.FlagUpdate, uid bool) error {
	for _, u := range updates {
		seq, ok := c.sel.list.Seq(u.UID)
		if !ok {
			continue
		}
		b := appendNumber(append(c.w.Buf(), "* "...), int64(seq))
		b = append(b, " FETCH ("...)
		if uid || c.qresync {
			b = append(appendNumber(append(b, "UID "...), int64(u.UID)), ' ')
		}
		c.sel.shown(u.ModSeq)
		b = appendNumber(append(b, "MODSEQ ("...), int64(u.ModSeq))
		c.w.SetBuf(append(b, "))\r\n"...))
	}
	return c.w.Err()
}

// modified names the messages that UNCHANGEDSINCE kept as they were (RFC 7162 section 3.1.3).
func (c *conn) modified(uid bool, failed mailbox.UIDSet) result {
	if len(failed) == 0 {
		return result{}
	}
	return result{code: string(wire.AppendRanges([]byte("MODIFIED "), c.sel.numbers(uid, failed)))}
}
