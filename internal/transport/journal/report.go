package journal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime/quotedprintable"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/message"
)

// Report is a journal report in the form of Microsoft Exchange ([MS-XJRNL]), which archives read.
type Report struct {
	ID   string // see Service.NewID
	Rule *Rule
	Date time.Time
	// Sender is who sent the message, OnBehalfOf in whose name, where that is somebody else; without brackets.
	Sender, OnBehalfOf string
	Subject            string // decoded
	MessageID          string // as the message has it
	Recipients         []Recipient
}

// How a recipient was named. Recipient is where that is not known: of mail from another server only the envelope counts.
const (
	To            = "To"
	Cc            = "Cc"
	Bcc           = "Bcc"
	RecipientKind = "Recipient"
)

// Recipient is one who gets the message.
type Recipient struct {
	Kind, Address string
	// Expanded is the group through which it gets there, Forwarded the address here that leads to another server; or both are empty.
	Expanded, Forwarded string
}

const (
	maxSubject   = 900 // bytes of a subject, so that the line has less than 998
	maxMessageID = 250
)

// MaxAdded is about how much larger than its message a report can be: a line for each of 500 recipients and 2,000 members of groups.
const MaxAdded = 2 << 20

// Wrap returns the report with the message as its second part, byte for byte: what is before it, the message, and what is behind it.
func (r *Report) Wrap(original []byte) [][]byte {
	encoding := encodingOf(original)
	boundary := "=_" + id.UUID()
	messageID := strings.Map(printable, r.MessageID)
	messageID = messageID[:min(len(messageID), maxMessageID)]
	subject := r.subject()

	var b bytes.Buffer
	field := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	field("From", "<"+r.Rule.From.String()+">")
	field("To", "<"+r.Rule.To.String()+">")
	field("Subject", message.EncodeWords(subject))
	field("Date", r.Date.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	field("Message-ID", "<"+r.ID+">")
	b.WriteString("X-MS-Journal-Report:\r\n")
	if messageID != "" {
		field("X-MS-Exchange-Parent-Message-Id", messageID)
	}
	field("Auto-Submitted", "auto-generated")
	field("MIME-Version", "1.0")
	field("Content-Type", "multipart/mixed;\r\n\tboundary=\""+boundary+"\"")
	if encoding != "7bit" {
		field("Content-Transfer-Encoding", encoding)
	}
	b.WriteString("\r\n--" + boundary + "\r\nContent-Type: text/plain; charset=utf-8\r\n")
	text := r.text(subject, messageID)
	if encodingOf(text) == "7bit" {
		b.WriteString("Content-Transfer-Encoding: 7bit\r\n\r\n")
		b.Write(text)
	} else {
		b.WriteString("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
		q := quotedprintable.NewWriter(&b)
		_, _ = q.Write(text) // a buffer takes everything
		_ = q.Close()
	}
	b.WriteString("\r\n--" + boundary + "\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\n")
	return [][]byte{b.Bytes(), original, []byte("\r\n--" + boundary + "--\r\n")}
}

// text is the first part. [MS-XJRNL] section 2.1 has the fields in this order, one a line.
func (r *Report) text(subject, messageID string) []byte {
	var b bytes.Buffer
	line := func(name, value string) {
		b.WriteString(strings.TrimRight(name+": "+strings.Map(oneLine, value), " ") + "\r\n")
	}
	line("Sender", r.Sender)
	if r.OnBehalfOf != "" {
		line("On-Behalf-Of", r.OnBehalfOf)
	}
	line("Subject", subject)
	line("Message-Id", messageID)
	for _, to := range r.Recipients {
		value := to.Address
		switch {
		case to.Expanded != "":
			value += ", Expanded: " + to.Expanded
		case to.Forwarded != "":
			value += ", Forwarded: " + to.Forwarded
		}
		line(to.Kind, value)
	}
	return b.Bytes()
}

// subject is the message's on one line.
func (r *Report) subject() string {
	s := strings.ToValidUTF8(strings.Map(oneLine, r.Subject), "\uFFFD")
	return strings.TrimSpace(strings.ToValidUTF8(s[:min(len(s), maxSubject)], ""))
}

// oneLine makes what ends a line or controls something a space.
func oneLine(c rune) rune {
	if unicode.IsControl(c) || c == '\u2028' || c == '\u2029' {
		return ' '
	}
	return c
}

// printable leaves visible ASCII.
func printable(c rune) rune {
	if c <= ' ' || c >= 127 {
		return -1
	}
	return c
}

// maxLine is how many bytes a line can have beside its CRLF (RFC 5322 section 2.1.1).
const maxLine = 998

// encodingOf is the transfer encoding that b is in as it stands (RFC 2045 section 2.7 to 2.9).
func encodingOf(b []byte) string {
	encoding := "7bit"
	for line := range bytes.Lines(b) {
		text, ended := bytes.CutSuffix(line, []byte("\r\n"))
		if len(text) > maxLine || bytes.ContainsAny(text, "\r\n\x00") || !ended && bytes.HasSuffix(line, []byte("\n")) {
			return "binary"
		}
		if encoding == "7bit" && slices.ContainsFunc(text, func(c byte) bool { return c >= 128 }) {
			encoding = "8bit"
		}
	}
	return encoding
}

// idDomain ends the Message-IDs of journal reports, as with Exchange: archives know them by it.
const idDomain = "@journal.report.generator"

const (
	uuidLength = 36
	dateLength = 8
	markLength = 20
	idLength   = uuidLength + 1 + dateLength + 1 + markLength
	// maxLook is how much of a message is looked at for the Message-ID of a report of this server: its own, or that of one which is journaled
	// there, in its second part's first lines.
	maxLook = 64 << 10
	// returnsFor is for how long a report is known again: longer than it and what answers it can be on their way.
	returnsFor = 30 * 24 * time.Hour
)

// NewID makes the Message-ID of an organisation's report, by which this server knows it again.
func (s *Service) NewID(org int64) string {
	said := fmt.Sprintf("%s.%0*x", id.UUID(), dateLength, s.Clock.Now().Unix())
	return said + "." + s.mark(org, said) + idDomain
}

func (s *Service) mark(org int64, said string) string {
	h := hmac.New(sha256.New, s.key)
	fmt.Fprintf(h, "%d %s", org, said)
	return hex.EncodeToString(h.Sum(nil))[:markLength]
}

// IsReturned reports whether a message from another server is a journal report of the organisation that came back, or another's of such
// a one: for it to journal that would never end. The mark can't be made up and is worth nothing for other organisations, so that nobody escapes
// journaling by saying so.
func (s *Service) IsReturned(org int64, m []byte) bool {
	isReport := false
	for f := range message.Fields(m[:message.HeaderEnd(m)]) {
		isReport = isReport || f.Is("x-ms-journal-report")
	}
	if !isReport {
		return false
	}
	for rest := m[:min(len(m), maxLook)]; ; {
		at := bytes.Index(rest, []byte(idDomain))
		if at < 0 {
			return false
		}
		if at >= idLength && s.isOwn(org, string(rest[at-idLength:at])) {
			return true
		}
		rest = rest[at+len(idDomain):]
	}
}

func (s *Service) isOwn(org int64, id string) bool {
	said, mark := id[:idLength-markLength-1], id[idLength-markLength:]
	made, err := strconv.ParseInt(said[uuidLength+1:], 16, 64)
	return err == nil && s.Clock.Now().Sub(time.Unix(made, 0)) < returnsFor && hmac.Equal([]byte(mark), []byte(s.mark(org, said)))
}
