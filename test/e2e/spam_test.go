package e2e

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/transport/scan/scantest"
	"github.com/pennypost/pennypost/test/harness"
)

// Filters that run already, for scripts/check-filters; without them the tests speak their protocols themselves.
var (
	realClamd      = flag.String("clamd", "", "where clamd listens, which knows the signature of EICAR's test file")
	realRspamd     = flag.String("rspamd", "", "URL of a normal worker of rspamd")
	realController = flag.String("rspamd-controller", "", "URL of its controller, whose password is secret")
)

// arrive hands messages in as another server does, in one session, and returns the answer of each; empty for one that was taken.
func arrive(t *testing.T, s *harness.Server, to string, texts ...string) (answers []string) {
	t.Helper()
	c, err := smtp.Dial(s.Addr("smtp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, text := range texts {
		if err := c.Mail("x@far.example"); err != nil {
			t.Fatal(err)
		}
		if err := c.Rcpt(to); err != nil {
			t.Fatal(err)
		}
		w, err := c.Data()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		answer, refusal := "", (*textproto.Error)(nil)
		if err := w.Close(); errors.As(err, &refusal) {
			answer = fmt.Sprintf("%d %s", refusal.Code, refusal.Msg)
		} else if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, answer)
	}
	return answers
}

// TestSpamIsLearnedFromMoves is a user who moves spam away, marks what is none, and then gets spam in Junk E-mail. After a restart too.
func TestSpamIsLearnedFromMoves(t *testing.T) {
	const ann, n = "ann@spam.awsapps.com", 22
	s := harness.Start(t, harness.Options{})
	office(t, s, "spam", "ann")
	offer := func(i int) string {
		return fmt.Sprintf("From: Deals <d%d@deals.example>\r\nSubject: cheap watches %d\r\n\r\nLuxury replica watches, unbelievable discount, buy today at http://watches%d.example/\r\n", i, i, i)
	}
	letter := func(i int) string {
		return fmt.Sprintf("From: Bob <bob@friend.example>\r\nSubject: minutes of meeting %d\r\n\r\nDear Ann, please find the minutes of our project meeting and the agenda for week %d.\r\n", i, i)
	}
	var texts []string
	for i := range n {
		texts = append(texts, offer(i))
	}
	for i := range n {
		texts = append(texts, letter(i))
	}
	for _, answer := range arrive(t, s, ann, texts...) {
		if answer != "" {
			t.Fatal(answer)
		}
	}
	imap := s.IMAP(ann, password)
	imap.Do("SELECT INBOX")
	imap.Do(fmt.Sprintf("STORE %d:%d +FLAGS ($NotJunk)", n+1, 2*n))
	imap.Do(fmt.Sprintf(`MOVE 1:%d "Junk E-mail"`, n))
	count := func(folder string) int { return len(imap.Subjects(folder, "ALL")) }
	i := n
	harness.Eventually(t, "spam is sorted out", func() bool {
		before := count("Junk E-mail")
		arrive(t, s, ann, offer(i))
		i++
		return count("Junk E-mail") > before
	})
	s.Stop()
	s.Start()
	imap = s.IMAP(ann, password)
	junk, inbox := count("Junk E-mail"), count("INBOX")
	arrive(t, s, ann, offer(i), letter(i))
	if j, m := count("Junk E-mail"), count("INBOX"); j != junk+1 || m != inbox+1 {
		t.Errorf("after a restart spam and ham went to %d and %d messages in Junk E-mail and INBOX, of %d and %d", j, m, junk, inbox)
	}
	imap.Do(`SELECT "Junk E-mail"`)
	if h := strings.Join(imap.Do("FETCH * BODY.PEEK[HEADER]"), "\n"); !strings.Contains(h, "X-Spam-Status: Yes, score=") || !strings.Contains(h, "words +") {
		t.Errorf("it does not say why:\n%s", h)
	}
}

const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// TestFilters runs the server beside clamd and rspamd, and shows what becomes of test mail that they know, of mail while they are down,
// and of attachments that are not let through.
func TestFilters(t *testing.T) {
	const ann = "ann@filters.awsapps.com"
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	clamd, rspamd, controller := *realClamd, *realRspamd, *realController
	if clamd == "" {
		clamd, rspamd = startClamd(t), startRspamd(t)
		controller = rspamd
	}
	monitor := harness.FreeAddress(t)
	s := harness.Start(t, harness.Options{Flags: []string{
		"--clamd", clamd, "--rspamd", rspamd, "--rspamd-controller", controller, "--rspamd-password-file", secret, "--metrics", monitor, "--limit-attachments", "1",
	}})
	office(t, s, "filters", "ann")
	text := func(subject, body string) string {
		return "From: <x@far.example>\r\nTo: <" + ann + ">\r\nMessage-ID: <" + subject + "@far.example>\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\nSubject: " + subject + "\r\n\r\n" + body + "\r\n"
	}
	answers := arrive(t, s, ann, text("clean", "hello"), text("infected", eicar), text("spam", gtube))
	if answers[0] != "" || !strings.HasPrefix(answers[1], "550 5.7.1 the message holds a virus: Eicar") || answers[2] != "" {
		t.Errorf("the server answered %q", answers)
	}
	imap := s.IMAP(ann, password)
	for folder, want := range map[string]string{"INBOX": "clean", "Junk E-mail": "spam"} {
		if got := strings.Join(imap.Subjects(folder, "ALL"), ","); got != want {
			t.Errorf("%s has %q, want %q", folder, got, want)
		}
	}
	imap.Do(`SELECT "Junk E-mail"`)
	if h := strings.Join(imap.Do("FETCH 1 BODY.PEEK[HEADER]"), "\n"); !strings.Contains(h, "X-Spam-Status: Yes, score=") || !strings.Contains(h, "rspamd: reject") {
		t.Errorf("spam does not say why it is:\n%s", h)
	}
	imap.Do("SELECT INBOX")
	imap.Do(`MOVE 1 "Junk E-mail"`)
	harness.Eventually(t, "a move is learned", func() bool {
		return strings.Contains(metricsOf(t, monitor), `pennypost_spam_learned_total{as="spam"} 1`)
	})

	// What users submit is looked into as well, here by an independent client.
	submit := func(subject string, more ...string) harness.Result {
		t.Helper()
		args := append([]string{
			"--server", s.Addr("submissions"), "--tls-on-connect", "--auth", "PLAIN", "--auth-user", ann, "--auth-password", password,
			"--from", ann, "--to", ann, "--header", "Subject: " + subject,
		}, more...)
		return harness.Run(t, harness.Command{Name: harness.Tool(t, "swaks"), Args: args})
	}
	program := filepath.Join(t.TempDir(), "setup.exe")
	if err := os.WriteFile(program, []byte("MZ"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		subject, says string
		more          []string
	}{
		{"a letter", "<~  250 2.0.0", nil},
		{"a virus", "<~* 550 5.7.1 the message holds a virus: Eicar", []string{"--body", eicar}},
		{"a program", `<~* 550 5.7.1 the attachment "setup.exe" is of type .exe`, []string{"--attach", "@" + program}},
		{"two files", "<~* 552 5.3.4 the message has 2 attachments; at most 1 are allowed", []string{"--attach", "one", "--attach", "two"}},
	} {
		if r := submit(c.subject, c.more...); !strings.Contains(r.Stdout, c.says) {
			t.Errorf("%s: %s\nwant %q", c.subject, r, c.says)
		}
	}

	// While nobody answers: mail waits for clamd, and not for rspamd.
	nobody := harness.FreeAddress(t)
	for _, c := range []struct {
		flags []string
		says  string
	}{
		{[]string{"--clamd", nobody}, "451 4.3.0 the message can't be looked at for viruses now; try again later"},
		{[]string{"--clamd", nobody, "--clamd-down", "accept", "--rspamd", "http://" + nobody}, ""},
	} {
		s := harness.Start(t, harness.Options{Flags: c.flags})
		office(t, s, "filters", "ann")
		if got := arrive(t, s, ann, text("waiting", "hello"))[0]; got != c.says {
			t.Errorf("with %q the server answered %q, want %q", c.flags, got, c.says)
		}
	}
}

func metricsOf(t *testing.T, address string) string {
	t.Helper()
	r, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// startClamd answers as clamd does whose only signature is that of EICAR's test file.
func startClamd(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	scantest.Serve(t, l, 25<<20, scantest.Finds(eicar))
	return l.Addr().String()
}

// startRspamd answers as rspamd does that knows GTUBE alone, and learns.
func startRspamd(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		switch {
		case err != nil, r.Header.Get("Password") != "secret":
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/learnspam":
			_, _ = io.WriteString(w, `{"success":true}`)
		case bytes.Contains(text, []byte(gtube)):
			_, _ = io.WriteString(w, `{"is_skipped":false,"score":15.0,"required_score":15.0,"action":"reject","symbols":{"GTUBE":{"name":"GTUBE","score":0.0}},"messages":{"smtp_message":"Gtube pattern"}}`)
		default:
			_, _ = io.WriteString(w, `{"is_skipped":false,"score":0.0,"required_score":15.0,"action":"no action","symbols":{},"messages":{}}`)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}
