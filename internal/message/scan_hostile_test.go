package message

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// nested returns a message of n multiparts inside each other, none of which ends.
func nested(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	b.WriteString("\r\nend")
	return []byte(b.String())
}

func TestNestedBombIsCutOffAtTheDepthLimit(t *testing.T) {
	for _, n := range []int{50, 99, 5000} {
		b := nested(n)
		start := time.Now()
		s := Scan(b)
		if spent := time.Since(start); spent > 20*time.Second { // the machine may be busy
			t.Errorf("%d multiparts took %v", n, spent)
		}
		if len(s.Parts) > MaxDepth+1 || s.Truncated != (n >= MaxDepth) {
			t.Errorf("%d multiparts: %d parts, truncated %v", n, len(s.Parts), s.Truncated)
		}
		checkStructure(t, b, s)
	}
}

func TestNestedMessagesAreCutOffAtTheDepthLimit(t *testing.T) {
	b := []byte(strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 20_000))
	s := Scan(b)
	deepest := s.Parts[len(s.Parts)-1]
	if len(s.Parts) != MaxDepth || !s.Truncated || deepest.Type != "application" || deepest.End != len(b) {
		t.Errorf("%d parts, truncated %v, deepest %+v", len(s.Parts), s.Truncated, deepest)
	}
	checkStructure(t, b, s)
}

func TestPartsAreCutOffAtTheirLimit(t *testing.T) {
	b := []byte("Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\n.\r\n", 2*MaxParts) + "--x--\r\n")
	s := Scan(b)
	if len(s.Parts) != MaxParts || !s.Truncated {
		t.Errorf("%d parts, truncated %v", len(s.Parts), s.Truncated)
	}
	checkStructure(t, b, s)
}

func TestHugeHeaderKeepsItsBody(t *testing.T) {
	line := "X-Long: " + strings.Repeat("x", MaxHeader) + "\r\n"
	b := []byte("Subject: first\r\n" + line + "Content-Type: text/html\r\n\r\nbody")
	s := Scan(b)
	p := s.Parts[0]
	if got := string(b[p.BodyStart:p.End]); got != "body" || p.Subtype != "plain" {
		t.Errorf("the body is %q of type %s/%s; fields beyond the limit must not count", got, p.Type, p.Subtype)
	}
	if e := ParseEnvelope(b[:p.BodyStart]); e.Subject != "first" {
		t.Errorf("subject %q", e.Subject)
	}
}

func TestHostileBytes(t *testing.T) {
	for name, c := range map[string]struct{ in, typ, body string }{
		"NUL":        {"Content-Type: text/ht\x00ml\r\nX\x00: y\r\n\r\na\x00b", "text/html", "a\x00b"},
		"8-bit":      {"Subject: \xe4\xf6\r\nContent-Type: text/html\r\n\r\n\xff\xfe", "text/html", "\xff\xfe"},
		"bare LF":    {"Content-Type: text/html\n\nx\ny", "text/html", "x\ny"},
		"bare CR":    {"A: b\rContent-Type: text/html\r\n\r\nx\ry", "text/plain", "x\ry"},
		"CR CR LF":   {"Content-Type: text/html\r\r\n\r\nx", "text/html", "x"},
		"only CR LF": {"\r\n", "text/plain", ""},
		"one dash":   {"-", "text/plain", ""},
	} {
		b := []byte(c.in)
		s := Scan(b)
		p := s.Parts[0]
		if got := p.Type + "/" + p.Subtype; got != c.typ || string(b[p.BodyStart:p.End]) != c.body {
			t.Errorf("%s: %s %q", name, got, b[p.BodyStart:p.End])
		}
		checkStructure(t, b, s)
	}
}

// checkStructure checks what holds of every structure.
func checkStructure(t *testing.T, b []byte, s *Structure) {
	t.Helper()
	if s.Size != len(b) || len(s.Parts) == 0 || len(s.Parts) > 2*MaxParts {
		t.Fatalf("size %d of %d, %d parts", s.Size, len(b), len(s.Parts))
	}
	if top := s.Parts[0]; top.HeaderStart != 0 || top.End != len(b) || top.Parent != -1 {
		t.Fatalf("the top part is %+v", top)
	}
	for i := range s.Parts {
		p := &s.Parts[i]
		if p.HeaderStart > p.BodyStart || p.BodyStart > p.End || p.Type == "" || p.Subtype == "" || p.Encoding == "" {
			t.Fatalf("part %d is %+v", i, p)
		}
		if got := bytes.Count(b[p.BodyStart:p.End], []byte("\n")); got != p.Lines {
			t.Fatalf("part %d has %d lines, its table says %d", i, got, p.Lines)
		}
		if p.IsMultipart() && len(p.Children) == 0 || p.IsMessage() && (len(p.Children) != 1 || p.Envelope == nil) {
			t.Fatalf("part %d, %s/%s, has %d children", i, p.Type, p.Subtype, len(p.Children))
		}
		at := p.BodyStart
		for _, c := range p.Children {
			child := &s.Parts[c]
			if c <= i || child.Parent != i || child.HeaderStart < at || child.End > p.End {
				t.Fatalf("part %d [%d,%d) holds %d [%d,%d) of parent %d", i, p.HeaderStart, p.End, c, child.HeaderStart, child.End, child.Parent)
			}
			at = child.End
		}
	}
	coded := s.AppendBinary(nil)
	again, err := DecodeStructure(coded)
	if err != nil {
		t.Fatalf("the coded structure does not read: %v", err)
	}
	if !bytes.Equal(again.AppendBinary(nil), coded) {
		t.Fatal("the coded structure reads as another")
	}
}

func FuzzScan(f *testing.F) {
	for _, c := range scanCases {
		f.Add(crlf(c.in))
	}
	f.Add(nested(20))
	f.Add([]byte("Content-TYpe:multipArt/digest;BoundArY=a\n\r\n--a\n\n\r\n--a")) // an empty line that both ends a header and precedes a delimiter
	f.Add([]byte("Content-Type: text/plain; charset*0=utf; charset*1=-8; name*=utf-8''%e4\r\nContent-Disposition: attachment; filename=\"a\r\n\r\nx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := Scan(b)
		checkStructure(t, b, s)
		for i := range s.Parts {
			_ = s.Parts[i].FileName()
		}
		if text := s.SearchText(b, 1000); len(text) > 1000+1 {
			t.Fatalf("%d bytes of text", len(text))
		}
	})
}

func FuzzDecodeStructure(f *testing.F) {
	for _, c := range scanCases {
		f.Add(Scan(crlf(c.in)).AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeStructure(b)
		if err != nil {
			return
		}
		for path := range []int{0, 1, 2} {
			s.Section([]int{1, path}, Header)
		}
		if _, err := DecodeStructure(s.AppendBinary(nil)); err != nil {
			t.Fatalf("what was read can't be written and read: %v", err)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	var m bytes.Buffer
	m.WriteString("Content-Type: multipart/mixed; boundary=outer\r\n\r\n")
	for range 4 {
		m.WriteString("--outer\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
		m.WriteString(strings.Repeat("The quick brown fox -- jumps over the lazy dog, again and again.\r\n", 4000))
	}
	m.WriteString("--outer--\r\n")
	small := []byte("From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nSubject: x\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\n" + strings.Repeat("line\r\n", 600))
	for name, body := range map[string][]byte{"1MB-4-parts": m.Bytes(), "4KB-plain": small, "nested-100": nested(99)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				Scan(body)
			}
		})
	}
}
