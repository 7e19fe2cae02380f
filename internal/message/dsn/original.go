package dsn

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
)

const (
	// maxHeader is how much of a header is returned and read.
	maxHeader = 128 << 10
	// maxReferences is how many message ids of the thread are named: the first, and the last ones.
	maxReferences = 20
	maxMessageID  = 250
	maxSubject    = 200
)

// original is what a notification needs to know of the message.
type original struct {
	header     []byte // without the empty line, cut where it is too long
	whole      bool   // it is returned whole
	eightBit   bool   // all of it, where it is returned whole
	global     bool   // its header is UTF-8 beyond ASCII
	subject    string // clean, decoded
	messageID  string // with its brackets; empty where it has none that can be used
	references []string
}

// readOriginal reads the header, and where the whole is asked for finds out whether that can be had.
func (n *Notice) readOriginal() (*original, error) {
	o := &original{}
	if n.Original == nil || n.Size <= 0 {
		return o, nil
	}
	b := make([]byte, min(n.Size, maxHeader))
	if err := readAt(n.Original, b); err != nil {
		return nil, err
	}
	end := message.HeaderEnd(b)
	if end == len(b) && n.Size > int64(end) { // it goes on: not with half a line
		end = bytes.LastIndexByte(b, '\n') + 1
	}
	o.header = b[:end]
	o.readHeader()
	if err := n.inspect(o); err != nil {
		return nil, err
	}
	o.header = bytes.TrimSuffix(bytes.TrimSuffix(o.header, []byte("\r\n\r\n")), []byte("\r\n"))
	if len(o.header) > 0 {
		o.header = append(o.header, '\r', '\n')
	}
	return o, nil
}

// readAt fills b from the beginning of r.
func readAt(r io.ReaderAt, b []byte) error {
	n, err := r.ReadAt(b, 0)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// inspect decides whether the whole message is returned.
func (n *Notice) inspect(o *original) error {
	limit := n.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	// With a header in UTF-8 the way back must take that.
	if !n.Full || !n.tells(Failed) || n.Size > limit || o.global && n.To.IsASCII() {
		return nil
	}
	var i inspector
	copied, err := io.Copy(&i, io.NewSectionReader(n.Original, 0, n.Size))
	if err != nil {
		return err
	}
	if copied < n.Size {
		return io.ErrUnexpectedEOF
	}
	o.whole, o.eightBit = !i.broken(), i.eightBit
	return nil
}

// readHeader takes from the header what is said of the message.
func (o *original) readHeader() {
	e := message.ParseEnvelope(o.header)
	o.global = !isASCII(string(o.header)) && IsPrintable(string(bytes.ReplaceAll(bytes.ReplaceAll(o.header, []byte("\r\n"), nil), []byte("\t"), nil)))
	o.subject = cut(strings.Join(strings.Fields(clean(message.DecodeWords(e.Subject), true)), " "), maxSubject)
	if ids := usableIDs(message.ParseMessageIDs(e.MessageID)); len(ids) > 0 {
		o.messageID = ids[0]
	}
	o.references = usableIDs(e.References)
	if n := len(o.references); n > maxReferences {
		o.references = append(o.references[:1:1], o.references[n-maxReferences+1:]...)
	}
}

// usableIDs returns the message ids that can stand in a field, with their brackets.
func usableIDs(ids []string) (usable []string) {
	for _, id := range ids {
		if len(id) <= maxMessageID && strings.IndexFunc(id, func(r rune) bool { return r <= ' ' || r >= 127 || strings.ContainsRune(`<>()\"`, r) }) < 0 {
			usable = append(usable, "<"+id+">")
		}
	}
	return usable
}
