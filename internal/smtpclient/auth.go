package smtpclient

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
)

// maxInitial is how long an initial response may be beside AUTH in a line of 512 bytes (RFC 5321 section 4.5.3.1.4).
const maxInitial = 490

// Auth signs in (RFC 4954), by PLAIN or LOGIN, whichever the server offers. It refuses to without TLS.
func (c *Client) Auth(ctx context.Context, username, password string) error {
	if c.err != nil {
		return c.err
	}
	if c.tls == nil {
		return &Refusal{"5.7.11", "a password is sent under TLS only"}
	}
	defer c.during(ctx)()
	offered := strings.Fields(strings.ToUpper(c.Parameters("AUTH")))
	var r Reply
	var err error
	switch {
	case slices.Contains(offered, "PLAIN"):
		r, err = c.auth("PLAIN", true, "\x00"+username+"\x00"+password)
	case slices.Contains(offered, "LOGIN"):
		r, err = c.auth("LOGIN", false, username, password)
	default:
		return &Refusal{"5.7.4", "the server offers no way to sign in with a password that is known here"}
	}
	if err == nil && r.Code != 235 {
		err = &Error{During: "AUTH", Reply: r}
	}
	return err
}

// auth gives the responses in turn, the first with the command where the mechanism has it so and it is short.
func (c *Client) auth(mechanism string, initial bool, responses ...string) (Reply, error) {
	line := "AUTH " + mechanism
	if first := base64.StdEncoding.EncodeToString([]byte(responses[0])); initial && len(first) <= maxInitial {
		line += " " + first
		responses = responses[1:]
	}
	r, err := c.command("AUTH", line, c.timeouts.Command)
	for ; err == nil && r.Code == 334 && len(responses) > 0; responses = responses[1:] {
		r, err = c.command("AUTH", base64.StdEncoding.EncodeToString([]byte(responses[0])), c.timeouts.Command)
	}
	if err == nil && r.Code/100 <= 3 && r.Code != 235 { // more is asked than the mechanism has
		err = c.refused("AUTH", r)
	}
	return r, err
}
