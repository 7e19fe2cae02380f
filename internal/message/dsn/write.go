package dsn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/message"
)

// Write writes the notification: a multipart/report with a text for people, a part for programs, and the message or its header.
// Lines end with CRLF and have 998 bytes at most. It fails where n lacks what it needs, and with the errors of w and of n.Original.
func Write(w io.Writer, n *Notice) error {
	id := strings.Map(func(r rune) rune {
		if isAlphanumeric(r) || r == '-' {
			return r
		}
		return -1
	}, n.ID)
	switch {
	case len(id) < 16 || len(id) > 60:
		return errors.New("dsn: a notice needs an ID that nobody can guess")
	case n.To.IsZero():
		return errors.New("dsn: a notice needs somebody to be told")
	case len(n.Recipients) == 0:
		return errors.New("dsn: a notice tells of a recipient at least")
	}
	o, err := n.readOriginal()
	if err != nil {
		return fmt.Errorf("dsn: read the message: %w", err)
	}
	p := parts{boundary: "=_" + id, utf8: !n.To.IsASCII()}
	p.add("text/plain; charset=utf-8", n.text(o))
	if n.isGlobal() {
		p.add("message/global-delivery-status", n.report(true))
	} else {
		p.add("message/delivery-status", n.report(false))
	}
	switch {
	case o.whole && o.global:
		p.begin("message/global", "8bit")
	case o.whole && o.eightBit:
		p.begin("message/rfc822", "8bit")
	case o.whole:
		p.begin("message/rfc822", "7bit")
	case o.global:
		p.add("message/global-headers", o.header)
	case len(o.header) > 0:
		p.add("text/rfc822-headers", o.header)
	}
	if _, err := w.Write(append(n.header(id, o, &p), p.body.Bytes()...)); err != nil {
		return fmt.Errorf("dsn: write: %w", err)
	}
	if o.whole {
		if _, err := io.Copy(w, io.NewSectionReader(n.Original, 0, n.Size)); err != nil {
			return fmt.Errorf("dsn: return the message: %w", err)
		}
	}
	if _, err := io.WriteString(w, "\r\n--"+p.boundary+"--\r\n"); err != nil {
		return fmt.Errorf("dsn: write: %w", err)
	}
	return nil
}

// isGlobal reports whether the part for programs is one with UTF-8 in it: where an address is beyond ASCII, which means that
// the sender speaks SMTPUTF8. ORCPT alone says nothing of who sends to this server.
func (n *Notice) isGlobal() bool {
	return !n.To.IsASCII() || slices.ContainsFunc(n.Recipients, func(r Recipient) bool { return !r.Address.IsASCII() })
}

// header returns the header of the notification, with the empty line behind it.
func (n *Notice) header(id string, o *original, p *parts) []byte {
	var b bytes.Buffer
	host := hostName(n.Host)
	b.WriteString(`From: "Mail Delivery System" <MAILER-DAEMON@` + host + ">\r\n")
	if to := n.To.String(); isAddress(to) {
		b.WriteString("To: <" + to + ">\r\n")
	} else {
		b.WriteString("To: undisclosed-recipients:;\r\n")
	}
	writeText(&b, "Subject", n.subject(o))
	b.WriteString("Date: " + date(n.Time) + "\r\n")
	b.WriteString("Message-ID: <" + id + "@" + host + ">\r\n")
	if o.messageID != "" {
		b.WriteString("In-Reply-To: " + o.messageID + "\r\n")
		b.WriteString("References: " + strings.Join(append(o.references, o.messageID), "\r\n ") + "\r\n")
	}
	b.WriteString("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n")
	b.WriteString("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"" + p.boundary + "\"\r\n")
	if p.eightBit {
		b.WriteString("Content-Transfer-Encoding: 8bit\r\n")
	}
	b.WriteString("\r\nThis is a delivery report in the MIME format.\r\n")
	return b.Bytes()
}

// subject says the worst that happened, and to which message.
func (n *Notice) subject(o *original) string {
	says := "Delivered"
	switch {
	case n.tells(Failed):
		says = "Not delivered"
	case n.tells(Delayed):
		says = "Delayed"
	case (n.tells(Relayed) || n.tells(Expanded)) && !n.tells(Delivered):
		says = "Handed on"
	}
	if o.subject == "" {
		return says
	}
	return says + ": " + o.subject
}

func (n *Notice) tells(a Action) bool { return len(n.of(a)) > 0 }

// of returns the recipients of whom the action is told.
func (n *Notice) of(a Action) (list []*Recipient) {
	for i := range n.Recipients {
		if r := &n.Recipients[i]; r.action() == a {
			list = append(list, r)
		}
	}
	return list
}

func (r *Recipient) action() Action {
	switch r.Action {
	case Delayed, Delivered, Relayed, Expanded:
		return r.Action
	}
	return Failed
}

// parts are the body parts written so far.
type parts struct {
	boundary string
	utf8     bool // the way back takes UTF-8
	eightBit bool // a part has bytes above 127
	body     bytes.Buffer
}

func (p *parts) begin(contentType, encoding string) {
	p.eightBit = p.eightBit || encoding == "8bit"
	p.body.WriteString("\r\n--" + p.boundary + "\r\nContent-Type: " + contentType + "\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\n")
}

// add adds a part, encoded where its bytes can't go as they are.
func (p *parts) add(contentType string, body []byte) {
	var i inspector
	_, _ = i.Write(body) // never fails
	switch {
	case i.broken() || i.eightBit && !p.utf8:
		p.begin(contentType, "quoted-printable")
		q := quotedprintable.NewWriter(&p.body)
		_, _ = q.Write(body) // a buffer takes everything
		_ = q.Close()
	case i.eightBit:
		p.begin(contentType, "8bit")
		p.body.Write(body)
	default:
		p.begin(contentType, "7bit")
		p.body.Write(body)
	}
}

// maxLine is how many bytes a line can have beside its CRLF (RFC 5322 section 2.1.1).
const maxLine = 998

// inspector is a writer that finds out what bytes need on their way.
type inspector struct {
	eightBit bool // bytes above 127
	bad      bool // NUL, a bare CR or LF, or a line that is too long
	length   int  // of the line
	cr       bool // the last byte was CR
}

func (i *inspector) Write(p []byte) (int, error) {
	for _, c := range p {
		if c == '\n' {
			i.bad = i.bad || !i.cr
			i.length, i.cr = 0, false
			continue
		}
		i.bad = i.bad || i.cr || c == 0
		i.eightBit = i.eightBit || c >= 128
		if i.cr = c == '\r'; !i.cr {
			i.length++
			i.bad = i.bad || i.length > maxLine
		}
	}
	return len(p), nil
}

// broken reports whether the bytes can't be lines of a message, 8-bit or not.
func (i *inspector) broken() bool { return i.bad || i.cr }

func date(t time.Time) string { return t.Format("Mon, 2 Jan 2006 15:04:05 -0700") }

// isAddress reports whether s reads as an address that can stand in a field.
func isAddress(s string) bool {
	_, err := message.ParseAddress(s)
	return err == nil && IsPrintable(s)
}
