package e2e

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/blob/blobtest"
	"github.com/pennypost/pennypost/internal/smtpclient/smtptest"
	"github.com/pennypost/pennypost/test/harness"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMailFromSES lets boto3 put mail into a bucket as SES's receipt rules do, found by listing and by an SQS queue, and kills the server in
// the middle of it: each message arrives once.
func TestMailFromSES(t *testing.T) {
	harness.Engines(t, func(t *testing.T, database string) {
		t.Parallel()
		bucket, moto, queue := blobtest.MotoBucket(t), blobtest.Moto(t), blobtest.MotoQueue(t, 2)
		secret := writeFile(t, "secret", "test\n")
		source := func(name, prefix, more string) string {
			return fmt.Sprintf("[ses_inbound.%s]\nurl = \"s3://%s/%s?endpoint=%s&path_style=true&region=us-east-1\"\naccess_key_id = \"test\"\nsecret_access_key_file = %q\n"+
				"done_prefix = \"delivered/%s/\"\npoll_seconds = 1\n%s", name, bucket, prefix, moto, secret, name, more)
		}
		config := writeFile(t, "pennypost.toml", "allowed_networks = \"127.0.0.1\"\n"+source("listed", "in/", "")+source("told", "told/", fmt.Sprintf("queue_url = %q\nqueue_endpoint = %q\n", queue, moto)))
		s := harness.Start(t, harness.Options{DatabaseURL: database, Flags: []string{"--config", config}})
		office(t, s, "ours", "ann", "bob")
		const ann, bob = "ann@ours.awsapps.com", "bob@ours.awsapps.com"

		const count = 12
		subjects := func(user string) []string {
			box := s.IMAP(user, password)
			defer box.Close()
			return box.Subjects("INBOX", "ALL")
		}
		var args []string
		killed := filepath.Join(t.TempDir(), "killed") // the last object comes once this is there
		for _, at := range []map[string]any{{"prefix": "in/", "to": ann}, {"prefix": "told/", "to": bob, "queue": queue, "last": killed}} {
			at["endpoint"], at["bucket"], at["count"] = moto, bucket, count
			text, err := json.Marshal(at)
			if err != nil {
				t.Fatal(err)
			}
			args = append(args, string(text))
		}
		put := make(chan harness.Result, 1)
		command := harness.Command{
			Name: harness.Tool(t, "python"), Args: append([]string{"ses.py"}, args...), Dir: filepath.Join(harness.Root(), "test", "python"),
			Env: append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1"),
		}
		go func() { put <- harness.Run(t, command) }()
		moved := func() int { return blobtest.MotoObjects(t, bucket, "delivered/") }
		harness.Eventually(t, "some of it is taken in", func() bool { return moved() >= count/2 })
		s.Kill()
		if err := os.WriteFile(killed, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s.Start()
		if r := <-put; r.Status != 0 {
			t.Fatal(r)
		}
		harness.Eventually(t, "all of it is here", func() bool { return len(subjects(ann)) >= count && len(subjects(bob)) >= count })
		harness.Eventually(t, "all objects are moved", func() bool { return moved() == 2*count })
		for _, user := range []string{ann, bob} {
			got := subjects(user)
			slices.Sort(got)
			if once := slices.Compact(slices.Clone(got)); len(once) != count || len(got) != count {
				t.Errorf("%s has %d messages, %d of them different, want %d", user, len(got), len(once), count)
			}
		}
	})
}

// TestSESTakesMail signs in at a fake of SES's SMTP endpoint by the password that is made of an IAM key; what SES refuses comes back in words.
func TestSESTakesMail(t *testing.T) {
	t.Parallel()
	a := smtptest.NewAuthority(t)
	const hello = "C: EHLO \nS: 250-email-smtp.amazonaws.com\nS: 250-8BITMIME\nS: 250-AUTH PLAIN LOGIN\n"
	fake := smtptest.Serve(t, a.Server(false, "127.0.0.1"), "S: 220 email-smtp.amazonaws.com ESMTP SimpleEmailService-d x\n"+hello+"S: 250 STARTTLS\nC= STARTTLS\nS: 220 Ready to start TLS\nTLS\n"+hello+"S: 250 Ok\n"+
		// \0AKIAIOSFODNN7EXAMPLE\0 and the password for the secret wJalr… in us-east-1, by the program of SES's guide
		"C= AUTH PLAIN AEFLSUFJT1NGT0ROTjdFWEFNUExFAEJMQk0vOWhTVUVMZnE4R3crclUxWWNCamtPeEdiaFQyWEc3NjN4VkxHV0w5\nS: 235 Authentication successful.\n"+
		"C: MAIL FROM:<ann@ours.example>\nS: 250 Ok\nC= RCPT TO:<x@far.example>\nS: 250 Ok\nC= DATA\nS: 354 go\nMESSAGE\n"+
		"S: 554 Message rejected: Email address is not verified. The following identities failed the check in region US-EAST-1: ann@ours.example\nC: QUIT\nS: 221\nEND")
	ca := writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate.Raw})))
	config := writeFile(t, "pennypost.toml", fmt.Sprintf("outbound = \"ses\"\n[gateway.ses]\npreset = \"ses\"\nregion = \"us-east-1\"\naddress = %q\nca_file = %q\nusername = \"AKIAIOSFODNN7EXAMPLE\"\nsecret_access_key_file = %q\n",
		fake.Addr, ca, writeFile(t, "key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n")))
	s := harness.Start(t, harness.Options{Flags: []string{"--config", config, "--hostname", "mail.ours.example"}})
	company(t, s, "ours", "ours.example", "ann")
	if err := handIn(t, s, "ann@ours.example", "Subject: out\r\n\r\nhello\r\n", "x@far.example"); err != nil {
		t.Fatal(err)
	}
	ann := s.IMAP("ann@ours.example", password)
	defer ann.Close()
	harness.Eventually(t, "the refusal came back", func() bool { return len(ann.Subjects("INBOX", "ALL")) == 1 })
	ann.Do("SELECT INBOX")
	notice := strings.Join(strings.Fields(strings.Join(ann.Do("FETCH 1 BODY[]"), "\n")), " ")
	if !strings.Contains(notice, "Amazon SES, by which this server sends, has not verified the sender's address or domain") {
		t.Errorf("ann is told\n%s", notice)
	}
	s.Stop() // which ends the kept connection
}

// TestWhoIsNotHereYet lets a domain move from one server to another: mail for who is still there goes on, users reach each other, who is
// nowhere is refused, and where both sides send on what they don't know nothing goes round.
func TestWhoIsNotHereYet(t *testing.T) {
	harness.Engines(t, func(t *testing.T, database string) {
		t.Parallel()
		settings := writeFile(t, "old.toml", "")
		old := harness.Start(t, harness.Options{Flags: []string{"--config", settings, "--smtp", harness.FreeAddress(t)}})
		company(t, old, "old", "ours.example", "bob", "zoe")
		behind := func(other *harness.Server) string {
			return fmt.Sprintf("[gateway.other]\naddress = \"localhost:%s\"\nca_file = %q\n[relay_unknown]\n\"ours.example\" = \"other\"\n", portOf(t, other.Addr("smtp")), other.Env["PENNYPOST_CA_FILE"])
		}
		s := harness.Start(t, harness.Options{DatabaseURL: database, Flags: []string{"--config", writeFile(t, "pennypost.toml", behind(old))}})
		company(t, s, "ours", "ours.example", "ann")
		if err := handOver(s.Addr("smtp"), "x@far.example", "bob@ours.example", "Subject: from far\r\n\r\nhello\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := handIn(t, s, "ann@ours.example", "Subject: from ann\r\n\r\nhello\r\n", "bob@ours.example", "zoe@ours.example"); err != nil {
			t.Fatal(err)
		}
		bob := old.IMAP("bob@ours.example", password)
		defer bob.Close()
		harness.Eventually(t, "who is still there has it", func() bool { return len(bob.Subjects("INBOX", "ALL")) == 2 })
		refused := func(at *harness.Server, who, code string) {
			t.Helper()
			err := handOver(at.Addr("smtp"), "x@far.example", who+"@ours.example", "Subject: lost\r\n\r\nhello\r\n")
			if err == nil || !strings.HasPrefix(err.Error(), code) {
				t.Errorf("mail for %s: %v, want %s", who, err, code)
			}
		}
		refused(s, "nobody", "550")

		// Now the old side sends on what it doesn't know, too: to each other's, and nobody's mail is put off by both.
		old.Stop()
		if err := os.WriteFile(settings, []byte(behind(s)), 0o600); err != nil {
			t.Fatal(err)
		}
		old.Start()
		if err := handOver(old.Addr("smtp"), "x@far.example", "ann@ours.example", "Subject: by the old side\r\n\r\nhello\r\n"); err != nil {
			t.Fatal(err)
		}
		ann := s.IMAP("ann@ours.example", password)
		defer ann.Close()
		harness.Eventually(t, "who is here has it", func() bool { return len(ann.Subjects("INBOX", "ALL")) == 1 })
		refused(old, "nowhere", "451")
	})
}
