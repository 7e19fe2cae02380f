package imap

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// TestLargeBinary decodes a part that is too large to stay in memory while a client reads it.
func TestLargeBinary(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		data := strings.Repeat("0123456789\x00abcdef\r\n", 100_000)
		var b strings.Builder
		b.WriteString("Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		for coded := base64.StdEncoding.EncodeToString([]byte(data)); coded != ""; {
			n := min(76, len(coded))
			b.WriteString(coded[:n] + "\r\n")
			coded = coded[n:]
		}
		r.deliver("INBOX", b.String(), 0)
		c := r.login()
		c.ok("a SELECT INBOX")
		if got, want := c.ok("b FETCH 1 BINARY.SIZE[1]")[0], fmt.Sprintf("* 1 FETCH (BINARY.SIZE[1] %d)", len(data)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		for part, want := range map[string]string{"": data, "<1000000.999>": data[1000000:1000999], "<99999999999.5>": ""} {
			c.Send("c FETCH 1 BINARY.PEEK[1]" + part + "\r\n")
			if got := c.Line(); !strings.HasSuffix(got, fmt.Sprintf("~{%d}", len(want))) {
				t.Fatalf("%q, want %d bytes", got, len(want))
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(c.In, got); err != nil || string(got) != want {
				t.Errorf("BINARY[1]%s is something else: %v", part, err)
			}
			if got := c.Line() + c.Line(); got != ")c OK FETCH done" {
				t.Errorf("then comes %q", got)
			}
		}
		if left, err := os.ReadDir(r.Spool); err != nil || len(left) > 0 {
			t.Errorf("left in the spool: %v, %v", left, err)
		}
	})
}
