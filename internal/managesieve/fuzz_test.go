package managesieve

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzWords reads anything as commands: no more is kept than the limits allow, and each string that was read is read again as it is
// written.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{
		"NOOP\r\n", "PUTSCRIPT \"a\" {5+}\r\nkeep;\r\nLISTSCRIPTS\r\n", "HAVESPACE \"\\\"\\\\\" 4294967295\r\n", "{3+}\r\nabc\r\n", "X \"{1+}\r\nabc\r\n",
		"A {99999999999999999999+}\r\n", "A {13000+}\r\n", "A\nB\r\n", "AUTHENTICATE \"PLAIN\" {0+}\r\n\r\n", "A {1+}\r\nb{1+}\r\nc\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		r := newReader(bytes.NewReader(input))
		r.literal, r.skip = 64, 1024
		for {
			words, err := r.words()
			var syntax *syntaxError
			if err != nil && !errors.As(err, &syntax) {
				if !errors.Is(err, errTooMuch) && !errors.Is(err, errBareEnd) && !errors.Is(err, errAsks) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("%q: %v", input, err)
				}
				return
			}
			kept := 0
			for _, w := range words {
				kept += len(w.text)
				if w.kind != text || !w.whole() {
					continue
				}
				line := append(appendString([]byte("X "), w.text), "\r\n"...)
				if line[2] == '{' {
					line = bytes.Replace(line, []byte("}\r\n"), []byte("+}\r\n"), 1)
				}
				reader := newReader(bytes.NewReader(line))
				reader.literal = maxLine
				again, err := reader.words()
				if err != nil || len(again) != 2 || !bytes.Equal(again[1].text, w.text) {
					t.Fatalf("%q is written %q and read %v, %v", w.text, line, again, err)
				}
			}
			if len(words) > maxWords+maxLiterals || kept > maxLine*(maxLiterals+1)+64*maxLiterals {
				t.Fatalf("%d words of %d bytes are kept", len(words), kept)
			}
		}
	})
}
