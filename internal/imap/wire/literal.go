package wire

import (
	"bytes"
	"errors"
	"io"
	"strconv"
)

// maxLiteralText is the longest text that announces a literal: "{", 19 digits, "+", "}", and a CR.
const maxLiteralText = 24

// literalAtEnd reads the announcement of a literal at the end of a line: {n} or {n+} (RFC 7888). A number that does not
// fit is the largest one.
func literalAtEnd(line []byte) (n int64, sync, ok bool) {
	end := len(line) - 1
	if end < 2 || line[end] != '}' {
		return 0, false, false
	}
	end--
	sync = line[end] != '+'
	if !sync {
		end--
	}
	i := end
	for i >= 0 && '0' <= line[i] && line[i] <= '9' {
		i--
	}
	if i < 0 || i == end || line[i] != '{' {
		return 0, false, false
	}
	n, err := strconv.ParseInt(string(line[i+1:end+1]), 10, 64)
	if err != nil {
		n = 1<<63 - 1
	}
	return n, sync, true
}

// Literal is the literal of an APPEND, which is streamed.
type Literal struct {
	// Size is how many bytes it has.
	Size int64
	// Binary says that it is a literal8 (RFC 3516), in which NUL may stand.
	Binary bool

	sync bool
	r    *Reader
	left int64
	open bool
}

// announced reads the announcement of a literal at r.pos, which must end the line.
func (r *Reader) announced() (size int64, sync, ok bool) {
	n, sync, ok := literalAtEnd(r.line[r.pos:])
	if !ok || bytes.LastIndexByte(r.line, '{') != r.pos {
		r.fail("a literal is announced as {size} at the end of a line")
		return 0, false, false
	}
	return n, sync, true
}

// literal reads a literal into memory, inviting it if it waits for that.
func (r *Reader) literal() string {
	size, sync, ok := r.announced()
	if !ok {
		return ""
	}
	if size > int64(r.limits.Literal) || size > int64(r.limits.Literals-r.literalBytes) {
		r.refuse("TOOBIG", "a literal here may have "+strconv.Itoa(r.limits.Literal)+" bytes, and all of a command "+strconv.Itoa(r.limits.Literals))
		return ""
	}
	r.literalBytes += int(size)
	if sync {
		if err := r.invite(); err != nil {
			r.err = err
			return ""
		}
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r.src, b); err != nil {
		r.err = unexpected(err)
		return ""
	}
	r.nextLine()
	for _, c := range b {
		if c == 0 {
			r.fail("a literal must not hold NUL")
			return ""
		}
	}
	return string(b)
}

// nextLine goes on to the line behind a literal.
func (r *Reader) nextLine() {
	switch err := r.readLine(); {
	case err == nil:
	case errors.Is(err, errLine):
		r.err = &SyntaxError{Code: "TOOBIG", Message: "the command is longer than " + strconv.Itoa(r.limits.Line) + " bytes"}
	default:
		r.err = unexpected(err)
	}
}

// stream leaves a literal to the caller of ReadCommand.
func (r *Reader) stream() *Literal {
	binary := r.peek() == '~'
	if binary {
		r.pos++
	}
	if r.peek() != '{' {
		r.fail("a message is given as a literal")
		return nil
	}
	size, sync, ok := r.announced()
	if !ok {
		return nil
	}
	r.streamed = &Literal{Size: size, Binary: binary, sync: sync, r: r, left: size}
	return r.streamed
}

// Accept invites the literal, if it waits for that, and makes it readable. After it Finish must be called.
func (l *Literal) Accept() error {
	l.open = true
	if l.sync {
		return l.r.invite()
	}
	return nil
}

// Read reads of the literal. It returns io.EOF at its end and io.ErrUnexpectedEOF where the connection ends first.
func (l *Literal) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	if !l.open {
		return 0, errors.New("read of a literal that was not accepted")
	}
	n, err := l.r.src.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, unexpected(err)
}

// Finish reads the command to its end: what is left of an accepted literal, or all of a refused one that comes without
// invitation. It returns ErrTooMuch where a refused literal is too big to be read, a *SyntaxError without tag where
// something follows the literal, or the error of the source.
func (l *Literal) Finish() error {
	r := l.r
	r.streamed = nil
	if !l.open && l.sync {
		return nil
	}
	if !l.open && l.Size > r.limits.Skip {
		return ErrTooMuch
	}
	if err := r.skip(l.left); err != nil {
		return err
	}
	l.left = 0
	if err := r.readLine(); err != nil && !errors.Is(err, errLine) {
		return unexpected(err)
	}
	if len(r.line) == 0 && r.tail == nil {
		return nil
	}
	r.skipped = 0
	if err := r.skipRest(); err != nil {
		return err
	}
	return &SyntaxError{Message: "nothing may follow the message of APPEND"}
}
