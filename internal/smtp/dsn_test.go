package smtp

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// The session of RFC 3461 section 10.1, in one write.
func TestExampleOfRFC3461(t *testing.T) {
	ts := serve(t, nil)
	ts.play(`
		S: 220
		C: EHLO Example.ORG
		S* 250
		C: MAIL FROM:<Alice@Example.ORG> RET=HDRS ENVID=QQ314159
		C: RCPT TO:<Bob@Example.COM> NOTIFY=SUCCESS ORCPT=rfc822;Bob@Example.COM
		C: RCPT TO:<Carol@Ivory.EDU> NOTIFY=FAILURE ORCPT=rfc822;Carol@Ivory.EDU
		C: RCPT TO:<Dana@Ivory.EDU> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Dana@Ivory.EDU
		C: RCPT TO:<Eric@Bombs.AF.MIL> NOTIFY=FAILURE ORCPT=rfc822;Eric@Bombs.AF.MIL
		C: RCPT TO:<Fred@Bombs.AF.MIL> NOTIFY=NEVER
		C: RCPT TO:<George@Tax-ME.GOV> NOTIFY=FAILURE ORCPT=rfc822;George@Tax-ME.GOV
		C: DATA
		S: 250
		S: 250
		S: 250
		S: 250
		S: 250
		S: 250
		S: 250
		S: 354
		C: .
		S: 250`)
	got := ts.core.stored[0]
	if got.sender.EnvelopeID != "QQ314159" || got.sender.Return != queue.ReturnHeaders || got.sender.RequireTLS || got.sender.SMTPUTF8 {
		t.Errorf("sender %+v", got.sender)
	}
	var want []queue.Recipient
	for _, r := range []queue.Recipient{
		{Address: message.Address{Local: "Bob", Domain: "Example.COM"}, Notify: queue.OnSuccess},
		{Address: message.Address{Local: "Carol", Domain: "Ivory.EDU"}, Notify: queue.OnFailure},
		{Address: message.Address{Local: "Dana", Domain: "Ivory.EDU"}, Notify: queue.OnSuccess | queue.OnFailure},
		{Address: message.Address{Local: "Eric", Domain: "Bombs.AF.MIL"}, Notify: queue.OnFailure},
		{Address: message.Address{Local: "Fred", Domain: "Bombs.AF.MIL"}, Notify: queue.Never},
		{Address: message.Address{Local: "George", Domain: "Tax-ME.GOV"}, Notify: queue.OnFailure},
	} {
		if r.Notify != queue.Never {
			r.Original = "rfc822;" + r.Address.String()
		}
		want = append(want, r)
	}
	if !slices.Equal(got.asked, want) {
		t.Errorf("recipients %+v\nwant %+v", got.asked, want)
	}
}

// What is refused changes nothing: the next command finds the session as it was.
func TestParametersOfDSN(t *testing.T) {
	const notify = "501 5.5.4 NOTIFY is NEVER, or a list of SUCCESS, FAILURE and DELAY"
	const orcpt = "501 5.5.4 ORCPT is a type, a semicolon, and an address as xtext, 500 characters at most"
	const envid = "501 5.5.4 ENVID is xtext of printable characters, 100 at most"
	const form = "501 5.5.4 a parameter is NAME or NAME=value"
	ts := serve(t, func(c *Config) { c.Limits.Errors = 1000 })
	c := ts.play("S: 220\nC: EHLO a.test\nS* 250")
	for _, r := range []struct{ params, want string }{
		{"RET=FULL", ""},
		{"ret=hdrs", ""},
		{"RET=ALL", "501 5.5.4 RET is FULL or HDRS"},
		{"RET=", form},
		{"RET", "555 5.5.4 the parameter RET is not known here"},
		{"RET=FULL RET=HDRS", "501 5.5.4 the parameter RET stands twice"},
		{"ENVID=a+20b+3Dc", ""},
		{"ENVID=a+2bb", ""},
		{"ENVID=" + strings.Repeat("x", 100), ""},
		{"ENVID=" + strings.Repeat("x", 101), envid},
		{"ENVID=a=b", envid},
		{"ENVID=a+", envid},
		{"ENVID=a+2", envid},
		{"ENVID=a+GG", envid},
		{"ENVID=a+0D+0AX:+20y", envid},
		{"ENVID=a+E4", envid},
		{"ENVID=\u00e4", envid},
		{"ENVID", "555 5.5.4 the parameter ENVID is not known here"},
		{"ENVID=", form},
		{"NOTIFY=NEVER", "555 5.5.4 the parameter NOTIFY is not known here"},
		{"REQUIRETLS", "555 5.5.4 REQUIRETLS can only be asked for under TLS"},
		{"REQUIRETLS=yes", "555 5.5.4 the parameter REQUIRETLS is not known here"},
	} {
		c.play("C: MAIL FROM:<a@b.test> " + r.params)
		if r.want != "" {
			c.play("S= " + r.want + "\nC: RCPT TO:<ann@example.com>\nS: 503 5.5.1 say MAIL first")
			continue
		}
		c.play("S: 250 2.1.0\nC: RSET\nS: 250")
	}
	c.play("C: MAIL FROM:<a@b.test>\nS: 250")
	var want []string
	for _, r := range []struct{ params, want string }{
		{"NOTIFY=NEVER", ""},
		{"NOTIFY=SUCCESS", ""},
		{"notify=delay,failure,success", ""},
		{"NOTIFY=FAILURE,DELAY", ""},
		{"NOTIFY=NEVER,FAILURE", notify},
		{"NOTIFY=FAILURE,NEVER", notify},
		{"NOTIFY=NEVER,NEVER", notify},
		{"NOTIFY=SUCCESS,SUCCESS", notify},
		{"NOTIFY=SUCCESS,", notify},
		{"NOTIFY=,SUCCESS", notify},
		{"NOTIFY=ALWAYS", notify},
		{"NOTIFY=", form},
		{"NOTIFY", "555 5.5.4 the parameter NOTIFY is not known here"},
		{"NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4 the parameter NOTIFY stands twice"},
		{"ORCPT=rfc822;ann+2Btag@example.com", ""},
		{"ORCPT=X400;/c=us", orcpt},
		{"ORCPT=x400;/c+3Dus/", ""},
		{"ORCPT=rfc822;" + strings.Repeat("x", 493), ""},
		{"ORCPT=rfc822;" + strings.Repeat("x", 494), orcpt},
		{"ORCPT=rfc822", orcpt},
		{"ORCPT=rfc822;", orcpt},
		{"ORCPT=;ann@example.com", orcpt},
		{"ORCPT=rfc 822;ann@example.com", form},
		{"ORCPT=rfc(822);ann@example.com", orcpt},
		{"ORCPT=rfc822;a+0D+0ABcc:b@c", orcpt},
		{"ORCPT=rfc822;+00", orcpt},
		{"ORCPT=rfc822;+C3+A4@example.com", orcpt},
		{`ORCPT=utf-8;\x{3B4}\x{2B}x@example.com`, ""},
		{`ORCPT=utf-8;\x{3B4`, orcpt},
		{`ORCPT=utf-8;\x{D800}@example.com`, orcpt},
		{`ORCPT=utf-8;\x{0A}@example.com`, orcpt},
		{"ORCPT=utf-8;\u03b4@example.com", "553 5.6.7 an address beyond ASCII needs the parameter SMTPUTF8"},
		{"ORCPT", "555 5.5.4 the parameter ORCPT is not known here"},
		{"RET=FULL", "555 5.5.4 the parameter RET is not known here"},
		{"NOTIFY=SUCCESS ORCPT=rfc822;x@y.test", ""},
	} {
		c.play("C: RCPT TO:<ann@example.com> " + r.params)
		if r.want != "" {
			c.play("S= " + r.want)
			continue
		}
		c.play("S: 250 2.1.5")
		want = append(want, r.params)
	}
	c.play("C: DATA\nS: 354\nC: .\nS: 250")
	if got := ts.core.stored[0].asked; len(got) != len(want) {
		t.Errorf("%d recipients were taken: %+v\nwant %q", len(got), got, want)
	} else if last := fmt.Sprint(got[len(got)-1]); !strings.Contains(last, "rfc822;x@y.test") {
		t.Errorf("the last recipient is %s", last)
	}
}

func TestOriginalRecipientInUTF8(t *testing.T) {
	ts := serve(t, nil)
	ts.play(`
		S: 220
		C: EHLO a.test
		S* 250
		C: MAIL FROM:<a@b.test> SMTPUTF8
		S: 250
		C: RCPT TO:<ann@example.com> ORCPT=utf-8;δ@παράδειγμα.test
		S: 250
		C: DATA
		S: 354
		C: .
		S: 250`)
	if got := ts.core.stored[0]; got.asked[0].Original != "utf-8;δ@παράδειγμα.test" || !got.sender.SMTPUTF8 {
		t.Errorf("%+v", got)
	}
}

func TestRequireTLSUnderTLS(t *testing.T) {
	ts := serve(t, nil)
	ts.play(`
		S: 220
		C: EHLO a.test
		S* 250
		C: STARTTLS
		S: 220
		TLS
		C: EHLO a.test
		S* 250
		C: MAIL FROM:<a@b.test> REQUIRETLS=1
		S: 555 5.5.4
		C: MAIL FROM:<a@b.test> REQUIRETLS
		S: 250
		C: RCPT TO:<ann@example.com>
		S: 250
		C: DATA
		S: 354
		C: .
		S: 250`)
	if !ts.core.stored[0].sender.RequireTLS {
		t.Error("REQUIRETLS is lost")
	}
}
