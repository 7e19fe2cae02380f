package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// structureVersion and envelopeVersion are the first byte of the binary forms. A decoder reads every version ever written.
//
// Both forms are a sequence of unsigned varints and of strings. A string is the varint 2×length and its bytes, or, for the
// words that most messages have, the varint 2×index+1 of the version's word list.
const (
	structureVersion = 1
	envelopeVersion  = 1
)

// words1 is the word list of version 1. It can't change: a new list is a new version.
var words1 = [...]string{
	"text", "plain", "html", "multipart", "mixed", "alternative", "related", "signed", "report", "application", "octet-stream",
	"pdf", "image", "png", "jpeg", "gif", "message", "rfc822", "charset", "utf-8", "UTF-8", "us-ascii", "US-ASCII", "iso-8859-1",
	"ISO-8859-1", "windows-1252", "7bit", "8bit", "quoted-printable", "base64", "binary", "boundary", "name", "filename",
	"attachment", "inline", "format", "flowed", "delsp", "yes", "no", "type", "text/html", "calendar", "method", "REQUEST",
	"gmail.com", "outlook.com", "hotmail.com", "yahoo.com",
}

// AppendBinary appends the binary form of s to dst.
func (s *Structure) AppendBinary(dst []byte) []byte {
	w := newWriter(dst, structureVersion)
	w.int(s.Size)
	w.bool(s.Truncated)
	w.int(len(s.Parts))
	for i := range s.Parts {
		p := &s.Parts[i]
		w.int(p.Parent + 1)
		w.int(p.HeaderStart)
		w.int(p.BodyStart - p.HeaderStart)
		w.int(p.End - p.BodyStart)
		w.int(p.Lines)
		w.string(p.Type)
		w.string(p.Subtype)
		w.string(p.Encoding)
		w.params(p.Params)
		rare := p.ID != "" || p.Description != "" || p.MD5 != "" || p.Location != "" || len(p.Language) > 0
		w.int(flag(rare, 1) | flag(p.Disposition != "" || len(p.DispositionParams) > 0, 2) | flag(p.Envelope != nil, 4))
		if rare {
			w.string(p.ID)
			w.string(p.Description)
			w.string(p.MD5)
			w.string(p.Location)
			w.strings(p.Language)
		}
		if p.Disposition != "" || len(p.DispositionParams) > 0 {
			w.string(p.Disposition)
			w.params(p.DispositionParams)
		}
		if p.Envelope != nil {
			w.envelope(p.Envelope)
		}
	}
	return w.b
}

// DecodeStructure reads a binary form. It fails only on what AppendBinary did not write.
func DecodeStructure(b []byte) (*Structure, error) {
	r := newReader(b, structureVersion)
	s := &Structure{Size: r.int(), Truncated: r.bool()}
	n := r.count(8) // the shortest part
	if n == 0 {
		r.fail()
		n = 1
	}
	s.Parts = make([]Part, n)
	for i := range s.Parts {
		if r.err != nil {
			break
		}
		r.part(s, i)
	}
	if err := r.end("structure"); err != nil {
		return nil, err
	}
	for i := range s.Parts {
		p := &s.Parts[i]
		if len(p.Children) == 0 && (p.IsMultipart() || p.IsMessage()) || p.IsMessage() && p.Envelope == nil {
			return nil, errors.New("message: decode structure: a part without the part inside it")
		}
	}
	return s, nil
}

func (r *reader) part(s *Structure, i int) {
	p := &s.Parts[i]
	p.Parent = r.int() - 1
	p.HeaderStart = r.int()
	p.BodyStart = p.HeaderStart + r.int()
	p.End = p.BodyStart + r.int()
	p.Lines = r.int()
	p.Type, p.Subtype, p.Encoding = r.string(), r.string(), r.string()
	p.Params = r.params()
	flags := r.int()
	if flags&1 != 0 {
		p.ID, p.Description, p.MD5, p.Location, p.Language = r.string(), r.string(), r.string(), r.string(), r.strings()
	}
	if flags&2 != 0 {
		p.Disposition, p.DispositionParams = r.string(), r.params()
	}
	if flags&4 != 0 {
		e := r.envelope()
		p.Envelope = &e
	}
	switch {
	case p.Parent >= i || (p.Parent < 0) != (i == 0) || p.End > s.Size || p.BodyStart > s.Size:
		r.fail()
	case i > 0:
		parent := &s.Parts[p.Parent]
		parent.Children = append(parent.Children, i)
	}
}

// AppendBinary appends the binary form of e to dst.
func (e *Envelope) AppendBinary(dst []byte) []byte {
	w := newWriter(dst, envelopeVersion)
	w.envelope(e)
	return w.b
}

// DecodeEnvelope reads a binary form. It fails only on what AppendBinary did not write.
func DecodeEnvelope(b []byte) (*Envelope, error) {
	r := newReader(b, envelopeVersion)
	e := r.envelope()
	if err := r.end("envelope"); err != nil {
		return nil, err
	}
	return &e, nil
}

// routed stands in the binary form for the kind of a Mailbox that has a Route, which follows.
const routed = int(GroupEnd) + 1

func (w *writer) envelope(e *Envelope) {
	w.string(e.Date)
	w.bool(!e.Sent.IsZero())
	if !e.Sent.IsZero() {
		_, offset := e.Sent.Zone()
		w.signed(e.Sent.Unix())
		w.signed(int64(offset / 60))
	}
	w.string(e.Subject)
	for _, list := range [][]Entry{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		w.int(len(list))
		for _, entry := range list {
			if entry.Route != "" {
				w.int(routed)
				w.string(entry.Route)
			} else {
				w.int(int(entry.Kind))
			}
			w.string(entry.Name)
			if entry.Kind == Mailbox {
				w.string(entry.Local)
				w.string(entry.Domain)
			}
		}
	}
	w.string(e.InReplyTo)
	w.string(e.MessageID)
	w.string(e.BaseSubject)
	w.strings(e.References)
}

func (r *reader) envelope() Envelope {
	var e Envelope
	e.Date = r.string()
	if r.bool() {
		unix, offset := r.signed(), r.signed()
		if offset < -25*60 || offset > 25*60 {
			r.fail()
			offset = 0
		}
		e.Sent = time.Unix(unix, 0).In(fixedZone(int(offset) * 60))
	}
	e.Subject = r.string()
	for _, list := range []*[]Entry{&e.From, &e.Sender, &e.ReplyTo, &e.To, &e.Cc, &e.Bcc} {
		n := r.count(2)
		if n == 0 {
			continue
		}
		*list = make([]Entry, n)
		for i := range *list {
			entry := &(*list)[i]
			switch kind := r.int(); {
			case kind == routed:
				entry.Route = r.string()
			case kind > int(GroupEnd):
				r.fail()
			default:
				entry.Kind = EntryKind(kind)
			}
			entry.Name = r.string()
			if entry.Kind == Mailbox {
				entry.Local, entry.Domain = r.string(), r.string()
			}
		}
	}
	e.InReplyTo, e.MessageID, e.BaseSubject, e.References = r.string(), r.string(), r.string(), r.strings()
	return e
}

// writer appends the primitive forms.
type writer struct{ b []byte }

// wordIndex is words1 turned around, when it was first asked for.
var wordIndex struct {
	once sync.Once
	of   map[string]int
}

func indexOfWord(s string) (int, bool) {
	wordIndex.once.Do(func() {
		wordIndex.of = make(map[string]int, len(words1))
		for i, word := range words1 {
			wordIndex.of[word] = i
		}
	})
	i, ok := wordIndex.of[s]
	return i, ok
}

func newWriter(dst []byte, version byte) *writer {
	return &writer{b: append(dst, version)}
}

func (w *writer) int(n int) { w.b = binary.AppendUvarint(w.b, uint64(n)) }

func (w *writer) signed(n int64) { w.b = binary.AppendVarint(w.b, n) }

func (w *writer) bool(v bool) { w.int(flag(v, 1)) }

func (w *writer) string(s string) {
	if i, ok := indexOfWord(s); ok {
		w.int(2*i + 1)
		return
	}
	w.int(2 * len(s))
	w.b = append(w.b, s...)
}

func (w *writer) strings(list []string) {
	w.int(len(list))
	for _, s := range list {
		w.string(s)
	}
}

func (w *writer) params(list []Param) {
	w.int(len(list))
	for _, p := range list {
		w.string(p.Name)
		w.string(p.Value)
	}
}

func flag(v bool, bit int) int {
	if v {
		return bit
	}
	return 0
}

// reader reads the primitive forms. After a failure it returns zero values.
type reader struct {
	text string // what is left; strings are cut from it without copying
	err  error
}

var errCorrupt = errors.New("the bytes are not what was written")

func newReader(b []byte, version byte) reader {
	switch {
	case len(b) == 0:
		return reader{err: errCorrupt}
	case b[0] != version:
		return reader{err: fmt.Errorf("version %d is unknown: it was written by a newer program", b[0])}
	}
	return reader{text: string(b[1:])}
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errCorrupt
	}
	r.text = ""
}

func (r *reader) end(what string) error {
	if r.err == nil && r.text != "" {
		r.err = errCorrupt
	}
	if r.err != nil {
		return fmt.Errorf("message: decode %s: %w", what, r.err)
	}
	return nil
}

func (r *reader) uvarint() uint64 {
	var v uint64
	for i := 0; i < len(r.text) && i < binary.MaxVarintLen64; i++ {
		c := r.text[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.text = r.text[i+1:]
			return v
		}
	}
	r.fail()
	return 0
}

func (r *reader) signed() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// maxInt bounds every number of the forms, so that sums of a few of them don't overflow.
const maxInt = 1 << 40

func (r *reader) int() int {
	v := r.uvarint()
	if v > maxInt || uint64(int(v)) != v {
		r.fail()
		return 0
	}
	return int(v)
}

func (r *reader) bool() bool { return r.int() == 1 }

// count reads how many things follow, each of which takes size bytes or more.
func (r *reader) count(size int) int {
	n := r.int()
	if n > len(r.text)/size {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) string() string {
	n := r.int()
	if n&1 == 1 {
		if n/2 >= len(words1) {
			r.fail()
			return ""
		}
		return words1[n/2]
	}
	if n /= 2; n > len(r.text) {
		r.fail()
		return ""
	}
	s := r.text[:n]
	r.text = r.text[n:]
	return s
}

func (r *reader) strings() []string {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.string()
	}
	return list
}

func (r *reader) params() []Param {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	list := make([]Param, n)
	for i := range list {
		list[i] = Param{Name: r.string(), Value: r.string()}
	}
	return list
}
