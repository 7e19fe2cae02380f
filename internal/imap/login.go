package imap

import (
	"bytes"
	"context"
	"encoding/base64"

	"github.com/pennypost/pennypost/internal/accept"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/imap/wire"
)

// login answers LOGIN. Before TLS the codec refuses it before it looks at the secret.
func (c *conn) login(ctx context.Context, a wire.Login) (result, error) {
	return c.signIn(ctx, a.Username, a.Password)
}

// authenticate answers AUTHENTICATE with the mechanisms PLAIN (RFC 4616) and LOGIN.
func (c *conn) authenticate(ctx context.Context, a wire.Authenticate) (result, error) {
	switch a.Mechanism {
	case "PLAIN":
		b := a.Initial
		if !a.HasInitial {
			var err error
			if b, err = c.challenge(""); err != nil {
				return result{}, err
			}
		}
		fields := bytes.Split(b, []byte{0})
		if len(fields) != 3 {
			return result{}, bad("PLAIN has three fields with a NUL between them (RFC 4616)")
		}
		if len(fields[0]) > 0 && !bytes.EqualFold(fields[0], fields[1]) {
			return result{}, no("AUTHORIZATIONFAILED", "nobody signs in here for somebody else")
		}
		return c.signIn(ctx, string(fields[1]), string(fields[2]))
	case "LOGIN":
		user := a.Initial
		if !a.HasInitial {
			var err error
			if user, err = c.challenge("Username:"); err != nil {
				return result{}, err
			}
		}
		name := string(user)
		password, err := c.challenge("Password:")
		if err != nil {
			return result{}, err
		}
		return c.signIn(ctx, name, string(password))
	}
	return result{}, no("CANNOT", "the mechanisms here are PLAIN and LOGIN")
}

// challenge sends a SASL challenge and returns the client's response.
func (c *conn) challenge(text string) ([]byte, error) {
	c.w.Raw("+ " + base64.StdEncoding.EncodeToString([]byte(text)) + "\r\n")
	line, err := c.r.ReadContinuation(wire.MaxSASL)
	if err != nil {
		return nil, reading(err)
	}
	if string(line) == "*" { // RFC 3501 section 6.2.2
		return nil, bad("AUTHENTICATE was given up")
	}
	return wire.DecodeSASL(line)
}

// signIn takes the credentials to the door.
func (c *conn) signIn(ctx context.Context, username, password string) (result, error) {
	user, err := c.s.SignIn(ctx, Credentials{Username: username, Password: password, Address: c.address, ConnectionID: c.id, UserAgent: c.agent})
	if err != nil {
		if fault.KindOf(err) == fault.Unauthenticated {
			if c.refused++; c.refused >= maxRefused {
				return result{}, &hangUp{"too many refused sign-ins"}
			}
		}
		return result{}, err
	}
	c.user, c.box = user, user.Mailbox
	c.log = c.log.With("user", user.User)
	c.r.SetLimits(c.limits())
	c.log.InfoContext(ctx, "IMAP sign-in", "organization", user.Organization)
	c.watchers.Go(func() {
		select {
		case <-user.Done:
			c.nc.End(accept.Goodbye{Text: "your session was ended", Now: true})
		case <-ctx.Done():
		}
	})
	return result{code: "CAPABILITY " + c.capabilities(), text: "welcome"}, nil
}

// startTLS protects the connection. What the client sent behind STARTTLS came unprotected, perhaps from somebody else,
// and is forgotten (CVE-2011-0411).
func (c *conn) startTLS(ctx context.Context) bool {
	if n := c.r.Buffered(); n > 0 {
		c.log.WarnContext(ctx, "bytes behind STARTTLS were thrown away", "bytes", n)
	}
	if c.w.Flush() != nil {
		return false
	}
	if !c.handshaken(ctx, c.nc.StartTLS(ctx, c.s.TLS, c.deadline)) {
		return false
	}
	c.protected = true
	c.reset()
	return true
}

// handshaken reports whether TLS's handshake succeeded.
func (c *conn) handshaken(ctx context.Context, err error) bool {
	if err != nil {
		c.log.DebugContext(ctx, "TLS handshake failed", "error", err)
	}
	return err == nil
}
