package smtpclient

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/smtpclient/smtptest"
)

// FuzzClient plays any bytes of a server to a client that sends a message to two. Whatever they are, a recipient counts as taken only
// where the message went out whole, and one without an answer only with an error.
func FuzzClient(f *testing.F) {
	const greeted = "220 x\r\n250-x\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
	for _, s := range []string{
		greeted + "250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n250 taken\r\n", greeted + "250\r\n550\r\n550\r\n354\r\n250\r\n",
		greeted + "421 bye\r\n", "220 x\r\n500 what?\r\n250 x\r\n250\r\n250\r\n250\r\n354\r\n250\r\n", greeted + "550\r\n250\r\n250\r\n354\r\n250\r\n",
		"220 x\r\n250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n250\r\n250\r\n450\r\n250\r\n221\r\n", greeted + "354\r\n", "554 no\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		conn := &smtptest.Tape{In: bytes.NewReader(b)}
		c, err := New(t.Context(), conn, options())
		if err != nil {
			return
		}
		replies, err := send(t.Context(), c, "a\r\n.b\r\n", "one@a.test", "two@a.test")
		said := conn.Out.String()
		whole := strings.Contains(said, "DATA\r\na\r\n..b\r\n.\r\n") || strings.Contains(said, "BDAT 7 LAST\r\na\r\n.b\r\n")
		for _, r := range replies {
			switch {
			case r.Code == 0 && err == nil, r.positive() && !whole, r.Code/100 == 3:
				t.Fatalf("%q: %v, %v after %q", b, replies, err, said)
			}
		}
		if err != nil && c.Err() == nil {
			t.Fatalf("%q: %v, and the client can be used", b, err)
		}
		c.Quit(t.Context())
	})
}
