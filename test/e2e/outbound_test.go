package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"

	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/test/harness"
)

// company is an organisation with a domain of its own, whose users have addresses there.
func company(t *testing.T, s *harness.Server, alias, domain string, names ...string) string {
	t.Helper()
	org := office(t, s, alias, names...)
	api := s.WorkMail()
	if _, err := api.RegisterMailDomain(t.Context(), &workmail.RegisterMailDomainInput{OrganizationId: &org, DomainName: &domain}); err != nil {
		t.Fatal(err)
	}
	if r := s.Verb("domain", "verify", domain, "--organization", org); r.Status != 0 {
		t.Fatal(r)
	}
	for _, name := range names {
		_, err := api.UpdatePrimaryEmailAddress(t.Context(), &workmail.UpdatePrimaryEmailAddressInput{
			OrganizationId: &org, EntityId: entity(t, s, org, name), Email: aws.String(name + "@" + domain),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return org
}

// handIn sends a message as a user of s and returns the first refusal.
func handIn(t *testing.T, s *harness.Server, from, message string, to ...string) error {
	t.Helper()
	return handInAt(s.Addr("submissions"), s.TLS(), from, message, to...)
}

// handInAt is handIn at an address.
func handInAt(address string, trust *tls.Config, from, message string, to ...string) error {
	c, err := submitter(address, trust, from)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := submitBy(c, from, message, to...); err != nil {
		return err
	}
	return c.Quit()
}

// submitter signs in as a user.
func submitter(address string, trust *tls.Config, user string) (*smtp.Client, error) {
	conn, err := tls.Dial("tcp", address, trust)
	if err != nil {
		return nil, err
	}
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := c.Auth(smtp.PlainAuth("", user, password, "localhost")); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// submitBy sends a message in a session.
func submitBy(c *smtp.Client, from, message string, to ...string) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	for _, r := range to {
		if err := c.Rcpt(r); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "From: %s\r\nTo: %s\r\n%s", from, strings.Join(to, ", "), message)
	return errors.Join(err, w.Close())
}

// handOver hands a message to a server as another server would, in the clear.
func handOver(address, from, to, message string) error {
	c, err := smtp.Dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.Mail(from), c.Rcpt(to)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "From: %s\r\nTo: %s\r\n%s", from, to, message)
	return errors.Join(err, w.Close(), c.Quit())
}

// portOf is the port of host:port.
func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// outside are the flags of a server whose mail for others leaves on loopback, by the names of a DNS server.
func outside(t *testing.T, d *dnstest.Server, port string) []string {
	t.Helper()
	return []string{"--dns-resolver", d.Address, "--outbound-port", port, "--outbound-networks", "127.0.0.0/8"}
}

// TestOutboundWithPostfix exchanges mail with a Postfix in both directions; what Postfix refuses comes back as a notice.
func TestOutboundWithPostfix(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		relay := harness.FreeAddress(t)
		postfix := harness.StartPostfix(t, "theirs.example", relay, "bob")
		d := dnstest.New(t)
		d.Add("theirs.example. 60 IN MX 10 mx.theirs.example.", "mx.theirs.example. 60 IN A 127.0.0.1")
		s := harness.Start(t, harness.Options{
			DatabaseURL: url, Flags: append(outside(t, d, portOf(t, postfix.SMTP)), "--smtp", relay, "--hostname", "mail.ours.example"),
		})
		company(t, s, "ours", "ours.example", "ann")

		if err := handIn(t, s, "ann@ours.example", "Subject: from ours\r\n\r\nhello\r\n", "bob@theirs.example", "nobody@theirs.example"); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "Postfix has the message", func() bool { return len(postfix.Messages(t, "bob")) == 1 })
		got := postfix.Messages(t, "bob")[0]
		for _, want := range []string{"Return-Path: <ann@ours.example>", "Subject: from ours", "using TLS", "Received: from localhost", "DKIM-Signature: v=1; a=rsa-sha256;", "d=ours.example;"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
		ann := s.IMAP("ann@ours.example", password)
		defer ann.Close()
		harness.Eventually(t, "the refusal came back", func() bool { return len(ann.Subjects("INBOX", "ALL")) == 1 })
		ann.Do("SELECT INBOX")
		notice := strings.Join(ann.Do("FETCH 1 BODY[]"), "\n")
		for _, want := range []string{"multipart/report", "Action: failed", "Final-Recipient: rfc822; nobody@theirs.example", "Status: 5.1.1", "Return-Path: <>", "from ours"} {
			if !strings.Contains(strings.ReplaceAll(notice, "rfc822;nobody", "rfc822; nobody"), want) {
				t.Errorf("no %q in\n%s", want, notice)
			}
		}

		// The other way: Postfix takes mail from this machine and hands it to its relay, which we are.
		if err := handOver(postfix.SMTP, "bob@theirs.example", "ann@ours.example", "Subject: from theirs\r\n\r\nhello\r\n"); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the answer is here", func() bool { return len(ann.Subjects("INBOX", "SUBJECT theirs")) == 1 })
	})
}

// TestOutboundBetweenTwo lets two servers send to each other, and one of them be away for a while.
func TestOutboundBetweenTwo(t *testing.T) {
	d := dnstest.New(t)
	d.Add("one.example. 60 IN MX 10 mx.one.example.", "mx.one.example. 60 IN A 127.0.0.1",
		"two.example. 60 IN MX 10 mx.two.example.", "mx.two.example. 60 IN A 127.0.0.1", "nomail.example. 60 IN MX 0 .")
	first, second := harness.FreeAddress(t), harness.FreeAddress(t)
	one := harness.Start(t, harness.Options{Flags: append(outside(t, d, portOf(t, second)), "--smtp", first, "--hostname", "mx.one.example")})
	two := harness.Start(t, harness.Options{Flags: append(outside(t, d, portOf(t, first)), "--smtp", second, "--hostname", "mx.two.example")})
	company(t, one, "one", "one.example", "ann")
	company(t, two, "two", "two.example", "bob")
	if err := handIn(t, one, "ann@one.example", "Subject: there\r\n\r\n.\r\n", "bob@two.example"); err != nil {
		t.Fatal(err)
	}
	bob := two.IMAP("bob@two.example", password)
	harness.Eventually(t, "the message is there", func() bool { return len(bob.Subjects("INBOX", "SUBJECT there")) == 1 })
	bob.Close()
	if err := handIn(t, two, "bob@two.example", "Subject: back\r\n\r\n.\r\n", "ann@one.example"); err != nil {
		t.Fatal(err)
	}
	ann := one.IMAP("ann@one.example", password)
	harness.Eventually(t, "the answer is there", func() bool { return len(ann.Subjects("INBOX", "SUBJECT back")) == 1 })
	if err := handIn(t, one, "ann@one.example", "Subject: to nobody\r\n\r\n.\r\n", "x@nomail.example", "y@absent.example"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "both refusals are told", func() bool {
		ann.Do("SELECT INBOX")
		all := strings.Join(ann.Do("FETCH 1:* BODY[]"), "\n")
		return strings.Contains(all, "x@nomail.example") && strings.Contains(all, "5.1.10") && strings.Contains(all, "y@absent.example") && strings.Contains(all, "5.1.2")
	})
	ann.Close()

	// The other is away: the message waits through a kill of ours, and goes when an operator says so.
	two.Stop()
	if err := handIn(t, one, "ann@one.example", "Subject: later\r\n\r\n.\r\n", "bob@two.example"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "it was tried", func() bool {
		list := one.Verb("queue", "list").Stdout
		return strings.Contains(list, "bob@two.example") && strings.Contains(list, "refused")
	})
	one.Kill()
	one.Start()
	two.Start()
	if r := one.Verb("queue", "retry", "--recipient", "bob@two.example"); r.Status > 1 { // 1: a minute is over, and it went by itself
		t.Fatal(r)
	}
	bob = two.IMAP("bob@two.example", password)
	defer bob.Close()
	harness.Eventually(t, "it is there in the end", func() bool { return len(bob.Subjects("INBOX", "SUBJECT later")) == 1 })
	harness.Eventually(t, "the queue is empty", func() bool {
		return !strings.Contains(one.Verb("queue", "list").Stdout, "bob@two.example")
	})
}

// TestMailboxesElsewhere passes mail for a REMOTE_USER and for a group on to the other side, a Postfix.
func TestMailboxesElsewhere(t *testing.T) {
	postfix := harness.StartPostfix(t, "theirs.example", harness.FreeAddress(t), "bob")
	d := dnstest.New(t)
	d.Add("theirs.example. 60 IN MX 10 mx.theirs.example.", "mx.theirs.example. 60 IN A 127.0.0.1")
	s := harness.Start(t, harness.Options{Flags: append(outside(t, d, portOf(t, postfix.SMTP)), "--hostname", "mail.ours.example")})
	org := company(t, s, "ours", "ours.example", "ann")
	api := s.WorkMail()
	bob, err := api.CreateUser(t.Context(), &workmail.CreateUserInput{OrganizationId: &org, Name: aws.String("bob"), DisplayName: aws.String("Bob"), Role: types.UserRoleRemoteUser})
	if err != nil {
		t.Fatal(err)
	}
	register := func(id, email string) error {
		_, err := api.RegisterToWorkMail(t.Context(), &workmail.RegisterToWorkMailInput{OrganizationId: &org, EntityId: &id, Email: &email})
		return err
	}
	var unsupported *types.UnsupportedOperationException
	if err := register(*bob.UserId, "bob@ours.example"); !errors.As(err, &unsupported) {
		t.Errorf("with an address of ours: %v", err)
	}
	team, err := api.CreateGroup(t.Context(), &workmail.CreateGroupInput{OrganizationId: &org, Name: aws.String("team")})
	if err := errors.Join(err, register(*bob.UserId, "bob@theirs.example")); err != nil {
		t.Fatal(err)
	}
	_, err = api.CreateAlias(t.Context(), &workmail.CreateAliasInput{OrganizationId: &org, EntityId: bob.UserId, Alias: aws.String("bob@ours.example")})
	if err := errors.Join(err, register(*team.GroupId, "team@ours.example")); err != nil {
		t.Fatal(err)
	}
	for _, member := range []*string{bob.UserId, entity(t, s, org, "ann")} {
		_, err := api.AssociateMemberToGroup(t.Context(), &workmail.AssociateMemberToGroupInput{OrganizationId: &org, GroupId: team.GroupId, MemberId: member})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := handIn(t, s, "ann@ours.example", "Subject: to all\r\n\r\nhello\r\n", "team@ours.example"); err != nil {
		t.Fatal(err)
	}
	if err := handOver(s.Addr("smtp"), "x@else.example", "bob@ours.example", "Subject: to bob\r\n\r\nhello\r\n"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "Postfix has both messages", func() bool { return len(postfix.Messages(t, "bob")) == 2 })
	got := strings.Join(postfix.Messages(t, "bob"), "\n")
	for _, want := range []string{
		"Return-Path: <ann@ours.example>", "Delivered-To: team@ours.example", "Subject: to all", "DKIM-Signature:",
		"Return-Path: <x@else.example>", "Delivered-To: bob@ours.example", "Subject: to bob",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "ARC-Seal") {
		t.Errorf("it is sealed by a key that is not in DNS:\n%s", got)
	}
	back := handOver(s.Addr("smtp"), "x@else.example", "bob@ours.example", "Delivered-To: bob@ours.example\r\n\r\nhello\r\n")
	if back == nil || !strings.Contains(back.Error(), "5.4.6") {
		t.Errorf("what came back: %v", back)
	}
	ann := s.IMAP("ann@ours.example", password)
	defer ann.Close()
	harness.Eventually(t, "ann has the message to all", func() bool { return len(ann.Subjects("INBOX", "ALL")) == 1 })
}

// TestOutboundOfATestDomain keeps mail from a test domain on the server.
func TestOutboundOfATestDomain(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	office(t, s, "demo", "ann", "bob")
	if err := handIn(t, s, "ann@demo.awsapps.com", "Subject: here\r\n\r\n.\r\n", "bob@demo.awsapps.com"); err != nil {
		t.Error(err)
	}
	err := handIn(t, s, "ann@demo.awsapps.com", "Subject: there\r\n\r\n.\r\n", "bob@example.com")
	if err == nil || !strings.Contains(err.Error(), "test domain") {
		t.Errorf("mail of a test domain for another server: %v", err)
	}
}

// TestOutboundThroughAGateway sends all mail to a smart host, whose certificate must be good.
func TestOutboundThroughAGateway(t *testing.T) {
	postfix := harness.StartPostfix(t, "theirs.example", harness.FreeAddress(t), "bob")
	other := harness.StartPostfix(t, "other.example", harness.FreeAddress(t)) // whose certificate is another's
	for ca, works := range map[string]bool{postfix.CAFile: true, other.CAFile: false} {
		file := filepath.Join(t.TempDir(), "settings.toml")
		text := fmt.Sprintf("outbound = \"relay\"\n[gateway.relay]\naddress = %q\nca_file = %q\n", postfix.SMTP, ca)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := harness.Start(t, harness.Options{Flags: []string{"--config", file, "--dns-resolver", dnstest.New(t).Address}})
		company(t, s, "ours", "ours.example", "ann")
		before := len(postfix.Messages(t, "bob"))
		if err := handIn(t, s, "ann@ours.example", "Subject: by relay\r\n\r\n.\r\n", "bob@theirs.example"); err != nil {
			t.Fatal(err)
		}
		if works {
			harness.Eventually(t, "Postfix has the message", func() bool { return len(postfix.Messages(t, "bob")) == before+1 })
			continue
		}
		harness.Eventually(t, "the certificate is not trusted", func() bool {
			return strings.Contains(s.Verb("queue", "list", "--json").Stdout, "certificate")
		})
		if len(postfix.Messages(t, "bob")) != before {
			t.Error("the message went to a server that could not prove its name")
		}
	}
}

// TestOutboundSurvivesKills kills the server again and again while mail goes in and out: what was acknowledged arrives, and what
// arrives twice is no more than what was on its way when the server died.
func TestOutboundSurvivesKills(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		const (
			messages = 240
			kills    = 3
			atOnce   = 100 // attempts, the queue's limit
		)
		postfix := harness.StartPostfix(t, "theirs.example", harness.FreeAddress(t), "bob")
		d := dnstest.New(t)
		d.Add("theirs.example. 60 IN MX 10 mx.theirs.example.", "mx.theirs.example. 60 IN A 127.0.0.1")
		s := harness.Start(t, harness.Options{DatabaseURL: url, Flags: outside(t, d, portOf(t, postfix.SMTP))})
		company(t, s, "ours", "ours.example", "ann")
		const ann = "ann@ours.example"
		signIn := func() *smtp.Client {
			c, err := submitter(s.Addr("submissions"), s.TLS(), ann)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		session := signIn()
		acknowledged := map[string]bool{}
		for i := range messages {
			subject := fmt.Sprintf("number-%d-", i)
			if i%(messages/(kills+1)) == messages/(kills+1)-1 && i < messages-1 {
				s.Kill()
				_ = session.Close() // the server is gone
				s.Start()
				session = signIn()
			}
			if err := submitBy(session, ann, "Subject: "+subject+"\r\n\r\n.\r\n", "bob@theirs.example"); err != nil {
				t.Fatal(err)
			}
			acknowledged[subject] = true
		}
		if err := session.Quit(); err != nil {
			t.Fatal(err)
		}
		times := func() map[string]int {
			seen := map[string]int{}
			for _, text := range postfix.Messages(t, "bob") {
				_, rest, _ := strings.Cut(text, "Subject: ")
				subject, _, _ := strings.Cut(rest, "\n")
				seen[strings.TrimSpace(subject)]++
			}
			return seen
		}
		harness.Eventually(t, "all have arrived", func() bool {
			if len(times()) == messages {
				return true
			}
			s.Verb("queue", "retry", "--all") // what Postfix put off, as too much came at once, is due in a minute
			return false
		})
		harness.Eventually(t, "the queue is empty", func() bool {
			if strings.TrimSpace(s.Verb("queue", "list", "--json").Stdout) == "" {
				return true
			}
			s.Verb("queue", "retry", "--all") // what had arrived before a kill, and was put off when it came again
			return false
		})
		twice := 0
		for subject, n := range times() {
			if !acknowledged[subject] {
				t.Errorf("%s arrived", subject)
			}
			twice += n - 1
		}
		if twice > kills*atOnce {
			t.Errorf("%d came twice, of %d that could", twice, kills*atOnce)
		}
		t.Logf("%d of %d came twice", twice, messages)
	})
}
