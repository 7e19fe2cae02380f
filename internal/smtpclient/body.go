package smtpclient

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

const (
	// readBuffer is how much of a message is read at once.
	readBuffer = 32 << 10
	// maxHeader is how much of a message is searched for the end of its header.
	maxHeader = 1 << 20
)

// stuffer writes a message as DATA wants it: every line ends with CR LF, no CR or LF stands elsewhere, and a dot at the beginning of a
// line is doubled (RFC 5321 section 4.5.2). The error of out shows in its Flush.
type stuffer struct {
	out  *bufio.Writer
	text bool // in a line: not at its beginning
	cr   bool // the last piece ended in CR, which is not yet written
}

func (s *stuffer) write(p []byte) {
	for len(p) > 0 {
		if s.cr {
			s.endLine()
			if p[0] == '\n' {
				p = p[1:]
			}
			continue
		}
		if !s.text && p[0] == '.' {
			_ = s.out.WriteByte('.')
		}
		i := bytes.IndexAny(p, "\r\n")
		if i < 0 {
			_, _ = s.out.Write(p)
			s.text = true
			return
		}
		_, _ = s.out.Write(p[:i])
		s.text = s.text || i > 0
		if s.cr = p[i] == '\r'; !s.cr {
			s.endLine()
		}
		p = p[i+1:]
	}
}

func (s *stuffer) endLine() {
	_, _ = s.out.WriteString("\r\n")
	s.text, s.cr = false, false
}

// end ends the last line, where nothing did. The dot that ends the message is not written.
func (s *stuffer) end() {
	if s.text || s.cr {
		s.endLine()
	}
}

// readAll reads size bytes of body. Fewer are an error: what is half must not be taken for a message.
func readAll(body io.ReaderAt, size int64) ([]byte, error) {
	b := make([]byte, size)
	n, err := body.ReadAt(b, 0)
	if int64(n) == size {
		return b, nil
	}
	return nil, &BodyError{short(err)}
}

// short is the error of a body that ended too early.
func short(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// pieces reads size bytes of body, a piece at a time.
func pieces(body io.ReaderAt, size int64, use func([]byte) error) error {
	b := make([]byte, min(size, readBuffer))
	for at := int64(0); at < size; {
		p := b[:min(size-at, readBuffer)]
		n, err := body.ReadAt(p, at)
		if n < len(p) {
			return &BodyError{short(err)}
		}
		if err := use(p); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

var (
	errEightBit  = errors.New("8-bit")
	errHeaderEnd = errors.New("the end of the header")
)

// isEightBit reports whether a body has bytes beyond ASCII.
func isEightBit(body io.ReaderAt, size int64) (bool, error) {
	err := pieces(body, size, func(p []byte) error {
		if !isASCII(p) {
			return errEightBit
		}
		return nil
	})
	if errors.Is(err, errEightBit) {
		return true, nil
	}
	return false, err
}

// isEightBitHeader reports whether a message's header has bytes beyond ASCII. One that does not end within maxHeader counts as one that has.
func isEightBitHeader(body io.ReaderAt, size int64) (bool, error) {
	var text, cr bool // as in stuffer: this is where the header ends for the server
	err := pieces(body, min(size, maxHeader), func(p []byte) error {
		for _, b := range p {
			switch {
			case b >= 0x80:
				return errEightBit
			case b == '\n' && cr:
				cr = false
			case b != '\r' && b != '\n':
				text, cr = true, false
			case !text:
				return errHeaderEnd
			default:
				text, cr = false, b == '\r'
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, errEightBit):
		return true, nil
	case errors.Is(err, errHeaderEnd):
		return false, nil
	}
	return size > maxHeader, err
}

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// hasWholeLines reports whether b can be sent as it is: only CR LF ends its lines, and its last one too.
func hasWholeLines(b []byte) bool {
	n := bytes.Count(b, []byte("\r\n"))
	return bytes.HasSuffix(b, []byte("\r\n")) && bytes.Count(b, []byte{'\n'}) == n && bytes.Count(b, []byte{'\r'}) == n
}
