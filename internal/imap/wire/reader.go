package wire

import (
	"bufio"
	"errors"
	"io"
	"strconv"
)

// Reader reads commands from a client. It is not safe for concurrent use.
type Reader struct {
	src    *bufio.Reader
	limits Limits
	invite func() error

	line []byte // the current line without its line break
	pos  int    // what of line has been parsed
	tail []byte // the last bytes of a line that was too long
	err  error  // the first thing that was wrong with the command

	lineBytes    int   // of all lines of the command
	literalBytes int   // of all literals of the command that were kept
	skipped      int64 // of what was thrown away of the command
	depth        int   // of nesting
	keys         int   // of SEARCH
	streamed     *Literal
}

// NewReader reads commands from src. invite is called when a literal is to be invited: it sends a continuation request
// with everything that waits before it, and returns when that is on its way.
func NewReader(src io.Reader, limits Limits, invite func() error) *Reader {
	return &Reader{src: bufio.NewReaderSize(src, 4<<10), limits: limits, invite: invite}
}

// SetLimits changes the limits, from the next command on.
func (r *Reader) SetLimits(l Limits) { r.limits = l }

// Buffered returns how many bytes of the client wait to be parsed. Those that wait behind a STARTTLS were not protected.
func (r *Reader) Buffered() int { return r.src.Buffered() }

// SyntaxError is what is wrong with a command that could be read to its end.
type SyntaxError struct {
	// Tag is the command's tag, "*" where it has none that could be read.
	Tag string
	// Code is the response code that says what it was, without brackets ("TOOBIG"), or empty.
	Code string
	// No says that the command is well-formed but too big or unknown in a parameter, so that NO answers it and not BAD.
	No bool
	// Message says what was wrong. It repeats nothing of what the client sent but single characters and keywords.
	Message string
}

// Error returns the message.
func (e *SyntaxError) Error() string { return "IMAP command: " + e.Message }

// ErrTooMuch says that a client sent so much that belongs to no command that the connection must be given up.
var ErrTooMuch = errors.New("the client sent more than the server is willing to skip")

// errLine says that a line was longer than allowed. It was read to its end.
var errLine = errors.New("line too long")

// ReadCommand reads the next command. It returns a *SyntaxError for one that can't be understood, ErrTooMuch, or the
// error of the source. The strings of the command are its own. If the command is an Append, its literal waits: Literal and
// Finish must be called before the next ReadCommand.
func (r *Reader) ReadCommand() (Command, error) {
	if cap(r.line) > 8<<10 { // one long command must not cost an idle connection its memory
		r.line = nil
	}
	r.err, r.lineBytes, r.literalBytes, r.skipped, r.depth, r.keys, r.streamed = nil, 0, 0, 0, 0, 0, nil
	err := r.readLine()
	if err != nil && !errors.Is(err, errLine) {
		return Command{}, err
	}
	cmd := Command{Tag: "*"}
	if tag, ok := r.tag(); ok {
		cmd.Tag = tag
	}
	switch {
	case err != nil:
		r.err = &SyntaxError{No: false, Code: "TOOBIG", Message: "the command line is longer than " + strconv.Itoa(r.limits.Line) + " bytes"}
	case cmd.Tag == "*":
		r.fail("a command begins with a tag and a space")
	default:
		r.command(&cmd)
	}
	if r.err == nil {
		return cmd, nil
	}
	var syntax *SyntaxError
	if !errors.As(r.err, &syntax) {
		return Command{}, r.err
	}
	syntax.Tag = cmd.Tag
	if err := r.skipRest(); err != nil {
		return Command{}, err
	}
	return Command{Tag: cmd.Tag, Name: cmd.Name}, syntax
}

// ReadContinuation reads one line of at most limit bytes that is no command: the answer to a continuation request of
// AUTHENTICATE, or the DONE of IDLE. A longer line is read to its end and gives a *SyntaxError. The bytes are valid until
// the next call.
func (r *Reader) ReadContinuation(limit int) ([]byte, error) {
	old := r.limits.Line
	r.limits.Line, r.lineBytes, r.skipped = limit, 0, 0
	err := r.readLine()
	r.limits.Line = old
	if errors.Is(err, errLine) {
		return nil, &SyntaxError{Tag: "*", Code: "TOOBIG", Message: "the line is longer than " + strconv.Itoa(limit) + " bytes"}
	}
	return r.line, err
}

// readLine reads the next line of the command into r.line. Where it is too long, it is read to its end all the same,
// r.tail is its end, and the error is errLine.
func (r *Reader) readLine() error {
	r.line, r.pos, r.tail = r.line[:0], 0, nil
	tooLong := false
	for {
		part, err := r.src.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) && (len(part) > 0 || len(r.line) > 0) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if err == nil { // RFC 3501 asks for CR LF; a lone LF ends a line too, since nothing else could be meant by it
			part = part[:len(part)-1]
			if n := len(part); n > 0 && part[n-1] == '\r' {
				part = part[:n-1]
			} else if n == 0 && len(r.line) > 0 && !tooLong && r.line[len(r.line)-1] == '\r' {
				r.line = r.line[:len(r.line)-1]
			}
		}
		r.lineBytes += len(part)
		if tooLong || r.lineBytes > r.limits.Line {
			tooLong = true
			r.tail = append(r.tail, part[max(0, len(part)-maxLiteralText):]...)
			r.tail = r.tail[max(0, len(r.tail)-maxLiteralText):]
			if r.skipped += int64(len(part)); r.skipped > r.limits.Skip {
				return ErrTooMuch
			}
		} else {
			r.line = append(r.line, part...)
		}
		if err == nil {
			break
		}
	}
	if tooLong {
		if n := len(r.tail); n > 0 && r.tail[n-1] == '\r' {
			r.tail = r.tail[:n-1]
		}
		return errLine
	}
	return nil
}

// skipRest reads what is left of a refused command: the literals that its lines announce without waiting for an
// invitation. A literal that was to be invited is not coming, since the client hears of the refusal first.
func (r *Reader) skipRest() error {
	for {
		end := r.line
		if r.tail != nil {
			end = r.tail
		}
		n, sync, ok := literalAtEnd(end)
		if !ok || sync {
			return nil
		}
		if n > r.limits.Skip-r.skipped {
			return ErrTooMuch
		}
		if err := r.skip(n); err != nil {
			return err
		}
		if err := r.readLine(); err != nil && !errors.Is(err, errLine) {
			return err
		}
	}
}

func (r *Reader) skip(n int64) error {
	r.skipped += n
	for n > 0 {
		m, err := r.src.Discard(int(min(n, 1<<20)))
		if n -= int64(m); err != nil {
			return unexpected(err)
		}
	}
	return nil
}

// fail notes what is wrong with the command; the first remark counts.
func (r *Reader) fail(message string) {
	if r.err == nil {
		r.err = &SyntaxError{Message: message}
	}
}

// refuse is fail for what is well-formed and still not accepted: NO with a response code.
func (r *Reader) refuse(code, message string) {
	if r.err == nil {
		r.err = &SyntaxError{No: true, Code: code, Message: message}
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
