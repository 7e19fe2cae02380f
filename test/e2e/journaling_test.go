package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/test/harness"
)

// journal has an organisation's mail journaled, by the AWS CLI.
func journal(t *testing.T, s *harness.Server, org, to, failures string) {
	t.Helper()
	r := harness.Run(t, harness.Command{Name: harness.Tool(t, "aws"), Env: s.Exports(), Args: []string{
		"pennypost", "set-journaling-rules", "--organization-id", org, "--enabled", "--journaling-address", to, "--report-address", failures,
	}})
	if r.Status != 0 {
		t.Fatal(r)
	}
}

// TestJournaling: mail in, out and inside goes to an archive that is a Postfix; an archive that refuses it is told of; and with a mailbox here as the
// archive, a server that is killed while mail comes in has one report for each message.
func TestJournaling(t *testing.T) {
	t.Parallel()
	postfix := harness.StartPostfix(t, "theirs.example", harness.FreeAddress(t), "bob", "archive")
	d := dnstest.New(t)
	d.Add("theirs.example. 60 IN MX 10 mx.theirs.example.", "mx.theirs.example. 60 IN A 127.0.0.1")
	harness.Engines(t, func(t *testing.T, url string) {
		s := harness.Start(t, harness.Options{DatabaseURL: url, Flags: append(outside(t, d, portOf(t, postfix.SMTP)), "--hostname", "mail.ours.example")})
		org := company(t, s, "ours", "ours.example", "ann", "cyd", "it", "archive")
		journal(t, s, org, "archive@theirs.example", "it@ours.example")
		swaks := func(args ...string) {
			t.Helper()
			if r := harness.Run(t, harness.Command{Name: harness.Tool(t, "swaks"), Args: args}); r.Status != 0 {
				t.Fatal(r)
			}
		}
		user := []string{"--server", s.Addr("submissions"), "--tls-on-connect", "--auth", "PLAIN", "--auth-user", "ann@ours.example", "--auth-password", password, "--from", "ann@ours.example"}
		subject := func(name string) []string { return []string{"--header", "Subject: " + name} }
		before := len(postfix.Messages(t, "archive"))
		swaks(slices.Concat(user, subject("inside"), []string{"--to", "cyd@ours.example,it@ours.example", "--h-To", "cyd@ours.example"})...)
		swaks(slices.Concat(user, subject("outbound"), []string{"--to", "bob@theirs.example"})...)
		swaks(slices.Concat(subject("inbound"), []string{"--server", s.Addr("smtp"), "--from", "x@far.example", "--to", "ann@ours.example"})...)
		harness.Eventually(t, "the archive has three reports", func() bool { return len(postfix.Messages(t, "archive")) >= before+3 })
		reports := strings.ReplaceAll(strings.Join(postfix.Messages(t, "archive")[before:], "\n"), "\r\n", "\n")
		for _, lines := range []string{
			"To: cyd@ours.example\nBcc: it@ours.example\n", "To: bob@theirs.example\n", "Recipient: ann@ours.example\n", "From: <amazonjournaling@ours.awsapps.com>\n",
			"Return-Path: <it@ours.example>\n", "X-MS-Journal-Report:", "d=mail.ours.example;", "d=ours.example;",
		} {
			if !strings.Contains(reports, lines) {
				t.Errorf("the archive lacks %q: %s", lines, reports)
			}
		}
		if n := len(postfix.Messages(t, "archive")); n != before+3 {
			t.Errorf("the archive has %d reports", n-before)
		}

		journal(t, s, org, "nobody@theirs.example", "it@ours.example")
		swaks(slices.Concat(user, subject("refused"), []string{"--to", "cyd@ours.example"})...)
		failures := s.IMAP("it@ours.example", password)
		harness.Eventually(t, "the report address has a notice", func() bool {
			return slices.Equal(failures.Subjects("INBOX", `SUBJECT "Not delivered: refused"`), []string{"Not delivered: refused"})
		})

		journal(t, s, org, "archive@ours.example", "it@ours.example")
		var mu sync.Mutex
		var senders sync.WaitGroup
		acknowledged := map[string]bool{}
		for i := range 4 {
			senders.Go(func() {
				for n := 0; ; n++ {
					name := fmt.Sprintf("killed-%d-%d", i, n)
					if handOver(s.Addr("smtp"), "x@far.example", "cyd@ours.example", "Subject: "+name+"\r\n\r\n.\r\n") != nil {
						return // and nobody knows of the last one
					}
					mu.Lock()
					acknowledged[name] = true
					mu.Unlock()
				}
			})
		}
		harness.Eventually(t, "some are taken", func() bool { mu.Lock(); defer mu.Unlock(); return len(acknowledged) > 40 })
		s.Kill()
		senders.Wait()
		s.Start()
		harness.Eventually(t, "the queue is empty", func() bool { return !strings.Contains(s.Verb("queue", "list").Stdout, "@") })
		stored := s.IMAP("cyd@ours.example", password).Subjects("INBOX", "SUBJECT killed")
		archived := s.IMAP("archive@ours.example", password).Subjects("INBOX", "ALL")
		slices.Sort(stored)
		slices.Sort(archived)
		if !slices.Equal(stored, archived) {
			t.Errorf("%d messages are there and %d reports", len(stored), len(archived))
		}
		for name := range acknowledged {
			if !slices.Contains(archived, name) {
				t.Errorf("%s was acknowledged, and there is no report", name)
			}
		}
		s.Check()
	})
}
