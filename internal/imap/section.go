package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
)

// opened is a message of which a FETCH sends parts. What was read of it is kept for the next item.
type opened struct {
	c       *conn
	item    *mailbox.Item
	content mailbox.Content
	parts   *message.Structure
}

func (m *opened) close() {
	if m.content != nil {
		if err := m.content.Close(); err != nil {
			m.c.log.Warn("a message was not closed", "error", err)
		}
	}
}

func (m *opened) open(ctx context.Context) (err error) {
	if m.content == nil {
		m.content, err = m.c.s.Mailboxes.Open(ctx, m.item)
	}
	return err
}

func (m *opened) structure() (s *message.Structure, err error) {
	if m.parts == nil {
		m.parts, err = message.DecodeStructure(m.item.Structure)
	}
	return m.parts, err
}

// appendSection appends the bytes of a section as a literal, or NIL where the message has no such part.
func (m *opened) appendSection(ctx context.Context, b []byte, it *wire.FetchItem) ([]byte, error) {
	if it.Kind == wire.FetchBinary || it.Kind == wire.FetchBinarySize {
		return m.appendBinary(ctx, b, it)
	}
	start, end := int64(0), m.content.Size()
	if !isWhole(it) {
		var ok bool
		var err error
		if start, end, ok, err = m.bounds(&it.Section); err != nil {
			return b, err
		}
		if !ok {
			return append(b, "NIL"...), nil
		}
	}
	if len(it.Section.Fields) > 0 {
		return m.appendFields(b, it, start, end)
	}
	start, end = partial(it, start, end)
	b = wire.AppendLiteralHead(b, end-start)
	if whole := m.content.Bytes(); whole != nil && end-start < wire.BufferSize/2 {
		return append(b, withoutNUL(whole[start:end])...), nil
	}
	m.c.w.SetBuf(b)
	if err := m.copy(start, end); err != nil {
		return nil, err
	}
	return m.c.w.Buf(), nil
}

// partial cuts the bytes from start to end down to those that were asked for.
func partial(it *wire.FetchItem, start, end int64) (first, last int64) {
	if !it.HasPartial {
		return start, end
	}
	first = start + min(it.Offset, end-start)
	return first, first + min(it.Count, end-first)
}

// bounds returns where a section lies in the content. The store's prefix belongs to the whole message and its header only.
func (m *opened) bounds(s *wire.Section) (start, end int64, ok bool, err error) {
	parts, err := m.structure()
	if err != nil {
		return 0, 0, false, err
	}
	kind := message.Body
	switch s.Kind {
	case wire.SectionHeader, wire.SectionHeaderFields, wire.SectionHeaderNot:
		kind = message.Header
	case wire.SectionText:
		kind = message.Text
	case wire.SectionMIME:
		kind = message.MIME
	case wire.SectionWhole:
	}
	first, last, ok := parts.Section(s.Part, kind)
	prefix := int64(len(m.item.Prefix))
	start, end = int64(first)+prefix, int64(last)+prefix
	if len(s.Part) == 0 && (kind == message.Header || kind == message.Body) {
		start = 0
	}
	if end > m.content.Size() || start > end {
		return 0, 0, false, fmt.Errorf("section %d-%d of a message of %d bytes", start, end, m.content.Size())
	}
	return start, end, ok, nil
}

// appendFields appends the fields of a header that were asked for.
func (m *opened) appendFields(b []byte, it *wire.FetchItem, start, end int64) ([]byte, error) {
	header, err := m.bytes(start, min(end, start+message.MaxHeader))
	if err != nil {
		return b, err
	}
	out := message.AppendFields(nil, header, it.Section.Fields, it.Section.Kind == wire.SectionHeaderNot)
	first, last := partial(it, 0, int64(len(out)))
	out = out[first:last]
	return append(wire.AppendLiteralHead(b, int64(len(out))), withoutNUL(out)...), nil
}

// bytes returns some bytes of the content.
func (m *opened) bytes(start, end int64) ([]byte, error) {
	if whole := m.content.Bytes(); whole != nil {
		return whole[start:end], nil
	}
	b := make([]byte, end-start)
	n, err := m.content.ReadAt(b, start)
	if n == len(b) {
		return b, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, err
}

// copyPiece is how many bytes of a large message are in memory at once.
const copyPiece = 64 << 10

// copy sends bytes of the content piece by piece.
func (m *opened) copy(start, end int64) error { return m.copyFrom(m.content, start, end, withoutNUL) }

// copyRaw is copy of bytes in which NUL may stand.
func (m *opened) copyRaw(start, end int64) error { return m.copyFrom(m.content, start, end, asIs) }

func (m *opened) copyFrom(from io.ReaderAt, start, end int64, as func([]byte) []byte) error {
	if c, ok := from.(mailbox.Content); ok && c.Bytes() != nil {
		_, err := m.c.w.Write(as(c.Bytes()[start:end]))
		return err
	}
	piece := make([]byte, min(copyPiece, end-start))
	for start < end {
		n, err := from.ReadAt(piece[:min(int64(len(piece)), end-start)], start)
		if n == 0 {
			return fmt.Errorf("read at %d: %w", start, err)
		}
		if _, err := m.c.w.Write(as(piece[:n])); err != nil {
			return err
		}
		start += int64(n)
	}
	return nil
}

// withoutNUL returns b with 0x80 for each NUL, which a literal can't hold (RFC 3501 section 9, CHAR8). The length stays.
func withoutNUL(b []byte) []byte {
	if bytes.IndexByte(b, 0) < 0 {
		return b
	}
	return bytes.ReplaceAll(b, []byte{0}, []byte{0x80})
}
