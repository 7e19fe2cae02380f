package smtpclient

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What a reply may have. RFC 5321 section 4.5.3.1.5 allows lines of 512 bytes; the longest replies in use are those to EHLO.
const (
	maxReplyLine  = 2 << 10 // bytes of a line with its end
	maxReplyLines = 100
	maxReply      = 16 << 10 // bytes of all lines
)

// What can be wrong with a reply.
var (
	errReplyLine   = errors.New("a line of the reply is too long")
	errReplyLength = errors.New("the reply is too long")
	errNoReply     = errors.New("that is no SMTP reply")
)

// Reply is a server's answer to a command. The zero value is none.
type Reply struct {
	Code int // 200 to 599
	// Status is the enhanced status code (RFC 3463) that the server gave, or one made of Code where it gave none: its class is
	// that of Code. Empty in 3xx.
	Status string
	// Text is what was said behind the code, the enhanced status code included, with a line feed between lines. It is UTF-8 without
	// other control characters.
	Text string
}

// String is the whole reply in one line.
func (r Reply) String() string {
	if r.Text == "" {
		return strconv.Itoa(r.Code)
	}
	lines := strings.Split(r.Text, "\n")
	for i, line := range lines {
		// A status is repeated in every line (RFC 2034 section 4).
		if rest, ok := strings.CutPrefix(line, r.Status+" "); ok && i > 0 && r.Status != "" {
			lines[i] = rest
		}
	}
	return fmt.Sprintf("%d %s", r.Code, strings.Join(lines, " "))
}

func (r Reply) positive() bool { return r.Code/100 == 2 }

// readReply reads the lines of one reply. After an error nothing more can be read.
func readReply(in *bufio.Reader) (Reply, error) {
	var r Reply
	var text []byte
	size := 0
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		if size += len(line); errors.Is(err, bufio.ErrBufferFull) || len(line) > maxReplyLine {
			return Reply{}, errReplyLine
		}
		if err != nil {
			return Reply{}, err
		}
		if n >= maxReplyLines || size > maxReply {
			return Reply{}, errReplyLength
		}
		line = bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'})
		code, said, more, ok := parseReplyLine(line)
		if !ok || n > 0 && code != r.Code {
			return Reply{}, errNoReply
		}
		r.Code = code
		if n > 0 {
			text = append(text, '\n')
		}
		text = appendText(text, said)
		if !more {
			break
		}
	}
	r.Text = string(text)
	r.Status = status(r.Code, r.Text)
	return r, nil
}

// parseReplyLine parts a line without its end. A code alone is let pass (RFC 5321 section 4.2).
func parseReplyLine(line []byte) (code int, text []byte, more, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, nil, false, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	switch {
	case len(line) == 3:
		return code, nil, false, true
	case line[3] == ' ' || line[3] == '-':
		return code, line[4:], line[3] == '-', true
	}
	return 0, nil, false, false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// appendText appends what a server said, without what could be taken for something else in a log or a bounce.
func appendText(dst, said []byte) []byte {
	for len(said) > 0 {
		c, n := utf8.DecodeRune(said)
		if c == utf8.RuneError && n == 1 || c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029' {
			dst = append(dst, '?')
		} else {
			dst = append(dst, said[:n]...)
		}
		said = said[n:]
	}
	return dst
}

// status returns the enhanced status code at the beginning of text if it is of the code's class, or makes one of the code.
func status(code int, text string) string {
	if code/100 == 3 {
		return ""
	}
	if s, _, _ := strings.Cut(text, " "); isStatus(s) && int(s[0]-'0') == code/100 {
		return s
	}
	switch code {
	case 421:
		return "4.3.2"
	case 452:
		return "4.3.1"
	case 454:
		return "4.7.0"
	case 500:
		return "5.5.2"
	case 501, 504, 555:
		return "5.5.4"
	case 502, 503:
		return "5.5.1"
	case 530:
		return "5.7.0"
	case 535:
		return "5.7.8"
	case 551:
		return "5.1.6"
	case 552:
		return "5.2.2"
	case 553:
		return "5.1.3"
	case 556: // RFC 7504
		return "5.1.10"
	}
	return strconv.Itoa(code/100) + ".0.0"
}

// isStatus reports whether s is an enhanced status code: a class, a subject, a detail.
func isStatus(s string) bool {
	class, rest, ok := strings.Cut(s, ".")
	subject, detail, ok2 := strings.Cut(rest, ".")
	return ok && ok2 && (class == "2" || class == "4" || class == "5") && isNumber(subject) && isNumber(detail)
}

// isNumber reports whether s is a number of up to three digits, without a zero before others.
func isNumber(s string) bool {
	if len(s) == 0 || len(s) > 3 || len(s) > 1 && s[0] == '0' {
		return false
	}
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}
