package e2e

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"

	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/test/harness"
)

// TestInboundAuthentication hands in mail by swaks as from servers of the world, through a proxy, with the names of a DNS server. It shows
// what PutInboundDmarcSettings decides.
func TestInboundAuthentication(t *testing.T) {
	d := dnstest.New(t)
	key := dkim.Key{Domain: "strict.example", Selector: "s1", Private: ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", 32)))}
	d.Add(
		"1.2.0.192.in-addr.arpa. 60 IN PTR mx.strict.example.", "mx.strict.example. 60 IN A 192.0.2.1",
		`strict.example. 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"`, `_dmarc.strict.example. 60 IN TXT "v=DMARC1\; p=reject"`,
		`mild.example. 60 IN TXT "v=spf1 -all"`, `_dmarc.mild.example. 60 IN TXT "v=DMARC1\; p=quarantine"`,
		key.Name()+`. 60 IN TXT "`+strings.ReplaceAll(key.Record().String(), ";", `\;`)+`"`,
	)
	s := harness.Start(t, harness.Options{Flags: []string{"--dns-resolver", d.Address, "--trusted-proxies", "127.0.0.2", "--hostname", "mail.ours.example"}})
	org := office(t, s, "ours", "ann")
	lax := office(t, s, "lax", "lea")
	api := s.WorkMail()
	enforce := func(org string, enforced bool) {
		t.Helper()
		if _, err := api.PutInboundDmarcSettings(t.Context(), &workmail.PutInboundDmarcSettingsInput{OrganizationId: &org, Enforced: aws.Bool(enforced)}); err != nil {
			t.Fatal(err)
		}
	}
	enforce(lax, false)
	// send hands in text as from an address; it must end with status and an answer.
	send := func(subject, from, client, text string, status int, says string, to ...string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "message")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := harness.Run(t, harness.Command{Name: harness.Tool(t, "swaks"), Args: []string{
			"--server", s.Addr("smtp"), "--local-interface", "127.0.0.2", "--proxy-family", "TCP4", "--proxy-source", client, "--proxy-source-port", "4000",
			"--proxy-dest", "192.0.2.99", "--proxy-dest-port", "25", "--helo", "mx.strict.example", "--from", from, "--to", strings.Join(to, ","), "--data", "@" + file,
		}})
		if r.Status != status || !strings.Contains(r.Stdout, says) {
			t.Errorf("%s: %s\nwant status %d and %q", subject, r, status, says)
		}
	}
	const ann, lea = "ann@ours.awsapps.com", "lea@lax.awsapps.com"
	letter := func(from, subject string) string {
		return "From: " + from + "\r\nTo: " + ann + "\r\nSubject: " + subject + "\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n\r\nhello\r\n"
	}
	signed := letter("x@strict.example", "passed on")
	fields, err := dkim.Sign([]byte(signed), dkim.SignOptions{Time: time.Now()}, key)
	if err != nil {
		t.Fatal(err)
	}
	send("honest", "x@strict.example", "192.0.2.1", letter("x@strict.example", "honest"), 0, "<-  250 2.0.0", ann)
	send("passed on", "list@other.example", "192.0.2.66", "Authentication-Results: mail.ours.example; spf=pass\r\n"+string(fields)+signed, 0, "<-  250 2.0.0", ann)
	forged := letter("x@strict.example", "forged")
	send("forged", "x@evil.example", "192.0.2.66", forged, 26, "<** 550 5.7.1 DMARC: strict.example asks that mail is refused", ann)
	send("forged for both", "x@evil.example", "192.0.2.66", forged, 0, "<-  250 2.0.0", ann, lea)
	send("two From fields", "x@evil.example", "192.0.2.66", "From: x@evil.example\r\n"+forged, 26, "<** 550 5.7.1 DMARC", ann)
	send("suspicious", "x@mild.example", "192.0.2.66", letter("x@mild.example", "suspicious"), 0, "<-  250 2.0.0", ann)
	enforce(org, false)
	send("no longer enforced", "x@evil.example", "192.0.2.66", letter("x@strict.example", "let in"), 0, "<-  250 2.0.0", ann)

	annsIMAP, leasIMAP := s.IMAP(ann, password), s.IMAP(lea, password)
	for _, c := range []struct {
		imap             *harness.IMAP
		folder, subjects string
	}{{annsIMAP, "INBOX", "honest,let in,passed on"}, {annsIMAP, "Junk E-mail", "suspicious"}, {leasIMAP, "INBOX", "forged"}} {
		if got := strings.Join(c.imap.Subjects(c.folder, "ALL"), ","); got != c.subjects {
			t.Errorf("%s has %s, want %s", c.folder, got, c.subjects)
		}
	}
	annsIMAP.Do("SELECT INBOX")
	for number, wants := range map[string][]string{
		"1": {
			"Authentication-Results: mail.ours.example;\r\n\tiprev=pass (mx.strict.example) policy.iprev=192.0.2.1;\r\n\tspf=pass smtp.mailfrom=x@strict.example;\r\n",
			"\tdkim=none;\r\n\tdmarc=pass (p=reject) header.from=strict.example polrec.p=reject\r\nReceived: from mx.strict.example ([192.0.2.1])",
		},
		"2": {"\tiprev=permerror", "\tspf=none smtp.mailfrom=list@other.example;", "\tdkim=pass (256-bit key) header.d=strict.example", "\tdmarc=pass"},
		"3": {"\tdmarc=fail (p=reject) header.from=strict.example"},
	} {
		header := strings.Join(annsIMAP.Do("FETCH "+number+" BODY.PEEK[HEADER]"), "\r\n")
		for _, want := range wants {
			if !strings.Contains(header, want) {
				t.Errorf("message %s lacks %q:\n%s", number, want, header)
			}
		}
		if strings.Count(header, "Authentication-Results:") != 1 {
			t.Errorf("message %s has results that are not ours:\n%s", number, header)
		}
	}
}
