package sieve

import (
	"bytes"

	"github.com/pennypost/pennypost/internal/message"
)

// mail is the message of a run, with its header as edited up to now.
type mail struct {
	raw    []byte
	parsed bool
	lines  []*field
	first  []*field            // lines as they arrived
	named  map[string][]*field // lines by their names, nil until it is asked for
	rest   []byte              // behind lines: mostly the empty line and the body
	edited bool
	made   []byte // the edited message, if it was made since the last change

	structure *message.Structure
	body      string    // raw, if it was asked for
	types     []string  // of parts: "text/plain"
	texts     []*string // of parts, decoded
	plain     []*string // of HTML parts, without markup
}

// field is a field of the header, or lines between two that are none: then name is empty.
type field struct {
	name    string // in lower case
	raw     []byte // as it stands, with its line break
	content []byte // behind the colon

	line      string // see unfolded; empty where that is, or was not asked for
	value     string // see read
	isRead    bool
	addresses []message.Entry // see run.addresses
}

func newMail(raw []byte) *mail { return &mail{raw: raw} }

// header returns the lines of the header: of its first MB, the rest of a larger one is left alone.
func (m *mail) header() []*field {
	if m.parsed {
		return m.lines
	}
	m.parsed = true
	end := message.HeaderEnd(m.raw)
	header := m.raw[:min(end, message.MaxHeader)]
	pos := 0
	for f := range message.Fields(header) {
		if f.End == len(header) && len(header) < end { // cut in two
			break
		}
		if f.Start > pos {
			m.lines = append(m.lines, &field{raw: header[pos:f.Start]})
		}
		m.lines = append(m.lines, &field{name: lower(string(f.Name)), raw: header[f.Start:f.End], content: f.Raw})
		pos = f.End
	}
	if blank := end - blankLine(m.raw[:end]); blank > pos {
		m.lines = append(m.lines, &field{raw: m.raw[pos:blank]})
		pos = blank
	}
	m.rest, m.first = m.raw[pos:], m.lines
	return m.lines
}

// blankLine returns the length of the empty line that header ends with.
func blankLine(header []byte) int {
	for _, line := range []string{"\r\n", "\n"} {
		if before, ok := bytes.CutSuffix(header, []byte(line)); ok && (len(before) == 0 || before[len(before)-1] == '\n') {
			return len(line)
		}
	}
	return 0
}

// fields returns the fields with the name, of any case. Where the header has to be sorted by names first, that counts as steps.
func (r *run) fields(n *node, name string) ([]*field, error) {
	m := r.mail
	if m.named == nil {
		if err := r.spend(n, 256*len(m.header())); err != nil {
			return nil, err
		}
		m.named = make(map[string][]*field, len(m.lines))
		for _, f := range m.lines {
			if f.name != "" {
				m.named[f.name] = append(m.named[f.name], f)
			}
		}
	}
	return m.named[lower(name)], nil
}

// unfolded returns the value in one line, as it is written.
func (f *field) unfolded() string {
	if f.line == "" {
		f.line = message.Field{Raw: f.content}.Value()
	}
	return f.line
}

// read returns the value with its encoded words decoded, as UTF-8.
func (f *field) read() string {
	if !f.isRead {
		f.value, f.isRead = message.DecodeWords(f.unfolded()), true
	}
	return f.value
}

// change makes the lines those of the header.
func (m *mail) change(lines []*field) {
	m.lines, m.named, m.edited, m.made = lines, nil, true, nil
}

// message returns the edited message, nil if it is as it arrived.
func (m *mail) message() []byte {
	if !m.edited || m.made != nil {
		return m.made
	}
	var made bytes.Buffer
	made.Grow(len(m.raw) + 1024)
	for i, f := range m.lines {
		made.Write(f.raw)
		if i < len(m.lines)-1 && !bytes.HasSuffix(f.raw, []byte("\n")) { // it was the last line of a message without a body
			made.WriteString("\r\n")
		}
	}
	made.Write(m.rest)
	m.made = made.Bytes()
	return m.made
}
