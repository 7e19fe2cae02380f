package smtp

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/smtpclient/smtptest"
)

// FuzzSession plays any bytes to a whole session. Whatever they are, it ends with its input, every line of it is a reply, and
// no message is stored without an end and a recipient.
func FuzzSession(f *testing.F) {
	const mail = "EHLO a\r\nMAIL FROM:<a@b.test> SIZE=3\r\nRCPT TO:<ann@example.com>\r\n"
	for _, s := range []string{
		mail + "DATA\r\n..x\r\n.\r\nQUIT\r\n", mail + "DATA\r\nx\n.\n" + smuggled + "NOOP\r\n", mail + "BDAT 3\r\nabcBDAT 0 LAST\r\nRSET\r\n",
		mail + "BDAT 99999999 LAST\r\n", mail + "STARTTLS\r\nEHLO b\r\n", "HELO x\r\nVRFY a\r\nEXPN b\r\nHELP\r\nAUTH PLAIN\r\n\r\nNOOP\n", "EHLO a\r\nDATA\r\n",
		mail + "RCPT TO:<postmaster>\r\nDATA\r\n" + strings.Repeat("x", 300) + "\r\n.\r\nMAIL FROM:<>\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k := &core{}
		srv := New(Config{
			Hostname: "mail.test", Begin: k.Begin, Log: slog.New(slog.DiscardHandler), Clock: clock.System{}, SpoolDir: t.TempDir(), SpoolMemory: 100,
			Limits: Limits{Message: 200},
		})
		conn := &smtptest.Tape{In: bytes.NewReader(b)}
		newSession(srv, conn).run(false)
		if out := conn.Out.Bytes(); !replyLine.Match(out) {
			t.Fatalf("%q is answered %q", b, out)
		}
		for _, s := range k.stored {
			if len(s.to) == 0 || len(s.body) > 200 || strings.ContainsAny(strings.ReplaceAll(s.body, "\r\n", ""), "\r\n") {
				t.Fatalf("%q stores %+v", b, s)
			}
		}
		if n := bytes.Count(bytes.ToUpper(b), []byte("DATA")) + bytes.Count(bytes.ToUpper(b), []byte("LAST")); len(k.stored) > n {
			t.Fatalf("%q stores %d messages", b, len(k.stored))
		}
	})
}
