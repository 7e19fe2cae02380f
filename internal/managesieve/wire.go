package managesieve

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
)

// The limits of what is read. A line holds no script: a quoted string has 1,024 bytes at most (RFC 5804 section 4), and a response of SASL
// fewer than maxSecret.
const (
	maxLine     = 16 << 10
	maxSecret   = 12 << 10 // of a literal before sign-in
	maxSkipped  = 16 << 20 // of a literal that is read only to be refused
	maxLiterals = 3        // of a command
	maxWords    = 8        // of a command
)

var (
	errTooMuch = errors.New("more than is read was sent")
	errBareEnd = errors.New("a CR or LF stands alone")
	// errAsks is about {n} without its plus: whether the literal follows, only the client knows.
	errAsks = errors.New("a literal waits to be asked for")
)

// syntaxError is about a command that was read to its end: the next one can be read.
type syntaxError struct{ text string }

// Error returns the text.
func (e *syntaxError) Error() string { return e.text }

// kind is what a word is.
type kind uint8

const (
	atom kind = iota
	number
	text
)

// word is a part of a command, as it was said; a string without quotes or announcement.
type word struct {
	kind kind
	text []byte
	// size is the number's value, or how many bytes the string has: one that is larger than may be kept has no text.
	size int64
}

// whole reports whether a string was kept.
func (w *word) whole() bool { return w.size == int64(len(w.text)) }

// reader reads commands. It never keeps more than a line and maxLiterals literals.
type reader struct {
	in *bufio.Reader
	// literal is the largest one that is kept, skip the largest that is read.
	literal, skip int64
}

func newReader(in io.Reader) *reader {
	return &reader{in: bufio.NewReaderSize(in, maxLine), literal: maxSecret, skip: maxSecret}
}

// words reads a command, or a response to a challenge. After a *syntaxError the next one can be read, after another error nothing.
func (r *reader) words() ([]word, error) {
	var words []word
	var wrong error
	for literals := 0; ; literals++ {
		line, err := r.line()
		if err != nil {
			return nil, err
		}
		rest, size, announced := announcement(line)
		if wrong == nil {
			words, wrong = split(words, rest)
		}
		if !announced {
			if wrong != nil && asks(line) {
				wrong = errAsks
			}
			return words, wrong
		}
		if wrong == nil && len(rest) > 0 && rest[len(rest)-1] != ' ' {
			wrong = &syntaxError{"a blank is missing in front of a literal"}
		}
		if literals == maxLiterals {
			return nil, errTooMuch
		}
		w, err := r.readLiteral(size)
		if err != nil {
			return nil, err
		}
		words = append(words, w)
		if next, err := r.in.Peek(1); err != nil {
			return nil, err
		} else if wrong == nil && next[0] != ' ' && next[0] != '\r' {
			wrong = &syntaxError{"a blank is missing behind a literal"}
		}
	}
}

// line reads a line without its end. It is valid until the next read.
func (r *reader) line() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errTooMuch
	}
	if err != nil {
		return nil, err
	}
	line, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || bytes.IndexByte(line, '\r') >= 0 {
		return nil, errBareEnd
	}
	return line, nil
}

func (r *reader) readLiteral(size int64) (word, error) {
	w := word{kind: text, size: size}
	switch {
	case size > max(r.literal, r.skip):
		return w, errTooMuch
	case size > r.literal:
		_, err := io.CopyN(io.Discard, r.in, size)
		return w, err
	}
	w.text = make([]byte, size)
	_, err := io.ReadFull(r.in, w.text)
	return w, err
}

// announcement cuts {n+} off the end of a line.
func announcement(line []byte) (rest []byte, size int64, ok bool) {
	start := bytes.LastIndexByte(line, '{')
	if start < 0 {
		return line, 0, false
	}
	digits, ok := bytes.CutSuffix(line[start+1:], []byte("+}"))
	if !ok || !isNumber(digits) {
		return line, 0, false
	}
	size, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		size = 1<<63 - 1
	}
	return line[:start], size, true
}

// asks reports whether a line ends in {n}.
func asks(line []byte) bool {
	start := bytes.LastIndexByte(line, '{')
	digits, closed := bytes.CutSuffix(line, []byte{'}'})
	return start >= 0 && closed && isNumber(digits[start+1:])
}

// split adds the words of a piece of a command.
func split(words []word, line []byte) ([]word, error) {
	for {
		line = bytes.TrimLeft(line, " ")
		if len(line) == 0 {
			return words, nil
		}
		if len(words) == maxWords {
			return words, &syntaxError{"that are too many words"}
		}
		w, n, err := first(line)
		if err != nil {
			return words, err
		}
		if line = line[n:]; len(line) > 0 && line[0] != ' ' {
			return words, &syntaxError{"a blank is missing between two words"}
		}
		words = append(words, w)
	}
}

// first reads the word that a line begins with, and how many bytes it takes there.
func first(line []byte) (w word, n int, err error) {
	if line[0] == '"' {
		return quoted(line)
	}
	n = len(line)
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		n = i
	}
	w.text = bytes.Clone(line[:n])
	switch {
	case isNumber(w.text):
		w.kind = number
		w.size, err = strconv.ParseInt(string(w.text), 10, 64)
		if err != nil || w.size >= 1<<32 { // RFC 5804 section 4
			return w, 0, &syntaxError{"a number is too large"}
		}
	case bytes.ContainsAny(w.text, `"{}()\`):
		return w, 0, &syntaxError{"a word is neither a string nor a name: strings are quoted, or announced as {size+} at the end of a line"}
	}
	return w, n, nil
}

func quoted(line []byte) (w word, n int, err error) {
	w.kind = text
	w.text = []byte{}
	for i := 1; i < len(line); i++ {
		c := line[i]
		switch c {
		case '"':
			w.size = int64(len(w.text))
			return w, i + 1, nil
		case 0:
			return w, 0, &syntaxError{"a quoted string holds a NUL"}
		case '\\':
			if i++; i == len(line) || line[i] != '"' && line[i] != '\\' {
				return w, 0, &syntaxError{`in a quoted string \ stands in front of " and \ only`}
			}
			c = line[i]
		}
		w.text = append(w.text, c)
	}
	return w, 0, &syntaxError{"a quoted string does not end"}
}

func isNumber(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// appendString writes a string, quoted where it can be.
func appendString[T string | []byte](b []byte, s T) []byte {
	plain := len(s) <= 1024
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] != 0 && s[i] != '\r' && s[i] != '\n'
	}
	if !plain {
		b = strconv.AppendInt(append(b, '{'), int64(len(s)), 10)
		return append(append(b, "}\r\n"...), s...)
	}
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
