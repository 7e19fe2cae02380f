package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	// maxChunk is how large a message may be to be sent by BDAT, in one write with its envelope.
	maxChunk = 64 << 10
	// maxGroup is how many commands are sent before an answer is read.
	maxGroup = 50
)

// Envelope is what a message is sent with.
type Envelope struct {
	// From is the reverse-path without its brackets; empty for the null one.
	From string
	// ID and Return are ENVID, as xtext, and RET, "FULL" or "HDRS" (RFC 3461 sections 4.3 and 4.4). They are said to servers with DSN;
	// empty ones are not said.
	ID, Return string
	// RequireTLS is said to the server, which must offer it (RFC 8689).
	RequireTLS bool
	// SMTPUTF8 says that an address or the header may be beyond ASCII (RFC 6531). Clients say so of any message, so a server without
	// SMTPUTF8 gets one that is ASCII there. An address beyond ASCII needs SMTPUTF8 without being told.
	SMTPUTF8 bool
	// Recipients are those of one transaction: a server takes 100 at least (RFC 5321 section 4.5.3.1.8).
	Recipients []Recipient
}

// Recipient is one of an envelope's.
type Recipient struct {
	Address string // forward-path without its brackets
	// Notify is NOTIFY, as "NEVER" or "SUCCESS,DELAY", and Original is ORCPT, encoded, as "rfc822;ann+2Bmail@example.com" (RFC 3461
	// sections 4.1 and 4.2). They are said to servers with DSN; empty ones are not said.
	Notify, Original string
}

// Send offers a message of size bytes, which body holds. It returns one reply for each recipient, in their order: that to RCPT where
// it was a refusal, otherwise that to the message, or to MAIL.
//
// With an *Error or *BodyError the replies are those that are certain; zero ones are of recipients who have no answer. After a
// *Refusal nothing was said. Where Err is still nil afterwards, Reset makes the connection ready for the next message.
func (c *Client) Send(ctx context.Context, e *Envelope, body io.ReaderAt, size int64) ([]Reply, error) {
	replies := make([]Reply, len(e.Recipients))
	if c.err != nil {
		return replies, c.err
	}
	defer c.during(ctx)()
	commands, err := c.commands(e, body, size)
	if err != nil {
		return replies, err
	}
	t := transaction{c: c, commands: commands, replies: make([]Reply, len(commands)), body: body, size: size}
	if size <= maxChunk && c.Has("CHUNKING") && c.Has("PIPELINING") {
		b, err := readAll(body, size)
		if err != nil {
			return replies, err
		}
		if hasWholeLines(b) {
			t.chunk = b
		}
	}
	final, err := t.run()
	mail, ofRecipients := t.replies[0], t.replies[1:]
	for i := range replies {
		switch {
		case mail.Code >= 300:
			replies[i] = mail
		case ofRecipients[i].positive():
			replies[i] = final
		default:
			replies[i] = ofRecipients[i]
		}
	}
	return replies, err
}

// commands are MAIL and RCPT with what the server can be told; or why the message can't be offered.
func (c *Client) commands(e *Envelope, body io.ReaderAt, size int64) ([]string, error) {
	dsn := c.Has("DSN")
	utf8 := !isASCII(e.From)
	lines := make([]string, 1, 1+len(e.Recipients))
	for _, r := range e.Recipients {
		utf8 = utf8 || !isASCII(r.Address)
		line := "RCPT TO:<" + r.Address + ">"
		if dsn && r.Notify != "" {
			line += " NOTIFY=" + r.Notify
		}
		if dsn && r.Original != "" {
			line += " ORCPT=" + parameter(r.Original)
		}
		lines = append(lines, line)
	}
	mail := "MAIL FROM:<" + e.From + ">"
	if c.Has("SIZE") {
		if most, err := strconv.ParseInt(c.Parameters("SIZE"), 10, 64); err == nil && most > 0 && size > most {
			return nil, &Refusal{"5.3.4", fmt.Sprintf("the message has %d bytes, and the server takes %d at most", size, most)}
		}
		mail += " SIZE=" + strconv.FormatInt(size, 10)
	}
	if c.Has("8BITMIME") {
		mail += " BODY=8BITMIME" // it may be less, and looking would mean to read it twice
	} else if eight, err := isEightBit(body, size); err != nil {
		return nil, err
	} else if eight {
		return nil, &Refusal{"5.6.3", "the message has 8-bit text, which the server does not take"}
	}
	switch {
	case !utf8 && !e.SMTPUTF8:
	case c.Has("SMTPUTF8"):
		mail += " SMTPUTF8"
	default:
		var err error
		if !utf8 {
			if utf8, err = isEightBitHeader(body, size); err != nil {
				return nil, err
			}
		}
		if utf8 {
			return nil, &Refusal{"5.6.7", "an address or the header is beyond ASCII, which the server does not take"}
		}
	}
	if e.RequireTLS {
		if !c.Has("REQUIRETLS") || c.tls == nil {
			return nil, &Refusal{"5.7.30", "the sender requires TLS all the way, and the server does not promise that (REQUIRETLS)"}
		}
		mail += " REQUIRETLS"
	}
	if dsn && e.Return != "" {
		mail += " RET=" + e.Return
	}
	if dsn && e.ID != "" {
		mail += " ENVID=" + parameter(e.ID)
	}
	lines[0] = mail
	for _, line := range lines {
		// Nothing that could be taken for another command.
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, &Refusal{"5.1.3", "an address has a control character"}
		}
	}
	return lines, nil
}

// parameter is an encoded value that needs no SMTPUTF8: what an address of the type utf-8 has beyond ASCII is encoded as RFC 6533
// section 3 has it. A space would begin another parameter.
func parameter(s string) string {
	if isASCII(s) && !strings.Contains(s, " ") {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == ' ':
			b.WriteString("+20")
		case r < 0x80:
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\x{%X}`, r)
		}
	}
	return b.String()
}

// transaction is one message being sent.
type transaction struct {
	c        *Client
	commands []string // MAIL, and one RCPT for each recipient
	replies  []Reply  // to commands; zero where there is none
	body     io.ReaderAt
	size     int64
	chunk    []byte // the message, where it goes by BDAT with the last of the commands
	ended    bool   // its end is queued or sent
}

// run goes through the transaction and returns the reply to the message, for those recipients who were taken.
func (t *transaction) run() (Reply, error) {
	pipelined := t.c.Has("PIPELINING")
	group := 1
	if pipelined {
		group = maxGroup
	}
	for next := 0; next < len(t.commands); {
		end := min(next+group, len(t.commands))
		for _, line := range t.commands[next:end] {
			t.c.say(line)
		}
		ahead := pipelined && end == len(t.commands)
		wait := t.c.timeouts.Command
		if ahead {
			t.sayMessage()
			if t.ended { // a server may answer all at once, when it is done with the message
				wait = t.c.timeouts.Final
			}
		}
		for ; next < end; next++ {
			verb, _, _ := strings.Cut(t.commands[next], " ")
			r, err := t.c.reply(verb, wait)
			if err == nil && r.Code/100 == 3 {
				err = t.c.failed(verb, errNoReply)
			}
			if err != nil {
				return Reply{}, t.lost(err)
			}
			t.replies[next] = r
		}
		if ahead {
			return t.message()
		}
		if !t.replies[0].positive() {
			return Reply{}, nil
		}
	}
	if t.taken() == 0 {
		return Reply{}, nil
	}
	t.sayMessage()
	return t.message()
}

// taken is how many recipients the server has taken.
func (t *transaction) taken() (n int) {
	for _, r := range t.replies[1:] {
		if r.positive() {
			n++
		}
	}
	return n
}

// sayMessage queues DATA, or BDAT with the message.
func (t *transaction) sayMessage() {
	if t.chunk == nil {
		t.c.say("DATA")
		return
	}
	t.c.say("BDAT " + strconv.Itoa(len(t.chunk)) + " LAST")
	_, _ = t.c.out.Write(t.chunk) // a write that fails shows in reply
	t.ended = true
}

// message goes on from what sayMessage said.
func (t *transaction) message() (Reply, error) {
	if t.chunk != nil {
		return t.final("BDAT")
	}
	r, err := t.c.reply("DATA", t.c.timeouts.Data)
	switch {
	case err != nil:
		return Reply{}, err
	case r.Code >= 400:
		return r, nil
	case r.Code != 354:
		return Reply{}, t.c.failed("DATA", errNoReply)
	case t.taken() == 0:
		// All were refused, yet DATA was sent ahead and is answered: an empty message to nobody is the way out (RFC 2920 section 3.1).
		t.c.say(".")
		_, err := t.c.reply(Message, t.c.timeouts.Final)
		return Reply{}, err
	case !t.replies[0].positive():
		// Without MAIL there should be nobody to send to; the dot would send them nothing as a message.
		return Reply{}, t.c.failed("DATA", errNoReply)
	}
	s := stuffer{out: t.c.out}
	err = pieces(t.body, t.size, func(p []byte) error {
		s.write(p)
		_, err := t.c.out.Write(nil) // says what went wrong before
		return err
	})
	var unread *BodyError
	if errors.As(err, &unread) {
		t.c.err = err // without its end the message is nothing
		return Reply{}, err
	}
	if err == nil {
		s.end()
		t.c.say(".")
		t.ended = true
	}
	return t.final(Message)
}

// final reads the answer to the whole message.
func (t *transaction) final(during string) (Reply, error) {
	r, err := t.c.reply(during, t.c.timeouts.Final)
	switch {
	case err != nil:
		return Reply{}, t.lost(err)
	case r.Code < 400 && t.c.err != nil: // the server can't have all of it
		return Reply{}, t.c.failed(during, t.c.err)
	case r.Code/100 == 3:
		return Reply{}, t.lost(t.c.failed(during, errNoReply))
	}
	return r, nil
}

// lost says of an error whether the server may have the message all the same.
func (t *transaction) lost(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Reply.Code == 0 && t.ended {
		e.Unknown = t.c.out.Flush() == nil // nothing is queued; a write that failed fails for ever
	}
	return err
}
