package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/test/harness"
)

// script makes a Sieve script the rules of a user, by sieve-connect.
func script(t *testing.T, s *harness.Server, user, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.sieve")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--localsieve", file, "--upload"}, {"--activate"}} {
		r := harness.Run(t, harness.Command{
			Name: harness.Tool(t, "sieve-connect"), Stdin: password + "\n",
			Args: append([]string{
				"--server", "localhost", "--port", portOf(t, s.Addr("managesieve")), "--nosrv", "--user", user, "--passwordfd", "0", "--noclearchan",
				"--tlscafile", s.Env["PENNYPOST_CA_FILE"], "--remotesieve", "rules",
			}, args...),
		})
		if r.Status != 0 {
			t.Fatal(r)
		}
	}
}

// TestMailboxRules is a user whose rules file, pass on, refuse and answer what swaks hands in as another server, a Postfix being the others.
func TestMailboxRules(t *testing.T) {
	t.Parallel()
	postfix := harness.StartPostfix(t, "theirs.example", harness.FreeAddress(t), "bob")
	d := dnstest.New(t)
	d.Add("theirs.example. 60 IN MX 10 mx.theirs.example.", "mx.theirs.example. 60 IN A 127.0.0.1", `theirs.example. 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"`)
	s := harness.Start(t, harness.Options{Flags: append(outside(t, d, portOf(t, postfix.SMTP)), "--hostname", "mail.ours.example", "--trusted-proxies", "127.0.0.2")})
	company(t, s, "ours", "ours.example", "ann")
	script(t, s, "ann@ours.example", `require ["fileinto", "mailbox", "imap4flags", "copy", "vacation", "reject"];
if header :contains "subject" "no" { reject "Not for me."; stop; }
if header :contains "subject" "on" { redirect :copy "bob@theirs.example"; }
vacation "I am away.";
fileinto :create :flags "\\Flagged" "Work/Bob";
`)
	send := func(from, subject string) string {
		t.Helper()
		r := harness.Run(t, harness.Command{Name: harness.Tool(t, "swaks"), Args: []string{
			"--server", s.Addr("smtp"), "--local-interface", "127.0.0.2", "--proxy-family", "TCP4", "--proxy-source", "192.0.2.1", "--proxy-source-port", "4000",
			"--proxy-dest", "192.0.2.99", "--proxy-dest-port", "25", "--from", from, "--to", "ann@ours.example", "--header", "Subject: " + subject,
		}})
		return r.Stdout
	}
	for _, from := range []string{"bob@theirs.example", "forged@else.example", "bob@theirs.example"} {
		if out := send(from, "first"); !strings.Contains(out, "<-  250 2.0.0") {
			t.Errorf("it is answered with %s", out)
		}
	}
	send("bob@theirs.example", "on")
	if out := send("bob@theirs.example", "no"); !strings.Contains(out, "<** 550 5.7.1 Not for me.") {
		t.Errorf("it is refused with %s", out)
	}
	ann := s.IMAP("ann@ours.example", password)
	defer ann.Close()
	if got := ann.Subjects("Work/Bob", "FLAGGED"); !slices.Equal(got, []string{"first", "first", "first", "on"}) {
		t.Errorf("in the folder is %q", got)
	}
	if got := ann.Subjects("INBOX", "ALL"); len(got) != 0 {
		t.Errorf("in the inbox is %q", got)
	}
	harness.Eventually(t, "Postfix has the reply and what was passed on", func() bool { return len(postfix.Messages(t, "bob")) == 2 })
	got := strings.Join(postfix.Messages(t, "bob"), "\n")
	for _, want := range []string{
		"Return-Path: <>", "Subject: Auto: first", "Auto-Submitted: auto-replied", "DKIM-Signature:", "I am away.",
		"Return-Path: <bob@theirs.example>", "Delivered-To: ann@ours.example", "Subject: on",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestMailboxRulesSurviveAKill: what a message was acknowledged with is there once, and so is each reply.
func TestMailboxRulesSurviveAKill(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		t.Parallel()
		const messages = 40
		s := harness.Start(t, harness.Options{DatabaseURL: url})
		office(t, s, "rules", "ann", "bob")
		const ann, bob = "ann@rules.awsapps.com", "bob@rules.awsapps.com"
		script(t, s, ann, `require ["fileinto", "mailbox", "vacation", "variables"];
if header :matches "subject" "*" { set "which" "${1}"; }
vacation :handle "${which}" "I am away.";
fileinto :create "Work";
`)
		most := map[string]int{} // how often each may be there
		send := func(first int, until chan<- struct{}) (next int) {
			address, trust := s.Addr("submissions"), s.TLS()
			for ; first < messages; first++ {
				if first == messages/2 && until != nil {
					close(until)
				}
				subject := fmt.Sprint("number ", first)
				most[subject]++
				if handInAt(address, trust, bob, "Subject: "+subject+"\r\n\r\n.\r\n", ann) != nil {
					break
				}
			}
			return first
		}
		half, next := make(chan struct{}), make(chan int)
		go func() { next <- send(0, half) }()
		<-half
		s.Kill()
		first := <-next
		s.Start()
		if got := send(first, nil); got != messages {
			t.Fatalf("number %d is refused", got)
		}
		count := func(user, folder string) map[string]int {
			c := s.IMAP(user, password)
			defer c.Close()
			seen := map[string]int{}
			for _, subject := range c.Subjects(folder, "ALL") {
				seen[strings.TrimPrefix(subject, "Auto: ")]++
			}
			return seen
		}
		harness.Eventually(t, "all replies are there", func() bool { return len(count(bob, "INBOX")) == messages })
		filed := count(ann, "Work")
		for subject, n := range most {
			if got := filed[subject]; got < 1 || got > n {
				t.Errorf("%s is there %d times, and was sent %d times", subject, got, n)
			}
		}
		if replies := count(bob, "INBOX"); slices.Max(slices.Collect(maps.Values(replies))) != 1 {
			t.Errorf("replies are %v", replies)
		}
	})
}
