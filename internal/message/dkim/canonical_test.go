package dkim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strings"
	"testing"
)

// keeper is a hash that is what was written.
type keeper struct {
	hash.Hash
	bytes.Buffer
}

func (k *keeper) Write(p []byte) (int, error) { return k.Buffer.Write(p) }
func (k *keeper) Sum([]byte) []byte           { return k.Bytes() }
func (k *keeper) Reset()                      {}

func body(b string, relaxed bool, limit int64) (string, int64) {
	s := newSink(&keeper{}, limit)
	writeBody(s, []byte(b), relaxed)
	return string(s.sum()), s.total
}

func header(b string, relaxed bool) string {
	m := Read([]byte(b))
	s := newSink(&keeper{}, -1)
	for _, f := range m.fields {
		writeField(s, m.header, f, relaxed)
	}
	return string(s.sum())
}

// The example of RFC 6376 section 3.4.5.
func TestCanonicalisationOfTheRFC(t *testing.T) {
	const message = "A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n"
	_, text, _ := strings.Cut(message, "\r\n\r\n")
	if got := header(message, true); got != "a:X\r\nb:Y Z\r\n" {
		t.Errorf("relaxed header %q", got)
	}
	if got := header(message, false); got != "A: X\r\nB : Y\t\r\n\tZ  \r\n" {
		t.Errorf("simple header %q", got)
	}
	if got, _ := body(text, true, -1); got != " C\r\nD E\r\n" {
		t.Errorf("relaxed body %q", got)
	}
	if got, _ := body(text, false, -1); got != " C \r\nD \t E\r\n" {
		t.Errorf("simple body %q", got)
	}
	// Sections 3.4.3 and 3.4.4 have the hashes of an empty body.
	for relaxed, want := range map[bool]string{false: "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=", true: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="} {
		s := newSink(sha256.New(), -1)
		writeBody(s, nil, relaxed)
		if got := base64.StdEncoding.EncodeToString(s.sum()); got != want {
			t.Errorf("relaxed %v: an empty body hashes to %s", relaxed, got)
		}
	}
}

func TestBodies(t *testing.T) {
	long := strings.Repeat("word ", 900)
	for _, c := range []struct{ in, simple, relaxed string }{
		{"", "\r\n", ""},
		{"\r\n", "\r\n", ""},
		{"\r\n\r\n\n", "\r\n", ""},
		{" \t\r\n \r\n", " \t\r\n \r\n", ""},
		{"a", "a\r\n", "a\r\n"},
		{"a\r\n", "a\r\n", "a\r\n"},
		{"a\n", "a\r\n", "a\r\n"},
		{"a\r\n\r\n\r\n", "a\r\n", "a\r\n"},
		{"a\r\n \r\n", "a\r\n \r\n", "a\r\n"},
		{"a\r\n\r\nb", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
		{"a\n\n\tb\n", "a\r\n\r\n\tb\r\n", "a\r\n\r\n b\r\n"},
		{"a \t b\t\r\nc\r\n", "a \t b\t\r\nc\r\n", "a b\r\nc\r\n"},
		{"a  b", "a  b\r\n", "a b\r\n"},
		{"a\rb\r\n", "a\rb\r\n", "a\rb\r\n"},
		{"a\r\r\n", "a\r\r\n", "a\r\r\n"},
		{"a\r\n\r", "a\r\n\r\r\n", "a\r\n\r\r\n"},
		{"a\r \r\n", "a\r \r\n", "a\r\r\n"},
		{"\x00 \x00\r\n", "\x00 \x00\r\n", "\x00 \x00\r\n"},
		{"  a", "  a\r\n", " a\r\n"},
		{" a\r\n", " a\r\n", " a\r\n"},
		{"\ta \r\n\tb \r\n", "\ta \r\n\tb \r\n", " a\r\n b\r\n"},
		{long + "\n" + long + " x\n", long + "\r\n" + long + " x\r\n", long[:len(long)-1] + "\r\n" + long + "x\r\n"},
	} {
		for relaxed, want := range map[bool]string{false: c.simple, true: c.relaxed} {
			got, total := body(c.in, relaxed, -1)
			if got != want || total != int64(len(want)) {
				t.Errorf("%.40q, relaxed %v: %d bytes %.80q, want %.80q", c.in, relaxed, total, got, want)
			}
			for _, limit := range []int{0, 1, len(want) / 2, len(want), len(want) + 1} {
				if got, total := body(c.in, relaxed, int64(limit)); got != want[:min(limit, len(want))] || total != int64(len(want)) {
					t.Errorf("%.40q, relaxed %v: the first %d bytes of %d are %.80q", c.in, relaxed, limit, total, got)
				}
			}
		}
	}
}

func TestFields(t *testing.T) {
	for _, c := range []struct{ in, simple, relaxed string }{
		{"A:b\r\n", "A:b\r\n", "a:b\r\n"},
		{"A:\r\n", "A:\r\n", "a:\r\n"},
		{"A: \r\n \t\r\n", "A: \r\n \t\r\n", "a:\r\n"},
		{"SubJect \t:  x \t y  \r\n", "SubJect \t:  x \t y  \r\n", "subject:x y\r\n"},
		{"A: b\n c\n", "A: b\r\n c\r\n", "a:b c\r\n"},
		{"A:\r\n b\r\n", "A:\r\n b\r\n", "a:b\r\n"},
		{"A: b", "A: b\r\n", "a:b\r\n"},
		{"A: b\r\n c", "A: b\r\n c\r\n", "a:b c\r\n"},
		{"A: b\rc\r\r\n", "A: b\rc\r\r\n", "a:b\rc\r\r\n"},
		{"A: \x00\xff\r\n", "A: \x00\xff\r\n", "a:\x00\xff\r\n"},
		{"no field\r\nA: b\r\n", "A: b\r\n", "a:b\r\n"},
	} {
		if got := header(c.in, false); got != c.simple {
			t.Errorf("%q, simple: %q, want %q", c.in, got, c.simple)
		}
		if got := header(c.in, true); got != c.relaxed {
			t.Errorf("%q, relaxed: %q, want %q", c.in, got, c.relaxed)
		}
	}
}

// TestSignedField holds that a signature signs itself without what b= has.
func TestSignedField(t *testing.T) {
	for _, c := range []struct{ in, simple, relaxed string }{
		{"DKIM-Signature: a=1; b=xyz\r\n", "DKIM-Signature: a=1; b=", "dkim-signature:a=1; b="},
		{"DKIM-Signature: a=1; b= x\r\n y ;\r\n bh=b=; c=d\r\n", "DKIM-Signature: a=1; b=;\r\n bh=b=; c=d", "dkim-signature:a=1; b=; bh=b=; c=d"},
		{"DKIM-Signature:b\t=\r\n\tx\r\n", "DKIM-Signature:b\t=", "dkim-signature:b ="},
		{"DKIM-Signature: bh=b; bb=c\r\n", "DKIM-Signature: bh=b; bb=c", "dkim-signature:bh=b; bb=c"},
		{"DKIM-Signature: b=x", "DKIM-Signature: b=", "dkim-signature:b="},
	} {
		for relaxed, want := range map[bool]string{false: c.simple, true: c.relaxed} {
			m := Read([]byte(c.in))
			s := newSink(&keeper{}, -1)
			writeSigned(s, m.header, m.fields[0], relaxed)
			if got := string(s.sum()); got != want {
				t.Errorf("%q, relaxed %v: %q, want %q", c.in, relaxed, got, want)
			}
		}
	}
}
