package imap

import (
	"context"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// selected is the folder that a session has selected.
type selected struct {
	view
	folder   mailbox.FolderID
	path     string // as it was selected
	validity uint32
	readOnly bool
	keywords *mailbox.Keywords
	named    mailbox.Flags // the keyword bits that FLAGS has told the client of
	texts    map[mailbox.Flags][]byte
	notice   *feed.Listener
	heard    uint64 // how many of the notices are of changes that are in the view
	behind   bool   // a look failed, or the client saw a later change than was told: there is something to be seen
}

// shown notes that the client was shown the number of a change. If it lies above those it was told of, they must be looked
// for before the answer, or it would believe that it had heard of all of them.
func (sel *selected) shown(n mailbox.ModSeq) { sel.behind = sel.behind || n > sel.told }

func (c *conn) unselect() {
	if c.sel != nil {
		c.sel.notice.Close()
		c.sel = nil
	}
	c.saved = nil
}

// leave unselects the folder and tells the client so (RFC 7162 section 3.2.11).
func (c *conn) leave(why string) {
	c.unselect()
	c.w.Status("*", "OK", "CLOSED", why)
}

// look takes into the view what happened in the folder, if there was notice of something, or always.
func (c *conn) look(ctx context.Context, always bool) error {
	sel := c.sel
	select {
	case <-sel.notice.C:
	default:
	}
	count := sel.notice.Count()
	if !always && !sel.behind && count == sel.heard {
		return nil
	}
	sel.behind, sel.heard = true, count
	ch, err := c.s.Mailboxes.Changes(ctx, c.box, sel.folder, sel.told)
	if fault.Is(err, fault.NotFound, fault.Folder) || err == nil && ch.Folder.UIDValidity != sel.validity {
		return &hangUp{"the folder that was selected is gone"}
	}
	if err != nil {
		return err
	}
	err = sel.take(&ch, func() (*mailbox.UIDList, error) { return c.s.Mailboxes.UIDList(ctx, c.box, &ch.Folder) })
	sel.behind = err != nil
	return err
}

// stored notes flags that this session stored. Where the view has all of it, so it has what one of the notices was about.
func (sel *selected) stored(updates []mailbox.FlagUpdate) {
	if sel.made(updates) {
		sel.heard++
	}
}

// update tells the client what is new in its folder: messages that are gone, if that may be said now, messages that came,
// and flags that others changed.
func (c *conn) update(ctx context.Context, expunge, always bool) error {
	if err := c.look(ctx, always); err != nil {
		return err
	}
	sel := c.sel
	if expunge && len(sel.gone) > 0 {
		c.tellGone()
	}
	if n := sel.list.Len(); n != sel.exists {
		sel.exists = n
		c.claimRecent()
		c.w.Raw("* ")
		c.w.Number(uint64(n))
		c.w.Raw(" EXISTS\r\n* ")
		c.w.Number(uint64(sel.list.Count(sel.recent)))
		c.w.Raw(" RECENT")
		c.w.End()
	}
	updates := sel.takeFlags()
	for i, u := range updates {
		if err := c.tellFlags(ctx, u, false, c.condStore); err != nil {
			sel.flags = updates[i:]
			return err
		}
	}
	if len(sel.gone) == 0 {
		sel.whole = sel.told
	}
	return nil
}

const highestModSeq = "HIGHESTMODSEQ"

// upTo returns the code of the answer to a command, from the one that the command asked for. Where expunges wait, it says so
// (RFC 5530 section 3). But a QRESYNC client that was told of changes while older expunges wait must not take the newest
// number it saw for the one up to which it knows all, or they would stay unheard of where its connection is lost: it is told
// which one that is (RFC 7162 section 3.2), in a line before the answer where that needs its own code.
func (c *conn) upTo(code string, err error) string {
	waits := c.sel != nil && len(c.sel.gone) > 0
	if waits && !c.qresync && code == "" {
		return "EXPUNGEISSUED"
	}
	if code != highestModSeq && (!waits || !c.qresync) {
		return code
	}
	whole := highestModSeq + " " + string(appendNumber(nil, int64(c.sel.whole)))
	if err == nil && (code == "" || code == highestModSeq) {
		return whole
	}
	c.w.Status("*", "OK", whole, "messages that are gone are still to be told")
	return code
}

// tellGone sends EXPUNGE for each message that is gone, or VANISHED to a client that knows it (RFC 7162 section 3.2.10).
func (c *conn) tellGone() {
	sel := c.sel
	gone := sel.gone
	sel.gone = nil
	if c.qresync {
		c.w.Raw("* VANISHED ")
		c.w.Raw(gone.String())
		c.w.End()
	} else {
		before := 0
		for u := range gone.All() {
			seq, ok := sel.list.Seq(u)
			if !ok {
				continue
			}
			c.w.Raw("* ")
			c.w.Number(uint64(seq - before)) // each EXPUNGE moves those behind it down
			c.w.Raw(" EXPUNGE")
			c.w.End()
			before++
		}
	}
	sel.exists -= sel.list.Count(gone)
	sel.list = sel.list.Without(gone)
}

// tellFlags sends FETCH with the flags of a message, with its UID and mod-sequence if asked for.
func (c *conn) tellFlags(ctx context.Context, u mailbox.FlagUpdate, uid, modSeq bool) error {
	sel := c.sel
	seq, ok := sel.list.Seq(u.UID)
	if !ok {
		return nil
	}
	if err := c.nameKeywords(ctx, u.Flags); err != nil {
		return err
	}
	b := appendNumber(append(c.w.Buf(), "* "...), int64(seq))
	b = append(b, " FETCH ("...)
	if uid || c.qresync { // RFC 7162 section 3.2.4
		b = append(appendNumber(append(b, "UID "...), int64(u.UID)), ' ')
	}
	b = sel.appendFlags(append(b, "FLAGS "...), u.Flags, u.UID)
	if modSeq {
		sel.shown(u.ModSeq)
		b = append(appendNumber(append(b, " MODSEQ ("...), int64(u.ModSeq)), ')')
	}
	c.w.SetBuf(append(b, ")\r\n"...))
	return nil
}

// claimRecent makes the new messages recent in this session, if it is the first to hear of them and may change the folder;
// to one that only looks they are recent and stay so for the next.
func (c *conn) claimRecent() {
	sel := c.sel
	if sel.next <= 1 {
		return
	}
	key := folderKey{c.box, sel.folder}
	var before mailbox.UID
	if sel.readOnly {
		before = c.s.recent.upTo(key, sel.validity)
	} else {
		before = c.s.recent.claim(key, sel.validity, sel.next-1)
	}
	if before < sel.next-1 {
		sel.recent = mailbox.NewUIDSet(append(sel.recent, mailbox.UIDRange{First: before + 1, Last: sel.next - 1})...)
	}
}

// resolve turns a set of a command into the UIDs of messages that the client knows.
func (c *conn) resolve(uid bool, set wire.NumSet) (found mailbox.UIDSet, err error) {
	defer func() { c.touched.uids = found }()
	sel := c.sel
	switch {
	case set.Saved:
		return sel.list.Within(c.saved), nil
	case uid:
		return sel.list.Within(toUIDs(set.Resolve(uint32(sel.highest())))), nil
	}
	var out []mailbox.UIDRange
	n := sel.list.Len()
	for _, g := range set.Resolve(uint32(n)) {
		if int64(g.Last) > int64(n) { // RFC 3501 section 9, seq-number
			return nil, bad("there is no message with that sequence number")
		}
		out = append(out, sel.list.Set(int(g.First), int(g.Last))...)
	}
	return mailbox.NewUIDSet(out...), nil
}

func toUIDs(ranges []wire.Range) mailbox.UIDSet {
	out := make(mailbox.UIDSet, len(ranges))
	for i, g := range ranges {
		out[i] = mailbox.UIDRange{First: mailbox.UID(g.First), Last: mailbox.UID(g.Last)}
	}
	return out
}

// numbers turns UIDs into what a command speaks of: UIDs or sequence numbers.
func (sel *selected) numbers(uid bool, set mailbox.UIDSet) []wire.Range {
	var out []wire.Range
	if uid {
		for _, g := range set {
			out = append(out, wire.Range{First: uint32(g.First), Last: uint32(g.Last)})
		}
		return out
	}
	for _, g := range sel.list.Within(set) {
		first, _ := sel.list.Seq(g.First)
		last, _ := sel.list.Seq(g.Last)
		if k := len(out); k > 0 && out[k-1].Last+1 == uint32(first) {
			out[k-1].Last = uint32(last)
		} else {
			out = append(out, wire.Range{First: uint32(first), Last: uint32(last)})
		}
	}
	return out
}

// writable refuses what would change a folder that was opened by EXAMINE.
func (c *conn) writable() error {
	if c.sel.readOnly {
		return no("READ-ONLY", "the folder was opened by EXAMINE")
	}
	return nil
}
