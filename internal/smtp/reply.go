package smtp

import (
	"fmt"
	"strings"
)

// reply is an answer to a command.
type reply struct {
	code     int
	enhanced string // RFC 3463; "" in the greeting, EHLO and 3xx, which have none
	text     string // one line for each line feed
}

func (r reply) String() string { return fmt.Sprintf("%d %s %s", r.code, r.enhanced, r.text) }

// maxReplyText keeps a line within the 512 bytes of RFC 5321 section 4.5.3.1.5.
const maxReplyText = 480

// appendReply appends the lines of r. What it quotes from the client loses all that could be taken for a line of ours or for
// another character set.
func appendReply(dst []byte, r reply) []byte {
	lines := strings.Split(r.text, "\n")
	for i, line := range lines {
		sep := byte('-')
		if i == len(lines)-1 {
			sep = ' '
		}
		dst = fmt.Appendf(dst, "%d%c", r.code, sep)
		if r.enhanced != "" {
			dst = append(dst, r.enhanced...)
			dst = append(dst, ' ')
		}
		for j := range min(len(line), maxReplyText) {
			c := line[j]
			if c < ' ' || c >= 127 {
				c = '?'
			}
			dst = append(dst, c)
		}
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// say queues a reply.
func (c *session) say(r reply) {
	// A write that fails shows at the next read.
	_, _ = c.wire.out.Write(appendReply(nil, r))
}

// sayf queues a one-line reply.
func (c *session) sayf(code int, enhanced, format string, args ...any) {
	c.say(reply{code, enhanced, fmt.Sprintf(format, args...)})
}
