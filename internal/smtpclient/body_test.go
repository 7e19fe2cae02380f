package smtpclient

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"testing"
)

// stuff is what a message becomes, written in pieces of n bytes.
func stuff(message []byte, n int) []byte {
	var b bytes.Buffer
	s := stuffer{out: bufio.NewWriterSize(&b, 16)}
	for len(message) > 0 {
		p := message[:min(n, len(message))]
		s.write(p)
		message = message[len(p):]
	}
	s.end()
	_ = s.out.Flush()
	return b.Bytes()
}

func TestHeaderBeyondASCII(t *testing.T) {
	long := strings.Repeat("X: y\r\n", maxHeader/6)
	for _, c := range []struct {
		message string
		want    bool
	}{
		{"", false},
		{"a: b", false},
		{"a: ä", true},
		{"a: b\r\nc: ä\r\n\r\n", true},
		{"a: b\r\n\r\nä", false},
		{"a: b\n\nä", false},
		{"a: b\r\rä", false},
		{"a: b\n\rä", false},
		{"a: b\rä", true},
		{"\r\nä", false},
		{strings.Repeat("x", readBuffer-2) + "\r\n\r\nä", false}, // the end is at the end of a piece,
		{strings.Repeat("x", readBuffer-1) + "\r\n\r\nä", false}, // or CR LF is parted
		{strings.Repeat("x", readBuffer-1) + "\r\nä\r\n", true},
		{long, false},
		{long[:len(long)-6] + "\r\n" + long + "ä", false},
		{long + long + "\r\nx", true}, // nobody looks so far
	} {
		if got, err := isEightBitHeader(strings.NewReader(c.message), int64(len(c.message))); err != nil || got != c.want {
			t.Errorf("%.20q of %d bytes: %v, %v", c.message, len(c.message), got, err)
		}
	}
	var unread *BodyError
	if _, err := isEightBitHeader(unreadable{10}, 20); !errors.As(err, &unread) {
		t.Error(err)
	}
}

// FuzzBody sends any bytes as a message. Whatever they are, and however they come in pieces, only CR LF ends a line, nothing looks like the end
// of a message, and a server reads the lines that were written.
func FuzzBody(f *testing.F) {
	for _, s := range []string{"a\r\n.\r\nb", ".", "\r.\n", "a\n.\nb\r\n", "\r\r\n\n", "..\r\n"} {
		f.Add([]byte(s), 1)
	}
	f.Fuzz(func(t *testing.T, message []byte, n int) {
		got := stuff(message, max(1, n))
		if !bytes.Equal(got, stuff(message, len(message)+1)) {
			t.Fatalf("%q depends on its pieces", message)
		}
		if len(got) > 0 && !bytes.HasSuffix(got, []byte("\r\n")) || bytes.ContainsAny(bytes.ReplaceAll(got, []byte("\r\n"), nil), "\r\n") {
			t.Fatalf("%q became %q", message, got)
		}
		lines := strings.Split(strings.TrimSuffix(string(got), "\r\n"), "\r\n")
		for i, line := range lines {
			if line == "." {
				t.Fatalf("%q became %q", message, got)
			}
			lines[i] = strings.TrimPrefix(line, ".")
		}
		want := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(message))
		if read := strings.Join(lines, "\n"); read != strings.TrimSuffix(want, "\n") {
			t.Fatalf("%q is read as %q", message, read)
		}
		if whole := hasWholeLines(message); whole != (string(message) == strings.Join(lines, "\r\n")+"\r\n") {
			t.Fatalf("%q has whole lines: %v", message, whole)
		}
	})
}
