package dkim

import (
	"bytes"
	"hash"

	"github.com/pennypost/pennypost/internal/message"
)

// The canonicalisations (RFC 6376 section 3.4). A line break is CRLF, or LF alone; a CR without LF is a character like any other.

// sink hashes what is written to it, up to a limit, and counts it all. Small pieces are gathered.
type sink struct {
	hash  hash.Hash
	limit int64 // of bytes to be hashed; -1 for none
	total int64 // bytes that were written
	held  []byte
}

func newSink(h hash.Hash, limit int64) *sink {
	return &sink{hash: h, limit: limit, held: make([]byte, 0, 1024)}
}

func (s *sink) write(p []byte) {
	if s.limit >= 0 {
		p, s.total = p[:min(int64(len(p)), max(s.limit-s.total, 0))], s.total+int64(len(p))
	} else {
		s.total += int64(len(p))
	}
	if len(s.held)+len(p) > cap(s.held) {
		s.flush()
		if len(p) > cap(s.held)/2 {
			s.hash.Write(p)
			return
		}
	}
	s.held = append(s.held, p...)
}

func (s *sink) flush() {
	s.hash.Write(s.held)
	s.held = s.held[:0]
}

func (s *sink) sum() []byte {
	s.flush()
	return s.hash.Sum(nil)
}

var (
	crlf  = []byte("\r\n")
	space = []byte(" ")
	colon = []byte(":")
)

// fork returns a sink to which the same was written, of SHA-256, which can be cloned.
func (s *sink) fork() *sink {
	s.flush()
	clone, err := s.hash.(hash.Cloner).Clone()
	if err != nil {
		panic("dkim: SHA-256 can't be cloned: " + err.Error())
	}
	return newSink(clone, -1)
}

// writeBody writes a body as simple (section 3.4.3) or relaxed (section 3.4.4) makes it. What needs no change is written in long pieces.
func writeBody(s *sink, body []byte, relaxed bool) {
	body = body[:bodyEnd(body, relaxed)]
	if len(body) == 0 {
		if !relaxed {
			s.write(crlf)
		}
		return
	}
	start := 0 // of what was not written yet
	for pos := 0; pos < len(body); {
		end, next, broken := len(body), len(body), false
		if i := bytes.IndexByte(body[pos:], '\n'); i >= 0 {
			end, next = pos+i, pos+i+1
			if broken = end == pos || body[end-1] != '\r'; !broken {
				end--
			}
		}
		switch line := body[pos:end]; {
		case relaxed && !isSqueezed(line):
			s.write(body[start:pos])
			writeSqueezed(s, line)
			if next > end {
				s.write(crlf)
			}
			start = next
		case broken:
			s.write(body[start:end])
			s.write(crlf)
			start = next
		}
		pos = next
	}
	s.write(body[start:])
	s.write(crlf)
}

// bodyEnd returns where the last line that counts ends, without its line break.
func bodyEnd(body []byte, relaxed bool) int {
	i := len(body)
	for i > 0 {
		switch c := body[i-1]; {
		case c == '\n':
			if i--; i > 0 && body[i-1] == '\r' {
				i--
			}
		case relaxed && (c == ' ' || c == '\t'):
			i--
		default:
			return i
		}
	}
	return 0
}

var twoSpaces = []byte("  ")

// isSqueezed reports whether writeSqueezed would change nothing of a line.
func isSqueezed(line []byte) bool {
	i := bytes.IndexByte(line, ' ')
	return bytes.IndexByte(line, '\t') < 0 && (i < 0 || line[len(line)-1] != ' ' && !bytes.Contains(line[i:], twoSpaces))
}

// writeSqueezed writes a line with one space for each run of white space, and none at its end.
func writeSqueezed(s *sink, line []byte) {
	start := 0 // of what was not written yet
	for i := 0; i < len(line); i++ {
		if line[i] != ' ' && line[i] != '\t' {
			continue
		}
		end := i + 1
		for end < len(line) && (line[end] == ' ' || line[end] == '\t') {
			end++
		}
		if line[i] == ' ' && end == i+1 && end < len(line) {
			continue
		}
		s.write(line[start:i])
		if end < len(line) {
			s.write(space)
		}
		start, i = end, end-1
	}
	s.write(line[start:])
}

// writeField writes a field with its line break (sections 3.4.1 and 3.4.2).
func writeField(s *sink, header []byte, f message.Field, relaxed bool) {
	if relaxed {
		writeRelaxedName(s, f.Name)
		(&unfolder{sink: s}).write(f.Raw)
		s.write(crlf)
		return
	}
	writeSimple(s, header[f.Start:f.End])
	if header[f.End-1] != '\n' {
		s.write(crlf)
	}
}

// writeSigned writes a signature field as it is signed itself: without the value of b= and without a line break at its end.
func writeSigned(s *sink, header []byte, f message.Field, relaxed bool) {
	before, after := signed(f.Raw)
	if relaxed {
		writeRelaxedName(s, f.Name)
		u := unfolder{sink: s}
		u.write(before)
		u.write(after)
		return
	}
	writeSimple(s, header[f.Start:f.End-len(f.Raw)])
	writeSimple(s, before)
	writeSimple(s, after)
}

// writeSimple writes what is not to be changed but for its line breaks.
func writeSimple(s *sink, p []byte) {
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.write(p)
			return
		}
		s.write(bytes.TrimSuffix(p[:i], crlf[:1]))
		s.write(crlf)
		p = p[i+1:]
	}
}

func writeRelaxedName(s *sink, name []byte) {
	s.write(bytes.ToLower(name))
	s.write(colon)
}

// unfolder writes the value of a field as relaxed makes it, in pieces as it comes.
type unfolder struct {
	*sink
	begun, gap bool // something was written; white space came after it
}

func (u *unfolder) write(p []byte) {
	for pos := 0; pos < len(p); {
		switch c := p[pos]; {
		case c == ' ' || c == '\t':
			u.gap = true
			pos++
		case c == '\n' || c == '\r' && pos+1 < len(p) && p[pos+1] == '\n':
			pos++
		default:
			word := pos
			for pos < len(p) && !isSpace(p[pos]) {
				pos++
			}
			if pos == word { // a CR alone
				pos++
			}
			if u.gap && u.begun {
				u.sink.write(space)
			}
			u.sink.write(p[word:pos])
			u.begun, u.gap = true, false
		}
	}
}
