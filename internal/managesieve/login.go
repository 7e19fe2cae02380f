package managesieve

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/accept"
	"github.com/pennypost/pennypost/internal/fault"
)

// capability answers CAPABILITY.
func (c *conn) capability(context.Context, []word) reply {
	c.capabilities()
	return ok("", "CAPABILITY done")
}

// capabilities writes what the connection can do in its state (RFC 5804 section 1.7).
func (c *conn) capabilities() {
	line := func(name string, value ...string) {
		b := appendString(c.w.AvailableBuffer(), name)
		for _, v := range value {
			b = appendString(append(b, ' '), v)
		}
		_, _ = c.w.Write(append(b, "\r\n"...)) // the writer keeps the error until the next read
	}
	line("IMPLEMENTATION", "Pennypost")
	line("VERSION", "1.0")
	line("SIEVE", strings.Join(c.s.Scripts.Extensions(), " "))
	line("MAXREDIRECTS", strconv.Itoa(c.s.Scripts.Limits.Redirects))
	line("LANGUAGE", "en")
	line("UNAUTHENTICATE")
	if c.protected {
		line("SASL", "PLAIN LOGIN")
	} else {
		line("SASL", "")
		line("STARTTLS")
	}
	if c.user != nil {
		line("OWNER", c.user.Owner)
	}
}

// protect answers STARTTLS.
func (c *conn) protect(context.Context, []word) reply {
	if c.protected {
		return no("", "TLS is on already")
	}
	return reply{status: "OK", text: "begin TLS now", startTLS: true}
}

// authenticate answers AUTHENTICATE with the mechanisms PLAIN (RFC 4616) and LOGIN, like the IMAP face.
func (c *conn) authenticate(ctx context.Context, args []word) reply {
	switch {
	case c.user != nil:
		return no("", "you are signed in already")
	case !c.protected:
		return no("ENCRYPT-NEEDED", "say STARTTLS first")
	}
	response := func(challenge string) (string, *reply) {
		if len(args) == 2 { // the client's initial response
			w := args[1]
			args = args[:1]
			return decode(w)
		}
		return c.challenge(ctx, challenge)
	}
	switch strings.ToUpper(string(args[0].text)) {
	case "PLAIN":
		r, refusal := response("")
		if refusal != nil {
			return *refusal
		}
		fields := strings.Split(r, "\x00")
		switch {
		case len(fields) != 3:
			return misunderstood("PLAIN has three fields with a NUL between them (RFC 4616)")
		case fields[0] != "" && !strings.EqualFold(fields[0], fields[1]):
			return no("", "nobody signs in here for somebody else")
		}
		return c.signIn(ctx, fields[1], fields[2])
	case "LOGIN":
		user, refusal := response("Username:")
		if refusal != nil {
			return *refusal
		}
		password, refusal := response("Password:")
		if refusal != nil {
			return *refusal
		}
		return c.signIn(ctx, user, password)
	}
	return no("", "the mechanisms here are PLAIN and LOGIN")
}

// challenge sends a SASL challenge and returns the client's response.
func (c *conn) challenge(ctx context.Context, challenge string) (string, *reply) {
	_, _ = c.w.Write(append(appendString(nil, base64.StdEncoding.EncodeToString([]byte(challenge))), "\r\n"...)) // as in capabilities
	words, err := c.read()
	var syntax *syntaxError
	switch {
	case errors.As(err, &syntax):
		r := misunderstood(syntax.text)
		return "", &r
	case err != nil:
		c.lost(ctx, err)
		return "", &reply{last: true}
	case len(words) != 1 || words[0].kind != text:
		r := misunderstood("the response to a challenge is a string")
		return "", &r
	case string(words[0].text) == "*": // RFC 5804 section 2.1
		r := no("", "AUTHENTICATE was given up")
		return "", &r
	}
	return decode(words[0])
}

func decode(w word) (string, *reply) {
	b, err := base64.StdEncoding.Strict().DecodeString(string(w.text))
	if err != nil || !w.whole() {
		r := misunderstood("a response of SASL is base64")
		return "", &r
	}
	return string(b), nil
}

// signIn takes the credentials to the door.
func (c *conn) signIn(ctx context.Context, username, password string) reply {
	user, err := c.s.SignIn(ctx, Credentials{Username: username, Password: password, Address: c.address, ConnectionID: c.id})
	if err != nil {
		if fault.KindOf(err) == fault.Unauthenticated {
			if c.refused++; c.refused >= maxRefused {
				return reply{status: "BYE", text: "too many refused sign-ins"}
			}
		}
		return c.done(ctx, err, "")
	}
	c.user = user
	c.r.literal, c.r.skip = max(maxSecret, int64(c.s.Scripts.Limits.Bytes)), maxSkipped
	watch, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	c.watchers.Go(func() {
		defer close(ended)
		select {
		case <-user.Done:
			c.nc.End(accept.Goodbye{Text: "your session was ended", Now: true})
		case <-watch.Done():
		}
	})
	c.signOut = func() {
		end()
		<-ended // so that it doesn't take our own Close for the end
	}
	c.log.InfoContext(ctx, "ManageSieve sign-in", "user", user.Principal.ID, "organization", user.Principal.Organization)
	return ok("", "welcome")
}

// unauthenticate answers UNAUTHENTICATE (RFC 5804 section 2.14): the connection is as it was before the sign-in, TLS stays.
func (c *conn) unauthenticate(context.Context, []word) reply {
	c.forgetUser()
	c.r.literal, c.r.skip = maxSecret, maxSecret
	c.deadline = time.Now().Add(c.s.SignInTime)
	return ok("", "signed out")
}

func (c *conn) forgetUser() {
	if c.user == nil {
		return
	}
	c.signOut()
	c.user.Close()
	c.user = nil
}
