package transport_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/scan"
	"github.com/pennypost/pennypost/internal/transport/spam"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// TestSpamGoesToJunk shows where mail goes that is judged, what its events tell, and that what is refused for what it holds is stored
// nowhere, whoever sends it.
func TestSpamGoesToJunk(t *testing.T) {
	checked := &checker{}
	hook := func(o *transport.Options) {
		o.Auth = checked
		o.Spam = spam.New(spam.Options{DB: o.DB, Mailboxes: o.Mailboxes, Clock: o.Clock, Log: o.Log, Key: []byte("key")})
		o.Scanner = scan.New(scan.Options{Types: scan.NewTypes([]string{scan.WorkMail}), Inbound: true, Log: slog.New(slog.DiscardHandler)})
	}
	transporttest.OnBoth(t, hook, func(w *transporttest.World) {
		ann := w.User("ann")
		monitor(w, w.Acme)
		checked.verdict = failed(mailauth.PolicyNone)
		send := func(text string, listed ...string) error {
			t.Helper()
			p := principal.TheSystem("SMTP")
			p.Address = netip.MustParseAddr("192.0.2.1")
			x, err := w.Begin(t.Context(), transport.Sender{Principal: p, From: address("x@far.example"), Hello: "mx.far.example", Listed: listed})
			w.Must(err)
			w.Must(x.Add(t.Context(), asked(annsAddress)))
			return store(t.Context(), x, text)
		}
		verdicts := func() (found []string) {
			t.Helper()
			for _, e := range untraced(t, w.Told(2)) {
				for _, field := range []string{`"spamVerdict":"`, `"folder":"`} {
					if _, rest, ok := strings.Cut(e, field); ok {
						value, _, _ := strings.Cut(rest, `"`)
						found = append(found, value)
					}
				}
			}
			return found
		}
		w.Must(send(fromFar))
		if got := verdicts(); !slices.Equal(got, []string{"PASS", "INBOX"}) {
			t.Errorf("of mail that nobody said anything of is told %q", got)
		}
		w.Must(send(fromFar, "bl.example"))
		if got := verdicts(); !slices.Equal(got, []string{"FAIL", "Junk E-mail"}) {
			t.Errorf("of spam is told %q", got)
		}
		inbox, junk := w.Inbox(ann), w.Junk(ann)
		if len(inbox) != 1 || len(junk) != 1 || strings.Contains(inbox[0].Text, "X-Spam") {
			t.Fatalf("%d messages in the inbox, %d in Junk E-mail:\n%v", len(inbox), len(junk), inbox)
		}
		if text := junk[0].Text; !strings.Contains(text, "\r\nX-Spam-Status: Yes, score=5.0 required=5.0;\r\n\tthe client is listed by bl.example\r\nX-Spam-Score: 5.0\r\nReceived: ") {
			t.Errorf("spam says\n%s", text)
		}

		const program = "From: %s\r\nContent-Disposition: attachment; filename=setup.exe\r\n\r\nMZ\r\n"
		before := len(checked.asked)
		if err := send(strings.Replace(program, "%s", "x@far.example", 1)); !fault.Is(err, fault.Denied, fault.Message) {
			t.Errorf("a program from elsewhere: %v", err)
		}
		if len(checked.asked) != before+1 {
			t.Error("what DMARC says of a message is not looked at where it is refused otherwise")
		}
		checked.verdict = failed(mailauth.PolicyReject)
		if err := send(strings.Replace(program, "%s", "x@far.example", 1)); err == nil || !strings.Contains(err.Error(), "DMARC") {
			t.Errorf("a forged program: %v", err)
		}
		w.Told(1) // of the policy
		x, err := w.Begin(t.Context(), transport.Sender{
			Principal: principal.Principal{Kind: principal.User, ID: string(ann), Organization: string(w.Acme.ID)}, Submitted: true, From: address(annsAddress),
		})
		w.Must(err)
		w.Must(x.Add(t.Context(), asked(annsAddress)))
		if err := store(t.Context(), x, strings.Replace(program, "%s", annsAddress, 1)); !fault.Is(err, fault.Denied, fault.Message) {
			t.Errorf("a program of a user: %v", err)
		}
		if i, j := len(w.Inbox(ann)), len(w.Junk(ann)); i != 1 || j != 1 {
			t.Errorf("what is refused is stored: %d, %d", i, j)
		}
	})
}

// TestAttachmentsOfAMessageAreLimited just inside and just outside, for mail from elsewhere and of users.
func TestAttachmentsOfAMessageAreLimited(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) { attachments(w, 500) })
	transporttest.OnBoth(t, func(o *transport.Options) { o.Limits.Attachments = 3 }, func(w *transporttest.World) { attachments(w, 3) })
	transporttest.OnBoth(t, func(o *transport.Options) { o.Limits.Attachments = -1 }, func(w *transporttest.World) { attachments(w, -1) })
}

func attachments(w *transporttest.World, limit int) {
	t := w.T
	ann := w.User("ann")
	const (
		text  = "--x\r\n\r\nText, and\r\n-- \r\na line\r\n"
		named = "--x\r\nContent-Disposition: inline; filename=a.txt\r\n\r\n.\r\n"
		image = "--x\r\nContent-Type: image/png\r\n\r\n.\r\n"
		// holds two, and is one.
		forwarded = "--x\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\nContent-Type: image/png\r\n\r\n.\r\n" +
			"--y\r\nContent-Type: image/png\r\n\r\n.\r\n--y--\r\n"
	)
	most := limit
	if limit < 0 {
		most = 600
	}
	full := strings.Repeat(text, 5) + named + forwarded + strings.Repeat(image, most-2)
	stored := 0
	for _, c := range []struct {
		parts string
		ok    bool
	}{{full, true}, {full + image, limit < 0}, {strings.Repeat(text, 700), true}} {
		for _, submitted := range []bool{false, true} {
			s := transport.Sender{Principal: principal.TheSystem("SMTP"), From: address("x@far.example")}
			if submitted {
				s = transport.Sender{
					Principal: principal.Principal{Kind: principal.User, ID: string(ann), Organization: string(w.Acme.ID)}, Submitted: true, From: address(annsAddress),
				}
			}
			x, err := w.Begin(t.Context(), s)
			w.Must(err)
			w.Must(x.Add(t.Context(), asked(annsAddress)))
			err = store(t.Context(), x, "From: "+s.From.String()+"\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"+c.parts+"--x--\r\n")
			if !c.ok {
				if want := fmt.Sprintf("the message has %d attachments; at most %d are allowed", limit+1, limit); !fault.Is(err, fault.TooLarge, fault.Message) || !strings.Contains(err.Error(), want) {
					t.Errorf("limit %d, submitted %v: %v, want %q", limit, submitted, err, want)
				}
				continue
			}
			w.Must(err)
			stored++
		}
	}
	if n := len(w.Inbox(ann)); n != stored {
		t.Errorf("limit %d: %d are stored, want %d", limit, n, stored)
	}
}
