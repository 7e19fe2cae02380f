package smtpclient

import (
	"context"
	"strings"
)

// Ask asks whether the server takes mail from a reverse-path (empty for the null one) for an address, without sending any. It returns the
// answer to RCPT, or that to MAIL where it was no. Reset makes the connection ready for the next message.
func (c *Client) Ask(ctx context.Context, from, to string) (Reply, error) {
	if c.err != nil {
		return Reply{}, c.err
	}
	if strings.ContainsFunc(from+to, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return Reply{}, &Refusal{"5.1.3", "an address has a control character"}
	}
	mail := "MAIL FROM:<" + from + ">"
	if !isASCII(from + to) {
		if !c.Has("SMTPUTF8") {
			return Reply{}, &Refusal{"5.6.7", "an address is beyond ASCII, which the server does not take"}
		}
		mail += " SMTPUTF8"
	}
	defer c.during(ctx)()
	r, err := c.command("MAIL", mail, c.timeouts.Command)
	if err != nil || !r.positive() {
		return r, err
	}
	return c.command("RCPT", "RCPT TO:<"+to+">", c.timeouts.Command)
}
