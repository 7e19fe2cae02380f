package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/message"
)

// decodable reports whether all parts that are asked for by BINARY have a transfer encoding that is known (RFC 3516
// section 4.2). A message that does not have them is left out, before its line is begun.
func (f *fetching) decodable(m *opened) bool {
	for i := range f.plan.items {
		it := &f.plan.items[i]
		if it.Kind != wire.FetchBinary && it.Kind != wire.FetchBinarySize {
			continue
		}
		if p, ok := m.leaf(it); ok && !knownEncoding(p.Encoding) {
			return false
		}
	}
	return true
}

func knownEncoding(name string) bool {
	switch name {
	case "7bit", "8bit", "binary", "quoted-printable", "base64":
		return true
	}
	return false
}

// leaf returns the part of a BINARY item, if it is one that can be encoded: the whole message, multiparts and messages
// inside are sent as they are.
func (m *opened) leaf(it *wire.FetchItem) (*message.Part, bool) {
	s, err := m.structure()
	if err != nil || len(it.Section.Part) == 0 {
		return nil, false
	}
	i, ok := s.Find(it.Section.Part)
	if !ok || s.Parts[i].IsMultipart() || s.Parts[i].IsMessage() {
		return nil, false
	}
	return &s.Parts[i], true
}

// appendBinary appends BINARY or BINARY.SIZE: the bytes of a part with its transfer encoding undone, or their number.
func (m *opened) appendBinary(ctx context.Context, b []byte, it *wire.FetchItem) ([]byte, error) {
	start, end, ok, err := m.bounds(&it.Section)
	if err != nil {
		return b, err
	}
	switch {
	case !ok && it.Kind == wire.FetchBinarySize:
		return append(b, '0'), nil
	case !ok:
		return append(b, "NIL"...), nil
	}
	p, isLeaf := m.leaf(it)
	if !isLeaf || p.Encoding != "base64" && p.Encoding != "quoted-printable" {
		return m.appendPlain(b, it, start, end)
	}
	if end-start <= spoolAbove {
		encoded, err := m.bytes(start, end)
		if err != nil {
			return b, err
		}
		return appendDecoded(b, it, message.DecodeTransfer(p.Encoding, encoded)), nil
	}
	return m.appendSpooled(ctx, b, it, p.Encoding, start, end)
}

// appendPlain sends bytes that are not encoded.
func (m *opened) appendPlain(b []byte, it *wire.FetchItem, start, end int64) ([]byte, error) {
	if it.Kind == wire.FetchBinarySize {
		return appendNumber(b, end-start), nil
	}
	start, end = partial(it, start, end)
	if end-start <= spoolAbove {
		all, err := m.bytes(start, end)
		if err != nil {
			return b, err
		}
		return appendBytes(b, all), nil
	}
	m.c.w.SetBuf(wire.AppendLiteralHead(append(b, '~'), end-start))
	if err := m.copyRaw(start, end); err != nil {
		return nil, err
	}
	return m.c.w.Buf(), nil
}

func appendDecoded(b []byte, it *wire.FetchItem, decoded []byte) []byte {
	if it.Kind == wire.FetchBinarySize {
		return appendNumber(b, int64(len(decoded)))
	}
	start, end := partial(it, 0, int64(len(decoded)))
	return appendBytes(b, decoded[start:end])
}

// appendBytes appends bytes as a literal, a literal8 where there is NUL in them.
func appendBytes(b, data []byte) []byte {
	if bytes.IndexByte(data, 0) >= 0 {
		b = append(b, '~')
	}
	return append(wire.AppendLiteralHead(b, int64(len(data))), data...)
}

// appendSpooled decodes a large part into a file and sends it from there: few of them are in memory at once, and none
// while a client reads slowly.
func (m *opened) appendSpooled(ctx context.Context, b []byte, it *wire.FetchItem, encoding string, start, end int64) (out []byte, err error) {
	f, err := os.CreateTemp(m.c.s.Spool, "binary-*")
	if err != nil {
		return b, fmt.Errorf("decode a part: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	size, err := m.decodeTo(ctx, f, encoding, start, end)
	if err != nil {
		return b, err
	}
	if it.Kind == wire.FetchBinarySize {
		return appendNumber(b, size), nil
	}
	first, last := partial(it, 0, size)
	m.c.w.SetBuf(wire.AppendLiteralHead(append(b, '~'), last-first))
	if err := m.copyFrom(f, first, last, asIs); err != nil {
		return nil, err
	}
	return m.c.w.Buf(), nil
}

func (m *opened) decodeTo(ctx context.Context, f *os.File, encoding string, start, end int64) (int64, error) {
	select {
	case m.c.s.large <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-m.c.s.large }()
	encoded, err := m.bytes(start, end)
	if err != nil {
		return 0, err
	}
	n, err := f.Write(message.DecodeTransfer(encoding, encoded))
	return int64(n), err
}

func asIs(b []byte) []byte { return b }
