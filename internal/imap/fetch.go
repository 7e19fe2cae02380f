package imap

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
)

// fetch answers FETCH and UID FETCH. Messages are read and sent in pages: nothing is held for a client that reads slowly.
func (c *conn) fetch(ctx context.Context, a wire.Fetch) (result, error) {
	p := newFetchPlan(&a)
	set, err := c.resolve(a.UID, a.Set)
	if err != nil {
		return result{}, err
	}
	if p.modSeq {
		c.enableCondStore()
	}
	since := mailbox.ModSeq(min(a.ChangedSince, 1<<63-1))
	if a.Vanished {
		if err := c.fetchVanished(ctx, &a, since); err != nil {
			return result{}, err
		}
	}
	var seen mailbox.UIDSet
	if p.marksSeen && !c.sel.readOnly {
		if seen, set, err = c.markSeen(ctx, set, since); err != nil {
			return result{}, err
		}
		since = 0 // set holds what changed after it
	}
	f := fetching{c: c, plan: p, told: c.toldAccess()}
	for it, err := range c.s.Mailboxes.Fetch(ctx, c.box, c.sel.folder, set, p.want, since) {
		if err != nil {
			return result{}, err
		}
		if err := f.send(ctx, it, len(seen) > 0 && seen.Contains(it.UID)); err != nil {
			return result{}, err
		}
	}
	if f.unknown { // RFC 3516 section 4.3
		return result{}, no("UNKNOWN-CTE", "a part has a transfer encoding that is not known")
	}
	if !a.HasChangedSince && set.Len() > f.sent { // some are gone, though the feed's notice may not have come yet
		c.sel.behind = true
	}
	return result{}, nil
}

// fetchPlan is what a FETCH needs of each message.
type fetchPlan struct {
	items     []wire.FetchItem
	names     [][]byte // of items with a section: the name they are answered by, with a space behind it
	want      mailbox.Want
	modSeq    bool
	flags     bool // FLAGS is among them
	marksSeen bool
}

func newFetchPlan(a *wire.Fetch) *fetchPlan {
	p := &fetchPlan{modSeq: a.HasChangedSince}
	if a.UID {
		p.items = append(p.items, wire.FetchItem{Kind: wire.FetchUID})
	}
	hasModSeq := false
	for _, it := range a.Items {
		switch it.Kind {
		case wire.FetchUID:
			if a.UID {
				continue
			}
		case wire.FetchFlags:
			p.flags = true
		case wire.FetchModSeq:
			p.modSeq, hasModSeq = true, true
		case wire.FetchInternalDate, wire.FetchRFC822Size, wire.FetchEmailID, wire.FetchThreadID, wire.FetchSaveDate:
			p.want |= mailbox.WantItem
		case wire.FetchEnvelope:
			p.want |= mailbox.WantEnvelope
		case wire.FetchBodyStructure, wire.FetchBody:
			p.want |= mailbox.WantMeta
		case wire.FetchBinary, wire.FetchBinarySize, wire.FetchRFC822, wire.FetchRFC822Header, wire.FetchRFC822Text, wire.FetchSection:
			p.want |= mailbox.WantBody
			if !isWhole(&it) {
				p.want |= mailbox.WantMeta
			}
			p.marksSeen = p.marksSeen || !it.Peek
		}
		p.items = append(p.items, it)
	}
	if p.modSeq {
		p.want |= mailbox.WantModSeq
	}
	if p.modSeq && !hasModSeq { // RFC 7162 section 3.1.4.1
		p.items = append(p.items, wire.FetchItem{Kind: wire.FetchModSeq})
	}
	p.names = make([][]byte, len(p.items))
	for i := range p.items {
		if p.items[i].Kind >= wire.FetchRFC822 {
			p.names[i] = append(p.items[i].AppendName(nil), ' ')
		}
	}
	return p
}

// isWhole reports whether an item is the message from its first byte to its last, which needs no structure.
func isWhole(it *wire.FetchItem) bool {
	return it.Kind == wire.FetchRFC822 || it.Kind == wire.FetchSection && it.Section.Kind == wire.SectionWhole && len(it.Section.Part) == 0
}

// markSeen sets \Seen on the messages of set that will be read, and returns those where it was not yet set, and set
// without those that CHANGEDSINCE leaves out.
func (c *conn) markSeen(ctx context.Context, set mailbox.UIDSet, since mailbox.ModSeq) (seen, left mailbox.UIDSet, err error) {
	if since > 0 {
		var changed []mailbox.UIDRange
		for it, err := range c.s.Mailboxes.Fetch(ctx, c.box, c.sel.folder, set, mailbox.WantFlags, since) {
			if err != nil {
				return nil, nil, err
			}
			changed = append(changed, mailbox.UIDRange{First: it.UID, Last: it.UID})
		}
		set = mailbox.NewUIDSet(changed...)
	}
	done, err := c.s.Mailboxes.StoreFlags(ctx, c.box, c.sel.folder, set, mailbox.FlagChange{Add: mailbox.Seen}, mailbox.Always)
	c.sel.stored(done.Changed)
	if err != nil {
		return nil, nil, err
	}
	uids := make([]mailbox.UID, len(done.Changed))
	for i, u := range done.Changed {
		uids[i] = u.UID
	}
	return mailbox.UIDs(uids...), set, nil
}

// fetchVanished sends VANISHED (EARLIER) for the UIDs of the command that left since (RFC 7162 section 3.2.6).
func (c *conn) fetchVanished(ctx context.Context, a *wire.Fetch, since mailbox.ModSeq) error {
	if !c.qresync {
		return bad("QRESYNC was not enabled")
	}
	ch, err := c.s.Mailboxes.Changes(ctx, c.box, c.sel.folder, since)
	if err != nil {
		return err
	}
	asked := toUIDs(a.Set.Resolve(uint32(max(c.sel.highest(), c.sel.next-1))))
	if a.Set.Saved {
		asked = c.saved
	}
	c.tellEarlier(asked, &ch)
	return nil
}

// fetching is one FETCH while it is answered.
type fetching struct {
	c    *conn
	plan *fetchPlan
	sent int64
	told bool // what is read is told to a log
	// unknown says that a part was asked for by BINARY whose transfer encoding nobody knows.
	unknown bool
}

// send sends what was asked of one message. With nowSeen, \Seen was just set, and the client is told.
func (f *fetching) send(ctx context.Context, it *mailbox.Item, nowSeen bool) error {
	c, sel := f.c, f.c.sel
	seq, ok := sel.list.Seq(it.UID)
	if !ok {
		return nil
	}
	m := opened{c: c, item: it}
	defer m.close()
	if f.plan.want&mailbox.WantBody != 0 { // before the line is begun, which can't be taken back
		if err := m.open(ctx); fault.Is(err, fault.NotFound, fault.Message) {
			return nil // it left since the page was read
		} else if err != nil {
			return err
		}
	}
	if !f.decodable(&m) {
		f.unknown = true
		return nil
	}
	f.sent++
	if f.plan.modSeq || nowSeen {
		sel.shown(it.ModSeq)
	}
	if f.plan.flags || nowSeen {
		if err := c.nameKeywords(ctx, it.Flags); err != nil {
			return err
		}
	}
	before := c.w.Written()
	b := appendNumber(append(c.w.Buf(), "* "...), int64(seq))
	b = append(b, " FETCH ("...)
	for i := range f.plan.items {
		if i > 0 {
			b = append(b, ' ')
		}
		var err error
		if b, err = f.appendItem(ctx, b, i, &m); err != nil {
			c.torn = c.w.Written() != before
			return fmt.Errorf("fetch message %d: %w", it.UID, &hangUp{"a message can't be read: " + f.broken(ctx, err)})
		}
	}
	if nowSeen && !f.plan.flags {
		b = sel.appendFlags(append(b, " FLAGS "...), it.Flags, it.UID)
		if c.condStore && !f.plan.modSeq {
			b = append(appendNumber(append(b, " MODSEQ ("...), int64(it.ModSeq)), ')')
		}
	}
	c.w.SetBuf(append(b, ")\r\n"...))
	if f.told {
		f.tellRead(&m, nowSeen)
	}
	return c.w.Err()
}

// broken logs what is wrong with a message, unless it is the session that ends, and returns what the client may know of it.
func (f *fetching) broken(ctx context.Context, err error) string {
	if f.c.w.Err() == nil && ctx.Err() == nil {
		f.c.log.ErrorContext(ctx, "a message can't be read", "mailbox", f.c.box, "error", err)
	}
	return "it was logged as " + f.c.id
}

// appendItem appends the item i of the plan. A section may be sent on the way.
func (f *fetching) appendItem(ctx context.Context, b []byte, i int, m *opened) ([]byte, error) {
	it := m.item
	switch item := &f.plan.items[i]; item.Kind {
	case wire.FetchUID:
		return appendNumber(append(b, "UID "...), int64(it.UID)), nil
	case wire.FetchFlags:
		return f.c.sel.appendFlags(append(b, "FLAGS "...), it.Flags, it.UID), nil
	case wire.FetchInternalDate:
		return wire.AppendDateTime(append(b, "INTERNALDATE "...), it.Received), nil
	case wire.FetchRFC822Size:
		return appendNumber(append(b, "RFC822.SIZE "...), it.Size), nil
	case wire.FetchModSeq:
		return append(appendNumber(append(b, "MODSEQ ("...), int64(it.ModSeq)), ')'), nil
	case wire.FetchEmailID:
		return append(appendNumber(append(b, "EMAILID (M"...), int64(it.Email)), ')'), nil
	case wire.FetchThreadID:
		return append(appendNumber(append(b, "THREADID (T"...), int64(it.Thread)), ')'), nil
	case wire.FetchSaveDate:
		return wire.AppendDateTime(append(b, "SAVEDATE "...), it.Saved), nil
	case wire.FetchEnvelope:
		e, err := message.DecodeEnvelope(it.Envelope)
		if err != nil {
			return b, err
		}
		return appendEnvelope(append(b, "ENVELOPE "...), e), nil
	case wire.FetchBodyStructure, wire.FetchBody:
		s, err := m.structure()
		if err != nil {
			return b, err
		}
		if item.Kind == wire.FetchBody {
			return appendStructure(append(b, "BODY "...), s, 0, false), nil
		}
		return appendStructure(append(b, "BODYSTRUCTURE "...), s, 0, true), nil
	default:
		return m.appendSection(ctx, append(b, f.plan.names[i]...), item)
	}
}
