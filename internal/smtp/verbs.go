package smtp

import (
	"fmt"
	"strings"
)

// command does what a line says. Its form is checked here and in the verb; what it means is the verb's.
func (c *session) command(line string) {
	if strings.IndexByte(line, 0) >= 0 {
		c.protocolError(500, "5.5.2", "a command can't hold NUL")
		return
	}
	verb, args := splitCommand(line)
	if len(line) > commandLimit && verb != "AUTH" {
		c.protocolError(500, "5.5.2", "the line is too long")
		return
	}
	if !brings(verb) && c.idled() {
		return
	}
	switch verb {
	case "HELO", "EHLO":
		c.greet(verb == "EHLO", args)
	case "MAIL":
		c.mailFrom(args)
	case "RCPT":
		c.rcptTo(args)
	case "DATA":
		c.data(args)
	case "BDAT":
		c.bdat(args)
	case "RSET":
		if c.without(args) {
			c.reset()
			c.sayf(250, "2.0.0", "forgotten")
		}
	case "NOOP":
		c.sayf(250, "2.0.0", "nothing done")
	case "QUIT":
		if c.without(args) {
			c.sayf(221, "2.0.0", "%s says good-bye", c.cfg.Hostname)
			c.quit = true
		}
	case "STARTTLS":
		c.upgrade(args)
	case "AUTH":
		c.auth(args)
	case "VRFY":
		c.sayf(252, "2.5.2", "addresses are not confirmed here; send mail and see")
	case "EXPN":
		c.protocolError(502, "5.5.1", "lists are not shown here")
	case "HELP":
		c.sayf(214, "2.0.0", "RFC 5321 describes the commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS AUTH")
	default:
		if isForeign(verb) {
			c.hangUp("4.7.0", "heard another protocol than SMTP")
			return
		}
		c.protocolError(500, "5.5.1", "the command is not known here")
	}
}

// isForeign reports whether a verb is of HTTP, or begins a header field: a browser that was made to post mail, or a message whose DATA was
// refused. Lines behind it may be text that only looks like commands.
func isForeign(verb string) bool {
	switch verb {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PRI":
		return true
	}
	return strings.HasSuffix(verb, ":")
}

// brings reports whether a command brings a message forward; the others may not go on for ever.
func brings(verb string) bool {
	return verb == "RCPT" || verb == "DATA" || verb == "BDAT" || verb == "QUIT"
}

// idled counts a command that brought no message forward. It reports whether that ended the session.
func (c *session) idled() bool {
	if c.commands++; c.commands <= c.cfg.Limits.Commands {
		return false
	}
	c.hangUp("4.7.0", "took enough commands without a message")
	return true
}

// without refuses arguments of a command that has none.
func (c *session) without(args string) bool {
	if args != "" {
		c.protocolError(501, "5.5.4", "the command has no arguments")
	}
	return args == ""
}

// greet answers HELO and EHLO, which also forget a message that was begun (RFC 5321 section 4.1.4).
func (c *session) greet(extended bool, args string) {
	name, ok := parseHello(args)
	if !ok {
		c.protocolError(501, "5.5.4", "say who you are: a name or an address in brackets")
		return
	}
	c.reset()
	c.hello, c.extended = name, extended
	if !extended {
		c.say(reply{250, "", c.cfg.Hostname})
		return
	}
	lines := []string{
		c.cfg.Hostname + " greets you", "PIPELINING", fmt.Sprintf("SIZE %d", c.cfg.Limits.Message), "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES",
	}
	if c.submission() { // strangers would have notices of success sent to whomever they name
		lines = append(lines, "DSN")
	}
	switch {
	case c.secure:
		lines = append(lines, "REQUIRETLS") // RFC 8689 section 2: never in the clear
	case c.cfg.TLS != nil:
		lines = append(lines, "STARTTLS")
	}
	if c.submission() && c.secure && c.signIn == nil {
		lines = append(lines, "AUTH PLAIN LOGIN")
	}
	c.say(reply{250, "", strings.Join(lines, "\n")})
}
