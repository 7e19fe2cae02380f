package smtp

import (
	"bytes"
	"fmt"
	"strings"
)

// received returns the trace that this server puts on top of a message (RFC 5321 section 4.4).
func (c *session) received() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Received: from %s (%s)", traceWord(c.hello), addressLiteral(c))
	if c.tlsText != "" {
		fmt.Fprintf(&b, "\r\n\t(using %s)", c.tlsText)
	}
	fmt.Fprintf(&b, "\r\n\tby %s with %s id %s", c.cfg.Hostname, c.protocol(), fmt.Sprintf("%s.%d", c.id, c.messages+1))
	// With several recipients the clause would tell each of the others (section 7.2).
	if len(c.mail.recipients) == 1 {
		fmt.Fprintf(&b, "\r\n\tfor <%s>", c.mail.recipients[0])
	}
	fmt.Fprintf(&b, ";\r\n\t%s\r\n", c.cfg.Clock.Now().Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	return b.Bytes()
}

// protocol is the transmission type by RFC 3848 and RFC 6531 section 4.3.
func (c *session) protocol() string {
	if !c.extended {
		return "SMTP"
	}
	name := "ESMTP"
	if c.mail.params.smtpUTF8 {
		name = "UTF8SMTP"
	}
	if c.secure {
		name += "S"
	}
	if c.signIn != nil {
		name += "A"
	}
	return name
}

// addressLiteral is the client's address as a comment may hold it.
func addressLiteral(c *session) string {
	switch {
	case !c.remote.IsValid():
		return "unknown"
	case c.remote.Is4():
		return "[" + c.remote.String() + "]"
	}
	return "[IPv6:" + c.remote.String() + "]"
}

// traceWord keeps what a client calls itself from breaking the field.
func traceWord(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 127 || strings.ContainsRune("()<>;\"\\,", r) {
			return '?'
		}
		return r
	}, s)
}
