package autoreply

import (
	"bytes"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/lazyregexp"
	"github.com/pennypost/pennypost/internal/message"
)

// Reply is what nobody writes in answer to a message.
type Reply struct {
	From    string          // as the From field has it
	To      message.Address // the reverse-path of what is answered
	Subject string          // UTF-8
	ID      string          // the Message-ID, without brackets
	Time    time.Time
	// About is the header of what is answered.
	About []byte
	// Text is UTF-8, or with Entity a MIME entity with its header.
	Text   string
	Entity bool
}

// maxSubject is how many characters of a subject go into a reply's.
const maxSubject = 200

// Subject is the usual subject of a reply to a message with the header.
func Subject(before string, about []byte) string {
	value, _ := message.FirstValue(about, "subject")
	return before + line(message.DecodeWords(value))
}

// line makes a text one of printable characters, cut.
func line(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))), " ")
	if r := []rune(s); len(r) > maxSubject {
		s = string(r[:maxSubject])
	}
	return s
}

// Compose returns the reply as a message. It says that it is automatic, so that no program replies to it (RFC 3834 section 3.1).
func Compose(r *Reply) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s>\r\n",
		r.From, r.To, encoded(line(r.Subject)), r.Time.Format("Mon, 2 Jan 2006 15:04:05 -0700"), r.ID)
	about := message.ParseEnvelope(r.About)
	if ids := slices.DeleteFunc(message.ParseMessageIDs(about.MessageID), unfit); len(ids) > 0 {
		thread := append(slices.DeleteFunc(about.References, unfit), ids[0])
		fmt.Fprintf(&b, "In-Reply-To: <%s>\r\nReferences: <%s>\r\n", ids[0], strings.Join(thread, ">\r\n <"))
	}
	b.WriteString("Auto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\n")
	if r.Entity {
		text := []byte(r.Text)
		end := message.HeaderEnd(text)
		b.Write(crlf(message.AppendFields(nil, text[:end], entityFields, false)))
		b.Write(crlf(text[end:]))
		return b.Bytes()
	}
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	w := quotedprintable.NewWriter(&b) // a bytes.Buffer takes all
	_, _ = w.Write(crlf([]byte(r.Text)))
	_ = w.Close()
	b.WriteString("\r\n")
	return b.Bytes()
}

// unfit reports whether a message id can't stand in a header of ours.
func unfit(id string) bool {
	return len(id) > 500 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// entityFields are those that a MIME entity brings into a reply.
var entityFields = []string{"content-type", "content-transfer-encoding", "content-disposition", "content-language", "content-id", "content-description"}

// encoded is a text as a field has it, in lines that are short enough.
func encoded(s string) string {
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", s), "?= =?", "?=\r\n =?")
}

// crlf ends all lines with CRLF.
func crlf(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	b = bytes.ReplaceAll(b, []byte("\r"), []byte("\n"))
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}

var (
	beginsTag = lazyregexp.New(`\A\s*<[!a-zA-Z]`)
	breaks    = lazyregexp.New(`(?i)<(?:br|hr|/p|/div|/li|/tr|/h[1-6]|/blockquote|/pre|/ul|/ol|/table)\b[^>]*>`)
	blanks    = lazyregexp.New(`\n{3,}`)
	noText    = lazyregexp.New(`(?is)<(script|style|title)\b.*?</(script|style|title)\s*>|<!--.*?-->`)
)

// Plain is a text as it is sent: that of HTML, which begins with a tag, without its markup.
func Plain(text string) string {
	if !beginsTag.MatchString(text) {
		return text
	}
	text = breaks.ReplaceAllString(noText.ReplaceAllString(text, ""), "\x00")
	var lines []string
	for piece := range strings.SplitSeq(text, "\x00") {
		lines = append(lines, message.HTMLText(piece))
	}
	return strings.TrimSpace(blanks.ReplaceAllString(strings.Join(lines, "\n"), "\n\n"))
}
