package smtp

import (
	"errors"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/spool"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// mail is a message between MAIL and its end.
type mail struct {
	core       Transaction
	from       message.Address
	params     mailParams
	recipients []message.Address
	spool      *spool.Spool // once bytes come in
	trace      int          // bytes of the trace at the beginning of spool
	bytes      int64        // of the message itself, also those that are not kept
	breaks     breakChecker // of BDAT
	chunked    bool         // BDAT was used
	begun      time.Time    // when the first BDAT came
	failed     *reply       // what every further BDAT is told
}

func (m *mail) close() error {
	if m.spool == nil {
		return nil
	}
	return m.spool.Close()
}

// mailFrom answers MAIL.
func (c *session) mailFrom(args string) {
	switch {
	case c.hello == "":
		c.protocolError(503, "5.5.1", "say EHLO first")
		return
	case c.submission() && !c.secure:
		c.protocolError(530, "5.7.0", "say STARTTLS first")
		return
	case c.submission() && c.signIn == nil:
		c.protocolError(530, "5.7.0", "sign in first")
		return
	case c.mail != nil:
		c.protocolError(503, "5.5.1", "a message has been begun; end it or say RSET")
		return
	case c.messages >= c.cfg.Limits.Messages:
		c.hangUp("4.7.0", "took enough messages in this connection; open another")
		return
	}
	cmd, refusal := parsePathCommand("FROM:", args, false)
	var params mailParams
	if refusal == nil {
		params, refusal = parseMailParams(cmd.params, c.cfg.Limits.Message, c.submission(), c.secure)
	}
	if refusal == nil && !cmd.path.IsASCII() && !params.smtpUTF8 {
		refusal = &reply{553, "5.6.7", "an address beyond ASCII needs the parameter SMTPUTF8"}
	}
	if refusal != nil {
		c.protocolError(refusal.code, refusal.enhanced, refusal.text)
		return
	}
	sender := Sender{
		Submitted: c.submission(), From: cmd.path, Hello: c.hello, Size: params.size, Principal: principal.TheSystem("SMTP"),
		EnvelopeID: params.envelopeID, Return: params.ret, RequireTLS: params.requireTLS, SMTPUTF8: params.smtpUTF8,
	}
	if c.signIn != nil {
		sender.Principal = c.signIn.Principal
	}
	sender.Principal.Address = c.remote
	core, err := c.cfg.Begin(c.srv.ctx, sender)
	if err != nil {
		c.fail("MAIL", err)
		return
	}
	c.mail = &mail{core: core, from: cmd.path, params: params}
	c.sayf(250, "2.1.0", "sender taken")
}

// rcptTo answers RCPT.
func (c *session) rcptTo(args string) {
	switch {
	case c.mail == nil:
		c.protocolError(503, "5.5.1", "say MAIL first")
		return
	case c.mail.chunked:
		c.protocolError(503, "5.5.1", "the message has been begun")
		return
	}
	cmd, refusal := parsePathCommand("TO:", args, true)
	var to queue.Recipient
	if refusal == nil {
		to, refusal = parseRcptParams(cmd.params, c.mail.params.smtpUTF8)
		to.Address = cmd.path
	}
	switch {
	case refusal != nil:
	case cmd.path.IsZero():
		refusal = &reply{501, "5.1.3", "a recipient needs an address"}
	case !cmd.path.IsASCII() && !c.mail.params.smtpUTF8:
		refusal = &reply{553, "5.6.7", "an address beyond ASCII needs the parameter SMTPUTF8"}
	}
	if refusal != nil {
		c.protocolError(refusal.code, refusal.enhanced, refusal.text)
		return
	}
	if err := c.mail.core.Add(c.srv.ctx, to); err != nil {
		if c.refused++; c.refused > c.cfg.Limits.Refused {
			c.hangUp("4.7.0", "refused too many recipients")
			return
		}
		c.fail("RCPT", err)
		return
	}
	c.mail.recipients = append(c.mail.recipients, cmd.path)
	c.sayf(250, "2.1.5", "recipient taken")
}

// fail answers with what the core said, and logs what it must not say.
func (c *session) fail(command string, err error) reply {
	r := replyTo(err)
	switch f := fault.As(err); {
	case f == nil, f.Kind == fault.Internal:
		c.cfg.Log.Error("a command failed", "command", command, "session", c.id, "remote", c.remote, "error", err)
	case f.Cause != nil && !errors.Is(f.Cause, c.srv.ctx.Err()):
		c.cfg.Log.Warn("a command failed", "command", command, "session", c.id, "remote", c.remote, "error", err)
	default:
		c.cfg.Log.Info("refused", "command", command, "session", c.id, "remote", c.remote, "reply", r.code, "status", r.enhanced)
	}
	c.say(r)
	return r
}
