package message

import "bytes"

// Scan makes the table of parts of the message b. It reads b once, keeps nothing of it, and never fails: what is malformed
// is read as the plainest thing that it can be.
//
// A delimiter line is "--", the boundary, perhaps "--", and white space, and nothing else. RFC 2046 section 5.1.1 would let
// more follow; then a boundary that begins with another's would be read as both.
func Scan(b []byte) *Structure {
	s := &scanner{b: b, out: &Structure{Size: len(b)}, boundaries: map[string]int{}}
	s.open(-1, 0, "text", "plain")
	for s.pos < len(b) {
		if s.inHeader {
			s.headerLine()
		} else {
			s.bodyLines()
		}
	}
	if s.inHeader {
		s.endHeader(len(b))
	}
	s.closeAbove(0, len(b), s.lines)
	s.close(0, len(b), s.lines)
	return s.out
}

// scanner is the state of one Scan. Every part that is not closed yet is on stack, the outermost first.
type scanner struct {
	b     []byte
	pos   int // where the next line begins
	lines int // line feeds before pos
	out   *Structure
	stack []frame
	// boundaries leads from each boundary that may end a part to the innermost frame that has it.
	boundaries map[string]int
	longest    int // length of the longest boundary ever opened
	inHeader   bool
}

// frame is an open part.
type frame struct {
	part       int
	digest     bool // children are messages unless they say otherwise
	boundary   string
	delimited  bool // boundary is set and its end has not been seen
	shadows    int  // the frame that boundaries named before this one, -1 for none
	linesAbove int  // line feeds before the body
}

// open begins a part at pos, with the header next.
func (s *scanner) open(parent, pos int, typ, subtype string) {
	i := len(s.out.Parts)
	s.out.Parts = append(s.out.Parts, Part{
		Parent: parent, HeaderStart: pos, BodyStart: pos, End: pos, Type: typ, Subtype: subtype, Encoding: "7bit",
	})
	if parent >= 0 {
		p := &s.out.Parts[parent]
		p.Children = append(p.Children, i)
	}
	s.stack = append(s.stack, frame{part: i})
	s.inHeader = true
}

// headerLine reads one line of the innermost part's header.
func (s *scanner) headerLine() {
	end := lineEnd(s.b, s.pos)
	line := s.b[s.pos:end]
	if s.delimiter(line, s.pos, end) {
		return
	}
	s.advance(end)
	if isEmptyLine(line) {
		s.endHeader(end)
	}
}

// bodyLines goes on to the next line that begins with "--" and looks at it.
func (s *scanner) bodyLines() {
	if len(s.boundaries) == 0 {
		s.advance(len(s.b))
		return
	}
	if s.b[s.pos] != '-' || !bytes.HasPrefix(s.b[s.pos:], []byte("--")) {
		i := bytes.Index(s.b[s.pos:], []byte("\n--"))
		if i < 0 {
			s.advance(len(s.b))
			return
		}
		s.advance(s.pos + i + 1)
	}
	end := lineEnd(s.b, s.pos)
	if !s.delimiter(s.b[s.pos:end], s.pos, end) {
		s.advance(end)
	}
}

// advance moves to the line that begins at to.
func (s *scanner) advance(to int) {
	s.lines += bytes.Count(s.b[s.pos:to], []byte("\n"))
	s.pos = to
}

// delimiter acts on the line if it is a delimiter of an open multipart, and moves behind it.
func (s *scanner) delimiter(line []byte, start, end int) bool {
	if len(line) < 2 || line[0] != '-' || line[1] != '-' || len(s.boundaries) == 0 {
		return false
	}
	line = bytes.TrimRight(line[2:], " \t\r\n")
	if len(line) > s.longest+2 {
		return false
	}
	at, ok := s.boundaries[string(line)]
	last := false
	if !ok {
		if line, last = bytes.CutSuffix(line, []byte("--")); !last {
			return false
		}
		if at, ok = s.boundaries[string(line)]; !ok {
			return false
		}
	}
	bodyEnd, bodyLines := s.beforeBreak(start)
	if s.inHeader {
		s.endHeader(bodyEnd)
	}
	if s.out.Parts[s.stack[len(s.stack)-1].part].BodyStart > bodyEnd { // that break is the empty line that ended a header
		bodyEnd, bodyLines = start, s.lines
	}
	// endHeader may have opened parts, which end here too.
	s.closeAbove(at, bodyEnd, bodyLines)
	s.inHeader = false
	s.advance(end)
	f := &s.stack[at]
	switch {
	case last:
		s.forget(at)
	case len(s.out.Parts) >= MaxParts:
		s.out.Truncated = true
		clear(s.boundaries) // the rest is the body of what is open
	case f.digest:
		s.open(f.part, end, "message", "rfc822")
	default:
		s.open(f.part, end, "text", "plain")
	}
	return true
}

// beforeBreak returns the offset before the line break that ends at pos, and the line feeds before that.
func (s *scanner) beforeBreak(pos int) (end, lines int) {
	end, lines = pos, s.lines
	if end > 0 && s.b[end-1] == '\n' {
		end, lines = end-1, lines-1
		if end > 0 && s.b[end-1] == '\r' {
			end--
		}
	}
	return end, lines
}

// endHeader ends the header of the innermost part, whose body begins at bodyStart, and decides how that body is read.
func (s *scanner) endHeader(bodyStart int) {
	s.inHeader = false
	at := len(s.stack) - 1
	f := &s.stack[at]
	p := &s.out.Parts[f.part]
	p.BodyStart = max(bodyStart, p.HeaderStart)
	p.End = p.BodyStart
	f.linesAbove = s.lines
	header := s.b[p.HeaderStart:p.BodyStart]
	p.readHeader(header[:min(len(header), MaxHeader)])
	if len(s.stack) >= MaxDepth && (p.IsMessage() || p.IsMultipart()) {
		s.out.Truncated = true
		if p.IsMessage() {
			p.Type, p.Subtype = "application", "octet-stream"
		}
		return
	}
	switch {
	case p.IsMultipart():
		f.digest = p.Subtype == "digest"
		if boundary := trimBoundary(p.Param("boundary")); boundary != "" {
			f.boundary, f.delimited, f.shadows = boundary, true, -1
			if outer, ok := s.boundaries[boundary]; ok {
				f.shadows = outer
			}
			s.boundaries[boundary] = at
			s.longest = max(s.longest, len(boundary))
		}
	case p.IsMessage():
		s.open(f.part, p.BodyStart, "text", "plain")
	}
}

// trimBoundary returns the boundary as it can be found at the end of a line: it may not end in white space.
func trimBoundary(b string) string {
	return string(bytes.TrimRight([]byte(b), " \t\r\n"))
}

// closeAbove closes the parts inside that of the frame at: their bodies end at end.
func (s *scanner) closeAbove(at, end, lines int) {
	for len(s.stack) > at+1 {
		top := len(s.stack) - 1
		if s.inHeader {
			s.endHeader(end)
			continue
		}
		s.close(top, end, lines)
	}
}

// close closes the part of the frame at, which is the innermost.
func (s *scanner) close(at, end, lines int) {
	s.forget(at)
	f := s.stack[at]
	s.stack = s.stack[:at]
	p := &s.out.Parts[f.part]
	p.End = max(end, p.BodyStart)
	p.Lines = max(lines-f.linesAbove, 0)
	if p.IsMultipart() && len(p.Children) == 0 {
		child := len(s.out.Parts)
		only := Part{
			Parent: f.part, HeaderStart: p.BodyStart, BodyStart: p.BodyStart, End: p.End, Lines: p.Lines,
			Type: "text", Subtype: "plain", Encoding: p.Encoding,
		}
		p.Children = []int{child}
		s.out.Parts = append(s.out.Parts, only)
	}
	if p.IsMessage() {
		inner := &s.out.Parts[p.Children[0]]
		header := s.b[inner.HeaderStart:inner.BodyStart]
		e := ParseEnvelope(header)
		p.Envelope = &e
	}
}

// forget makes the boundary of the frame at mean nothing any more, or what it meant outside.
func (s *scanner) forget(at int) {
	f := &s.stack[at]
	if !f.delimited {
		return
	}
	f.delimited = false
	if i, ok := s.boundaries[f.boundary]; !ok || i != at { // cleared by a limit
		return
	}
	if f.shadows >= 0 {
		s.boundaries[f.boundary] = f.shadows
		return
	}
	delete(s.boundaries, f.boundary)
}
