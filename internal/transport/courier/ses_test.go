package courier

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// amazon is what SES's SMTP endpoint offers, from its greeting to the sign-in.
const amazon = "S: 220 email-smtp.amazonaws.com ESMTP SimpleEmailService-d-X x\nC= EHLO out.test\nS: 250-email-smtp.amazonaws.com\nS: 250-8BITMIME\nS: 250-STARTTLS\nS: 250-AUTH PLAIN LOGIN\nS: 250 Ok\n" +
	"C= STARTTLS\nS: 220 Ready to start TLS\nTLS\nC= EHLO out.test\nS: 250-email-smtp.amazonaws.com\nS: 250-8BITMIME\nS: 250-AUTH PLAIN LOGIN\nS: 250 Ok\nC= AUTH PLAIN AGFubgBzZWNyZXQ=\nS: 235 Authentication successful.\n"

func ses(t *testing.T, scripts ...string) *world {
	g := relay
	g.SES, g.NullSender = true, "postmaster@out.test"
	return gateway(t, g, "relay.test", scripts...)
}

// TestSESAnswers as AWS documents them.
func TestSESAnswers(t *testing.T) {
	const offer = "C: MAIL FROM:<sender@b.test>\nS: 250 Ok\nC= RCPT TO:<one@a.test>\nS: 250 Ok\nC= DATA\nS: 354 End data with <CR><LF>.<CR><LF>\nMESSAGE\nS: "
	for name, c := range map[string]struct {
		answer, status, text string
		result               queue.Result
		down                 bool
	}{
		"taken":        {"250 Ok 0102018c-example-000000", "2.0.0", "0102018c", queue.Delivered, false},
		"not verified": {"554 Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: sender@b.test", "5.7.1", "Amazon SES, by which this server sends, has not verified the sender's address or domain", queue.Failed, false},
		"too fast":     {"454 Throttling failure: Maximum sending rate exceeded.", "4.7.1", "Maximum sending rate", queue.Deferred, false},
		"too much":     {"454 Throttling failure: Daily message quota exceeded.", "4.7.1", "Daily message quota", queue.Deferred, true},
		"paused":       {"454 Temporary service failure", "4.7.0", "Temporary service failure", queue.Deferred, false},
		"no domain":    {"554 Transaction failed: Missing final '@domain'", "5.0.0", "Missing final", queue.Failed, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := ses(t, amazon+offer+c.answer+"\n"+quit)
			want(t, w.through(), c.result, c.status, "relay.test", "TLSv1.3 verified", c.down, c.text)
		})
	}
}

// TestNullSender is replaced where the gateway refuses it; what has a sender keeps it.
func TestNullSender(t *testing.T) {
	w := ses(t, amazon+"C: MAIL FROM:<postmaster@out.test>\nS: 250 Ok\nC= RCPT TO:<one@a.test>\nS: 250 Ok\nC= DATA\nS: 354 go\nMESSAGE\nS: 250 Ok 1\n"+quit)
	m := newMessage("one")
	m.From, m.Recipients[0].Route = message.Address{}, "relay"
	o := w.courier.Deliver(t.Context(), queue.Destination{Route: "relay"}, m)[0]
	want(t, o, queue.Delivered, "2.0.0", "relay.test", "TLSv1.3 verified", false, "250")
}

// TestSESTakesFifty recipients at a time, and refuses all of a message for one more.
func TestSESTakesFifty(t *testing.T) {
	var script strings.Builder
	var names []string
	script.WriteString(amazon)
	for i := range 60 {
		names = append(names, fmt.Sprint("u", i))
		if i == 50 {
			script.WriteString("C= DATA\nS: 354 go\nMESSAGE\nS: 250 Ok 1\nC= RSET\nS: 250 Ok\n")
		}
		if i%50 == 0 {
			script.WriteString("C: MAIL FROM:<sender@b.test>\nS: 250 Ok\n")
		}
		fmt.Fprintf(&script, "C= RCPT TO:<u%d@a.test>\nS: 250 Ok\n", i)
	}
	w := ses(t, script.String()+"C= DATA\nS: 354 go\nMESSAGE\nS: 250 Ok 2\n"+quit)
	m := newMessage(names...)
	for i := range m.Recipients {
		m.Recipients[i].Route = "relay"
	}
	for i, o := range w.courier.Deliver(t.Context(), queue.Destination{Route: "relay"}, m) {
		if o.Result != queue.Delivered {
			t.Fatalf("%s: %+v", names[i], o)
		}
	}
}
