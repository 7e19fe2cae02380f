package smtp

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/pennypost/pennypost/internal/fault"
)

// auth answers AUTH (RFC 4954). No secret is asked for before TLS, not even on loopback: what a client may do there it will
// do elsewhere.
func (c *session) auth(args string) {
	mechanism, initial, hasInitial := strings.Cut(args, " ")
	switch {
	case !c.submission():
		c.protocolError(502, "5.5.1", "there is nothing to sign in to on this port; use the one for submission")
		return
	case c.signIn != nil:
		c.protocolError(503, "5.5.1", "you are signed in already")
		return
	case c.mail != nil:
		c.protocolError(503, "5.5.1", "a message has been begun")
		return
	case !c.secure:
		c.protocolError(530, "5.7.0", "say STARTTLS first")
		return
	case !c.extended:
		c.protocolError(503, "5.5.1", "say EHLO first")
		return
	}
	var username, password string
	var refusal *reply
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		username, password, refusal = c.authPlain(initial, hasInitial)
	case "LOGIN":
		username, password, refusal = c.authLogin(initial, hasInitial)
	default:
		refusal = &reply{504, "5.5.4", "the mechanisms are PLAIN and LOGIN"}
	}
	switch {
	case c.quit:
	case refusal != nil:
		c.protocolError(refusal.code, refusal.enhanced, refusal.text)
	default:
		c.enter(username, password)
	}
}

// enter asks the door.
func (c *session) enter(username, password string) {
	signIn, err := c.cfg.Authenticate(c.srv.ctx, username, password, c.remote, c.id)
	switch {
	case err == nil:
	case fault.KindOf(err) == fault.Unauthenticated:
		if c.failures++; c.failures >= c.cfg.Limits.SignIns {
			c.sayf(421, "4.7.0", "%s: too many failed sign-ins", c.cfg.Hostname)
			c.quit = true
			return
		}
		c.sayf(535, "5.7.8", "the user name or the password is wrong, or this user may not sign in")
		return
	default:
		if fault.As(err) == nil {
			c.cfg.Log.Error("a sign-in could not be decided", "session", c.id, "remote", c.remote, "error", err)
		}
		c.sayf(454, "4.7.0", "sign-in is not possible now; try again later")
		return
	}
	c.signIn = signIn
	c.watcher.Go(func() {
		select {
		case <-signIn.Done:
			c.interrupt(421, "4.7.0", "the sign-in has ended", true)
		case <-c.signedIn:
		}
	})
	c.sayf(235, "2.7.0", "welcome")
}

// authPlain is RFC 4616: an identity to act as, a NUL, the name, a NUL, the password. Acting as another is not offered.
func (c *session) authPlain(initial string, hasInitial bool) (username, password string, refusal *reply) {
	response, refusal := c.saslResponse("", initial, hasInitial)
	if refusal != nil || c.quit {
		return "", "", refusal
	}
	parts := strings.Split(response, "\x00")
	if len(parts) != 3 || parts[1] == "" || parts[2] == "" {
		return "", "", &reply{501, "5.5.2", "PLAIN is [identity] NUL name NUL password"}
	}
	if parts[0] != "" && !strings.EqualFold(parts[0], parts[1]) {
		return "", "", &reply{535, "5.7.8", "signing in for another is not offered"}
	}
	return parts[1], parts[2], nil
}

// authLogin is what Outlook and others speak; it has no RFC. Some send the name with the command.
func (c *session) authLogin(initial string, hasInitial bool) (username, password string, refusal *reply) {
	if username, refusal = c.saslResponse("Username:", initial, hasInitial); refusal != nil || c.quit {
		return "", "", refusal
	}
	if password, refusal = c.saslResponse("Password:", "", false); refusal != nil || c.quit {
		return "", "", refusal
	}
	if username == "" || password == "" {
		return "", "", &reply{501, "5.5.2", "a name and a password are needed"}
	}
	return username, password, nil
}

// saslResponse returns the client's next response, decoded: the initial one, or the answer to the challenge.
func (c *session) saslResponse(challenge, initial string, hasInitial bool) (string, *reply) {
	line := initial
	if !hasInitial {
		c.say(reply{334, "", base64.StdEncoding.EncodeToString([]byte(challenge))})
		b, err := c.wire.line(authLimit)
		switch {
		case err == nil:
			line = string(b)
		case errors.Is(err, errLineTooLong):
			return "", &reply{500, "5.5.6", "the response is too long"}
		case errors.Is(err, errBareBreak):
			return "", &reply{500, "5.5.2", "a line ends with CR LF, and neither stands alone"}
		default:
			c.lost(err)
			return "", nil
		}
		if line == "*" { // section 4: the client gives up
			return "", &reply{501, "5.7.0", "given up"}
		}
	} else if line == "=" { // section 4: an initial response of no bytes
		return "", nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(line)
	if err != nil || strings.ContainsAny(line, "\r\n") {
		return "", &reply{501, "5.5.2", "the response is not base64"}
	}
	return string(b), nil
}
