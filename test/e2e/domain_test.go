package e2e

import (
	"errors"
	"net"
	"net/smtp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
	"github.com/miekg/dns"

	"github.com/pennypost/pennypost/test/harness"
)

// zone is a DNS server that answers for TXT records as soon as the test has published them: the server's first question
// comes before anybody can know the proof.
type zone struct {
	published chan struct{}
	records   map[string]string // name with its final dot → text; complete when published is closed
}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	<-z.published
	answer := new(dns.Msg)
	answer.SetReply(q)
	name := strings.ToLower(q.Question[0].Name)
	if text, ok := z.records[name]; ok && q.Question[0].Qtype == dns.TypeTXT {
		record := &dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}}
		for part := range slices.Chunk([]byte(text), 255) { // a key is longer than one string
			record.Txt = append(record.Txt, string(part))
		}
		answer.Answer = append(answer.Answer, record)
	} else {
		answer.Rcode = dns.RcodeNameError
	}
	_ = w.WriteMsg(answer) // a resolver that gave up asks again
}

// TestDomainIsProvenByDNS publishes the records that GetMailDomain hands out, and lets the domain receive mail.
func TestDomainIsProvenByDNS(t *testing.T) {
	z := &zone{published: make(chan struct{}), records: map[string]string{}}
	socket, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: socket, Handler: z}
	ended := make(chan error, 1)
	go func() { ended <- server.ActivateAndServe() }()
	defer func() {
		if err := errors.Join(server.Shutdown(), <-ended); err != nil {
			t.Error(err)
		}
	}()

	publish := sync.OnceFunc(func() { close(z.published) })
	defer publish() // or the DNS server would not end

	s := harness.Start(t, harness.Options{Flags: []string{"--dns-resolver", socket.LocalAddr().String()}})
	org, other := office(t, s, "proven", "ann"), office(t, s, "late")
	api := s.WorkMail()
	domain := aws.String("proven.example.com")
	for _, o := range []string{org, other} { // as long as nobody has proven it both may claim it
		if _, err := api.RegisterMailDomain(t.Context(), &workmail.RegisterMailDomainInput{OrganizationId: &o, DomainName: domain}); err != nil {
			t.Fatal(err)
		}
	}
	status := func() *workmail.GetMailDomainOutput {
		out, err := api.GetMailDomain(t.Context(), &workmail.GetMailDomainInput{OrganizationId: &org, DomainName: domain})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := status()
	if before.OwnershipVerificationStatus != types.DnsRecordVerificationStatusPending || before.DkimVerificationStatus != types.DnsRecordVerificationStatusPending {
		t.Fatalf("before the proof: %s, DKIM %s", before.OwnershipVerificationStatus, before.DkimVerificationStatus)
	}
	for _, r := range before.Records {
		if aws.ToString(r.Type) == "TXT" {
			z.records[strings.TrimSuffix(strings.ToLower(aws.ToString(r.Hostname)), ".")+"."] = strings.Trim(aws.ToString(r.Value), `"`)
		}
	}
	if err := recipient(t, s, "ann@proven.example.com"); err == nil || !strings.HasPrefix(err.Error(), "550 ") {
		t.Errorf("a domain that nobody has proven takes mail: %v", err)
	}
	publish()
	harness.Eventually(t, "the domain and its keys are proven", func() bool {
		now := status()
		return now.OwnershipVerificationStatus == types.DnsRecordVerificationStatusVerified && now.DkimVerificationStatus == types.DnsRecordVerificationStatusVerified
	})

	var taken *types.MailDomainInUseException
	third := office(t, s, "third")
	_, err = api.RegisterMailDomain(t.Context(), &workmail.RegisterMailDomainInput{OrganizationId: &third, DomainName: domain})
	if !errors.As(err, &taken) {
		t.Errorf("another organisation registers a proven domain: %v", err)
	}
	if _, err := api.CreateAlias(t.Context(), &workmail.CreateAliasInput{
		OrganizationId: &org, EntityId: entity(t, s, org, "ann"), Alias: aws.String("ann@proven.example.com"),
	}); err != nil {
		t.Fatal(err)
	}
	c, err := smtp.Dial(s.Addr("smtp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := errors.Join(c.Mail("x@example.org"), c.Rcpt("ann@proven.example.com")); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("Subject: proven\r\n\r\n.\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.IMAP("ann@proven.example.com", password).Subjects("INBOX", "ALL"); len(got) != 1 || got[0] != "proven" {
		t.Errorf("in the mailbox: %v", got)
	}
}

// recipient returns what SMTP says against an address.
func recipient(t *testing.T, s *harness.Server, address string) error {
	t.Helper()
	c, err := smtp.Dial(s.Addr("smtp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail("x@example.org"); err != nil {
		t.Fatal(err)
	}
	return c.Rcpt(address)
}

// entity returns the id of a user by the name.
func entity(t *testing.T, s *harness.Server, org, name string) *string {
	t.Helper()
	out, err := s.WorkMail().DescribeUser(t.Context(), &workmail.DescribeUserInput{OrganizationId: &org, UserId: &name})
	if err != nil {
		t.Fatal(err)
	}
	return out.UserId
}
