package sieve

import (
	"math"
	"strings"
)

type tokenKind uint8

const (
	endToken tokenKind = iota
	identifierToken
	tagToken
	numberToken
	stringToken
	signToken // one of []{}(),;
)

// token is a word of a script (RFC 5228 section 8.1).
type token struct {
	kind   tokenKind
	at     position
	text   string // in lower case of an identifier, a tag (without its colon); of a string its value
	number int64
}

func (t token) is(sign string) bool { return t.kind == signToken && t.text == sign }

// String returns the token as a message can hold it.
func (t token) String() string {
	switch t.kind {
	case endToken:
		return "the end of the script"
	case tagToken:
		return show(":" + t.text)
	case stringToken:
		return "the string " + show(t.text)
	case numberToken:
		return "a number"
	}
	return show(t.text)
}

// lexer cuts a script into tokens. It takes line feeds without carriage returns too, as editors write them.
type lexer struct {
	src string
	pos int
	// mark is an offset whose position is known.
	mark int
	here position
}

func newLexer(src string) *lexer {
	return &lexer{src: strings.TrimPrefix(src, "\uFEFF"), here: position{1, 1}}
}

// position returns the position of an offset, which may not lie before that of the last call.
func (l *lexer) position(offset int) position {
	for ; l.mark < offset; l.mark++ {
		switch c := l.src[l.mark]; {
		case c == '\n':
			l.here = position{l.here.line + 1, 1}
		case c&0xC0 != 0x80: // not the middle of a character
			l.here.column++
		}
	}
	return l.here
}

func (l *lexer) next() (token, error) {
	if err := l.space(); err != nil {
		return token{}, err
	}
	start := l.pos
	t := token{at: l.position(start)}
	if start == len(l.src) {
		return t, nil
	}
	switch c := l.src[start]; {
	case strings.IndexByte("[]{}(),;", c) >= 0:
		l.pos++
		t.kind, t.text = signToken, l.src[start:l.pos]
	case c == '"':
		return l.quoted(t)
	case c == ':':
		l.pos++
		t.kind, t.text = tagToken, l.identifier()
		if t.text == "" {
			return token{}, t.at.errorf(`":" is followed by no tag's name`)
		}
	case isDigit(c):
		return l.number(t)
	case isLetter(c):
		t.kind, t.text = identifierToken, l.identifier()
		if t.text == "text" && l.pos < len(l.src) && l.src[l.pos] == ':' {
			l.pos++
			return l.multiline(t)
		}
	default:
		return token{}, t.at.errorf("%s can't stand here: words begin with a letter, strings with a quote", show(firstCharacter(l.src[start:])))
	}
	return t, nil
}

// space skips white space and comments.
func (l *lexer) space() error {
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			l.pos++
		case rest[0] == '#':
			l.endOfLine()
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return l.position(l.pos).errorf(`the comment that begins here has no "*/"`)
			}
			l.pos += 2 + end + 2
		default:
			return nil
		}
	}
	return nil
}

// endOfLine moves behind the next line feed.
func (l *lexer) endOfLine() {
	if i := strings.IndexByte(l.src[l.pos:], '\n'); i >= 0 {
		l.pos += i + 1
		return
	}
	l.pos = len(l.src)
}

// identifier reads letters, digits and underscores.
func (l *lexer) identifier() string {
	start := l.pos
	for l.pos < len(l.src) && (isLetter(l.src[l.pos]) || l.pos > start && isDigit(l.src[l.pos])) {
		l.pos++
	}
	return lower(l.src[start:l.pos])
}

func (l *lexer) number(t token) (token, error) {
	t.kind = numberToken
	start := l.pos
	for ; l.pos < len(l.src) && isDigit(l.src[l.pos]); l.pos++ {
		digit := int64(l.src[l.pos] - '0')
		if t.number > (math.MaxInt64-digit)/10 {
			return token{}, t.at.errorf("the number that begins with %s is too large", show(l.src[start:l.pos]))
		}
		t.number = t.number*10 + digit
	}
	if l.pos < len(l.src) {
		shift := 0
		switch l.src[l.pos] | 0x20 {
		case 'k':
			shift = 10
		case 'm':
			shift = 20
		case 'g':
			shift = 30
		}
		if shift > 0 {
			l.pos++
			if t.number > math.MaxInt64>>shift {
				return token{}, t.at.errorf("the number %s is too large", show(l.src[start:l.pos]))
			}
			t.number <<= shift
		}
	}
	if l.pos < len(l.src) && (isLetter(l.src[l.pos]) || isDigit(l.src[l.pos])) {
		return token{}, t.at.errorf("%s is no number: digits are followed by K, M, G or nothing", show(l.src[start:l.pos+1]))
	}
	return t, nil
}

// quoted reads a quoted string. A line break in it is CRLF, however it is written.
func (l *lexer) quoted(t token) (token, error) {
	t.kind = stringToken
	var out strings.Builder
	for i := l.pos + 1; i < len(l.src); i++ {
		c := l.src[i]
		switch {
		case c == '"':
			l.pos = i + 1
			t.text = out.String()
			return t, nil
		case c == '\\' && i+1 < len(l.src) && l.src[i+1] != '\r' && l.src[i+1] != '\n':
			i++
			c = l.src[i]
		case c == '\n' && l.src[i-1] != '\r':
			out.WriteByte('\r')
		}
		out.WriteByte(c)
	}
	return token{}, t.at.errorf("the string that begins here has no closing quote")
}

// multiline reads a string that "text:" begins, from behind the colon.
func (l *lexer) multiline(t token) (token, error) {
	t.kind = stringToken
	for l.pos < len(l.src) && (l.src[l.pos] == ' ' || l.src[l.pos] == '\t') {
		l.pos++
	}
	if rest := l.src[l.pos:]; rest != "" && rest[0] != '#' && rest[0] != '\n' && !strings.HasPrefix(rest, "\r\n") {
		return token{}, t.at.errorf(`the line ends behind "text:", and the text begins with the next`)
	}
	l.endOfLine()
	var out strings.Builder
	for l.pos < len(l.src) {
		start := l.pos
		l.endOfLine()
		line, ended := strings.CutSuffix(l.src[start:l.pos], "\n")
		line = strings.TrimSuffix(line, "\r")
		if line == "." {
			t.text = out.String()
			return t, nil
		}
		if strings.HasPrefix(line, "..") {
			line = line[1:]
		}
		out.WriteString(line)
		if ended {
			out.WriteString("\r\n")
		}
	}
	return token{}, t.at.errorf(`the text that begins here has no end, a line with "." alone`)
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }

// firstCharacter returns the character that s begins with.
func firstCharacter(s string) string {
	for i := range s {
		if i > 0 {
			return s[:i]
		}
	}
	return s
}
