package dsn

import (
	"bytes"
	"strings"
)

const (
	// maxReply is how much of a reply is told.
	maxReply = 2 << 10
	// maxAddress keeps a field that is not folded within a line.
	maxAddress = 900
)

// report returns the part for programs (RFC 3464 section 2): fields about the message, then about each recipient. With global
// it holds UTF-8 as it is (RFC 6533 section 4), else it is ASCII.
func (n *Notice) report(global bool) []byte {
	var b bytes.Buffer
	if id, ok := DecodeXtext(n.EnvelopeID); ok && isASCII(id) && IsPrintable(id) && strings.TrimSpace(id) != "" {
		b.WriteString("Original-Envelope-Id: " + cut(id, maxAddress) + "\r\n")
	}
	writeField(&b, "Reporting-MTA", "dns; "+hostName(n.Host))
	if n.ReceivedFrom != "" {
		writeField(&b, "Received-From-MTA", "dns; "+hostName(n.ReceivedFrom))
	}
	if !n.Arrived.IsZero() {
		writeField(&b, "Arrival-Date", date(n.Arrived))
	}
	for i := range n.Recipients {
		r := &n.Recipients[i]
		b.WriteString("\r\n")
		if kind, address, ok := DecodeOriginal(r.Original); ok {
			writeAddress(&b, "Original-Recipient", kind, address, global)
		}
		kind := rfc822Type
		if !r.Address.IsASCII() {
			kind = utf8Type
		}
		writeAddress(&b, "Final-Recipient", kind, clean(r.Address.String(), true), global)
		writeField(&b, "Action", string(r.action()))
		writeField(&b, "Status", r.status())
		if r.Host != "" {
			writeField(&b, "Remote-MTA", "dns; "+hostName(r.Host))
		}
		if reply := clean(cut(r.Reply, maxReply), global); reply != "" {
			kind := "x-pennypost" // no server said it
			if isSMTPReply(reply) {
				kind = "smtp"
			}
			writeField(&b, "Diagnostic-Code", kind+"; "+reply)
		}
		if !r.Tried.IsZero() {
			writeField(&b, "Last-Attempt-Date", date(r.Tried))
		}
		if r.action() == Delayed && !r.Until.IsZero() {
			writeField(&b, "Will-Retry-Until", date(r.Until))
		}
	}
	return b.Bytes()
}

// writeAddress writes a field with a type and a printable address, which is not folded: it may have spaces in quotes.
func writeAddress(b *bytes.Buffer, name, kind, address string, global bool) {
	if kind == utf8Type && !global {
		address = EncodeUTF8Address(address)
	}
	b.WriteString(name + ": " + cut(kind, 64) + ";" + cut(address, maxAddress) + "\r\n")
}

// isSMTPReply reports whether a reply begins with a code of SMTP.
func isSMTPReply(s string) bool {
	return len(s) >= 3 && '2' <= s[0] && s[0] <= '5' && '0' <= s[1] && s[1] <= '9' && '0' <= s[2] && s[2] <= '9' &&
		(len(s) == 3 || s[3] == ' ' || s[3] == '-')
}
