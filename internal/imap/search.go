package imap

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/mailbox/content"
)

// search answers SEARCH and UID SEARCH.
func (c *conn) search(ctx context.Context, a wire.Search) (result, error) {
	if a.Charset != "" && a.Charset != "UTF-8" && a.Charset != "US-ASCII" {
		return result{}, no("BADCHARSET (US-ASCII UTF-8)", "searches are in US-ASCII or UTF-8")
	}
	t := translation{c: c, now: time.Now()}
	criterion := t.key(ctx, &a.Key)
	if a.Return&wire.ReturnSave != 0 {
		c.saved = nil // a search that fails leaves nothing behind (RFC 5182 section 2.1); "$" in its keys was the old one
	}
	if t.err != nil {
		return result{}, t.err
	}
	if t.modSeq {
		c.enableCondStore()
	}
	found, err := c.s.Mailboxes.Search(ctx, c.box, c.sel.folder, &criterion, &matcher{c: c, told: t.now}, t.modSeq)
	if err != nil {
		return result{}, err
	}
	uids := c.sel.list.Within(found.UIDs)
	if a.Return&wire.ReturnSave != 0 {
		c.save(a.Return, uids)
	}
	numbers := c.sel.numbers(a.UID, uids)
	highest := found.Highest
	if t.modSeq && a.Extended && a.Return&(wire.ReturnAll|wire.ReturnCount) == 0 {
		if highest, err = c.highestOf(ctx, ends(a.Return, uids)); err != nil {
			return result{}, err
		}
	}
	if !t.modSeq {
		highest = 0
	}
	c.sel.shown(highest)
	if a.Extended {
		if a.Return != wire.ReturnSave {
			c.tellESearch(&a, numbers, highest)
		}
		return result{}, nil
	}
	c.tellSearch(numbers, highest)
	return result{}, nil
}

// matcher looks into messages, and now and then tells the client so: reading instead would take one that only ended what it sends for gone.
type matcher struct {
	content.Matcher
	c    *conn
	told time.Time
}

// Message is mailbox.Matcher's.
func (m *matcher) Message(structure []byte, body mailbox.Content, prefix int) mailbox.MessageMatcher {
	return noticed{m, m.Matcher.Message(structure, body, prefix)}
}

type noticed struct {
	matcher *matcher
	mailbox.MessageMatcher
}

// Match is mailbox.MessageMatcher's.
func (n noticed) Match(c *mailbox.Criterion) (bool, error) {
	m := n.matcher
	if time.Since(m.told) >= m.c.s.SearchNotice {
		m.told = time.Now()
		m.c.w.Status("*", "OK", "", "still searching")
		if err := m.c.w.Flush(); err != nil {
			return false, reading(err)
		}
	}
	return n.MessageMatcher.Match(c)
}

// tellSearch sends SEARCH, with the highest mod-sequence found where MODSEQ was a key (RFC 7162 section 3.1.5).
func (c *conn) tellSearch(numbers []wire.Range, highest mailbox.ModSeq) {
	c.w.Raw("* SEARCH")
	for _, g := range numbers {
		for n := uint64(g.First); n <= uint64(g.Last); n++ {
			c.w.SetBuf(strconv.AppendUint(append(c.w.Buf(), ' '), n, 10))
		}
	}
	if highest > 0 && len(numbers) > 0 {
		c.w.SetBuf(append(appendNumber(append(c.w.Buf(), " (MODSEQ "...), int64(highest)), ')'))
	}
	c.w.End()
}

// tellESearch sends ESEARCH (RFC 4731). The tag is that of the command that runs.
func (c *conn) tellESearch(a *wire.Search, numbers []wire.Range, highest mailbox.ModSeq) {
	b := wire.AppendString(append(c.w.Buf(), "* ESEARCH (TAG "...), c.tag)
	b = append(b, ')')
	if a.UID {
		b = append(b, " UID"...)
	}
	if len(numbers) > 0 {
		if a.Return&wire.ReturnMin != 0 {
			b = appendNumber(append(b, " MIN "...), int64(numbers[0].First))
		}
		if a.Return&wire.ReturnMax != 0 {
			b = appendNumber(append(b, " MAX "...), int64(numbers[len(numbers)-1].Last))
		}
		if a.Return&wire.ReturnAll != 0 {
			b = wire.AppendRanges(append(b, " ALL "...), numbers)
		}
	}
	if a.Return&wire.ReturnCount != 0 {
		n := int64(0)
		for _, g := range numbers {
			n += int64(g.Last-g.First) + 1
		}
		b = appendNumber(append(b, " COUNT "...), n)
	}
	if highest > 0 && len(numbers) > 0 {
		b = appendNumber(append(b, " MODSEQ "...), int64(highest))
	}
	c.w.SetBuf(append(b, '\r', '\n'))
}

// save keeps the result for "$": all of it, or with MIN and MAX alone those (RFC 5182 section 2.4).
func (c *conn) save(r wire.SearchReturn, uids mailbox.UIDSet) {
	if r&(wire.ReturnMin|wire.ReturnMax) != 0 && r&(wire.ReturnAll|wire.ReturnCount) == 0 {
		uids = ends(r, uids)
	}
	c.saved = uids
}

// ends returns the first and the last UID of a result, as far as MIN and MAX ask for them.
func ends(r wire.SearchReturn, uids mailbox.UIDSet) mailbox.UIDSet {
	var out []mailbox.UIDRange
	if len(uids) > 0 && r&wire.ReturnMin != 0 {
		out = append(out, mailbox.UIDRange{First: uids[0].First, Last: uids[0].First})
	}
	if len(uids) > 0 && r&wire.ReturnMax != 0 {
		last := uids[len(uids)-1].Last
		out = append(out, mailbox.UIDRange{First: last, Last: last})
	}
	return mailbox.NewUIDSet(out...)
}

func (c *conn) highestOf(ctx context.Context, uids mailbox.UIDSet) (highest mailbox.ModSeq, err error) {
	for it, err := range c.s.Mailboxes.Fetch(ctx, c.box, c.sel.folder, uids, mailbox.WantModSeq, 0) {
		if err != nil {
			return 0, err
		}
		highest = max(highest, it.ModSeq)
	}
	return highest, nil
}

// translation turns the keys of a search into a criterion of mailbox.
type translation struct {
	c      *conn
	now    time.Time
	modSeq bool // MODSEQ was among them
	err    error
}

func (t *translation) key(ctx context.Context, k *wire.SearchKey) mailbox.Criterion {
	switch k.Op {
	case wire.SearchAnd, wire.SearchOr, wire.SearchNot:
		out := mailbox.Criterion{Op: map[wire.SearchOp]mailbox.Op{wire.SearchAnd: mailbox.And, wire.SearchOr: mailbox.Or, wire.SearchNot: mailbox.Not}[k.Op]}
		for i := range k.Keys {
			out.Sub = append(out.Sub, t.key(ctx, &k.Keys[i]))
		}
		return out
	case wire.SearchSeq, wire.SearchUID:
		uids, err := t.c.resolve(k.Op == wire.SearchUID, k.Set)
		t.fail(err)
		return mailbox.Criterion{Op: mailbox.InUIDs, UIDs: uids}
	case wire.SearchFlag:
		f := systemFlag(k.Text)
		return mailbox.Criterion{Op: mailbox.FlagsAre, Mask: f, Flags: f}
	case wire.SearchKeyword:
		f, known := t.keyword(ctx, k.Text)
		if !known {
			return mailbox.Criterion{Op: mailbox.InUIDs} // no message has it
		}
		return mailbox.Criterion{Op: mailbox.FlagsAre, Mask: f, Flags: f}
	case wire.SearchRecent:
		return mailbox.Criterion{Op: mailbox.InUIDs, UIDs: t.c.sel.recent}
	case wire.SearchHeader:
		return mailbox.Criterion{Op: mailbox.HeaderHas, Field: k.Field, Text: t.text(k.Text)}
	case wire.SearchBody:
		return mailbox.Criterion{Op: mailbox.BodyHas, Text: t.text(k.Text)}
	case wire.SearchText:
		return mailbox.Criterion{Op: mailbox.TextHas, Text: t.text(k.Text)}
	}
	return t.number(k)
}

// number translates the keys that compare a number or a date of the item's own.
func (t *translation) number(k *wire.SearchKey) mailbox.Criterion {
	n := int64(min(k.Number, math.MaxInt64))
	from := func(op mailbox.Op) mailbox.Criterion { return mailbox.Criterion{Op: op, Time: k.Date} }
	on := func(from, before mailbox.Op) mailbox.Criterion {
		return mailbox.Criterion{Op: mailbox.And, Sub: []mailbox.Criterion{{Op: from, Time: k.Date}, {Op: before, Time: k.Date.AddDate(0, 0, 1)}}}
	}
	ago := t.now.Add(-time.Duration(min(k.Number, 100*366*86400)) * time.Second)
	switch k.Op {
	case wire.SearchBefore:
		return from(mailbox.ReceivedBefore)
	case wire.SearchOn:
		return on(mailbox.ReceivedFrom, mailbox.ReceivedBefore)
	case wire.SearchSince:
		return from(mailbox.ReceivedFrom)
	case wire.SearchSentBefore:
		return from(mailbox.SentBefore)
	case wire.SearchSentOn:
		return on(mailbox.SentFrom, mailbox.SentBefore)
	case wire.SearchSentSince:
		return from(mailbox.SentFrom)
	case wire.SearchSavedBefore:
		return from(mailbox.SavedBefore)
	case wire.SearchSavedOn:
		return on(mailbox.SavedFrom, mailbox.SavedBefore)
	case wire.SearchSavedSince:
		return from(mailbox.SavedFrom)
	case wire.SearchYounger:
		return mailbox.Criterion{Op: mailbox.ReceivedFrom, Time: ago}
	case wire.SearchOlder:
		return mailbox.Criterion{Op: mailbox.ReceivedBefore, Time: ago}
	case wire.SearchLarger:
		return mailbox.Criterion{Op: mailbox.Larger, Number: n}
	case wire.SearchSmaller:
		return mailbox.Criterion{Op: mailbox.Smaller, Number: n}
	case wire.SearchModSeq:
		t.modSeq = true
		return mailbox.Criterion{Op: mailbox.ChangedFrom, Number: n}
	case wire.SearchEmailID:
		return objectID(mailbox.EmailIs, 'M', k.Text)
	case wire.SearchThreadID:
		return objectID(mailbox.ThreadIs, 'T', k.Text)
	}
	return mailbox.Criterion{Op: mailbox.All} // SAVEDATESUPPORTED: every folder keeps that date
}

// objectID looks for an id as FETCH shows it; another text is no message's.
func objectID(op mailbox.Op, letter byte, text string) mailbox.Criterion {
	if rest, ok := strings.CutPrefix(text, string(letter)); ok {
		if n, err := strconv.ParseInt(rest, 10, 64); err == nil && n > 0 {
			return mailbox.Criterion{Op: op, Number: n}
		}
	}
	return mailbox.Criterion{Op: mailbox.InUIDs}
}

// text checks that a text is what the charset says. Without a charset it is US-ASCII, and clients send UTF-8.
func (t *translation) text(s string) string {
	if !utf8.ValidString(s) {
		t.fail(bad("a text of SEARCH is not in the charset that was named"))
	}
	return s
}

// keyword returns the bit of a keyword, and whether the mailbox has it. Another session may just have defined it.
func (t *translation) keyword(ctx context.Context, name string) (mailbox.Flags, bool) {
	if f, ok := t.c.sel.keywords.Bit(name); ok {
		return f, true
	}
	k, err := t.c.s.Mailboxes.Keywords(ctx, t.c.box)
	if err != nil {
		t.fail(err)
		return 0, false
	}
	return k.Bit(name)
}

func (t *translation) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}
