package imap

import (
	"context"
	"strconv"

	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// systemFlags are the system flags and their names, in the order in which they are sent.
var systemFlags = [...]struct {
	bit  mailbox.Flags
	name string
}{
	{mailbox.Answered, `\Answered`}, {mailbox.Flagged, `\Flagged`}, {mailbox.Deleted, `\Deleted`}, {mailbox.Seen, `\Seen`}, {mailbox.Draft, `\Draft`},
}

func systemFlag(name string) mailbox.Flags {
	for _, f := range systemFlags {
		if f.name == name {
			return f.bit
		}
	}
	return 0
}

// maxFlagTexts is how many combinations of flags a session remembers the text of.
const maxFlagTexts = 512

// appendFlags appends flags in parentheses, with \Recent if the message is that to this session.
func (sel *selected) appendFlags(dst []byte, f mailbox.Flags, u mailbox.UID) []byte {
	text, ok := sel.texts[f]
	if !ok {
		text = appendFlagNames(nil, f, sel.keywords)
		if sel.texts == nil || len(sel.texts) >= maxFlagTexts {
			sel.texts = map[mailbox.Flags][]byte{}
		}
		sel.texts[f] = text
	}
	dst = append(append(dst, '('), text...)
	if len(sel.recent) > 0 && sel.recent.Contains(u) {
		if len(text) > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, `\Recent`...)
	}
	return append(dst, ')')
}

func appendFlagNames(dst []byte, f mailbox.Flags, k *mailbox.Keywords) []byte {
	space := ""
	for _, s := range systemFlags {
		if f&s.bit != 0 {
			dst = append(append(dst, space...), s.name...)
			space = " "
		}
	}
	if f&mailbox.KeywordFlags == 0 {
		return dst
	}
	for _, name := range k.Names(f) {
		dst = append(append(dst, space...), name...)
		space = " "
	}
	return dst
}

// nameKeywords makes sure that the names of the flags are known here, and told to the client before they are used.
func (c *conn) nameKeywords(ctx context.Context, f mailbox.Flags) error {
	sel := c.sel
	if f&mailbox.KeywordFlags&^sel.named == 0 {
		return nil
	}
	k, err := c.s.Mailboxes.Keywords(ctx, c.box)
	if err != nil {
		return err
	}
	sel.keywords, sel.texts = k, nil
	c.tellKeywords()
	sel.named |= f // a bit whose name was lost is not looked up again and again
	return nil
}

// tellKeywords sends FLAGS and PERMANENTFLAGS.
func (c *conn) tellKeywords() {
	sel := c.sel
	sel.named = sel.keywords.All()
	all := appendFlagNames(nil, mailbox.SystemFlags|sel.named, sel.keywords)
	b := append(append(append(c.w.Buf(), "* FLAGS ("...), all...), ")\r\n* OK [PERMANENTFLAGS ("...)
	if !sel.readOnly {
		b = append(append(b, all...), ` \*`...)
	}
	c.w.SetBuf(append(b, ")] flags that stay\r\n"...))
}

// flagBits returns the bits of flags that a client named, with new keywords defined.
func (c *conn) flagBits(ctx context.Context, l wire.FlagList) (mailbox.Flags, error) {
	var f mailbox.Flags
	for _, name := range l.System {
		f |= systemFlag(name)
	}
	if len(l.Keywords) == 0 {
		return f, nil
	}
	k, err := c.s.Mailboxes.DefineKeywords(ctx, c.box, l.Keywords)
	return f | k, err
}

func appendNumber(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }
