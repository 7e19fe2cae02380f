package smtp

import (
	"testing"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// FuzzCommand feeds a whole session's bytes to the parsers of commands.
func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"MAIL FROM:<a@b.c> SIZE=12 BODY=8BITMIME SMTPUTF8", "RCPT TO:<\"a b\"@[IPv6:::1]>", "RCPT TO:<postmaster>", "MAIL FROM:<@a:b@c>", "EHLO [127.0.0.1]",
		"BDAT 12 LAST", "AUTH PLAIN =", "mail from: <>", "MAIL FROM:<a@b.c> RET=HDRS ENVID=QQ+3D314159 REQUIRETLS", "RCPT TO:<a@b.c> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c",
		`RCPT TO:<a@b.c> ORCPT=utf-8;\x{3B4}@b.c`, "RCPT TO:<a@b.c> NOTIFY=NEVER ORCPT=utf-8;δ@b.c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		_, args := splitCommand(line)
		for _, keyword := range []string{"FROM:", "TO:"} {
			cmd, refusal := parsePathCommand(keyword, args, keyword == "TO:")
			if refusal != nil {
				if refusal.code < 500 || refusal.enhanced[0] != '5' {
					t.Fatalf("%q is refused with %v", line, refusal)
				}
				continue
			}
			if cmd.path.Domain == "" && !cmd.path.IsZero() && cmd.path.Local != "postmaster" {
				t.Fatalf("%q has the path %+v", line, cmd.path)
			}
			if s := cmd.path.String(); s != "" && cmd.path.Domain != "" {
				if again, err := message.ParseAddress(s); err != nil || again != cmd.path {
					t.Fatalf("%q: %q reads as %+v, %v", line, s, again, err)
				}
			}
			if to, refusal := parseRcptParams(cmd.params, false); refusal == nil {
				if to.Notify&queue.Never != 0 && to.Notify != queue.Never || len(to.Original) > 500 || !isPrintableASCII(to.Original) {
					t.Fatalf("%q has %+v", line, to)
				}
			}
			if m, refusal := parseMailParams(cmd.params, 1000, true, true); refusal == nil && (m.size < 0 || m.size > 1000 || len(m.envelopeID) > 100) {
				t.Fatalf("%q announces %d bytes", line, m.size)
			}
		}
		if size, _, ok := parseBDAT(args); ok && size < 0 {
			t.Fatalf("%q is a chunk of %d bytes", line, size)
		}
		if name, ok := parseHello(args); ok && name == "" {
			t.Fatalf("%q has no name", line)
		}
	})
}
