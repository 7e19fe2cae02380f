package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"

	"github.com/pennypost/pennypost/internal/imap/imaptest"
	"github.com/pennypost/pennypost/test/harness"
)

// password is every user's.
const password = "examplePa$$w0rd"

// office makes an organisation with the alias and enabled users of the names, and returns the organisation's id.
func office(t testing.TB, s *harness.Server, alias string, names ...string) string {
	t.Helper()
	api := s.WorkMail()
	org, err := api.CreateOrganization(t.Context(), &workmail.CreateOrganizationInput{Alias: &alias})
	if err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the organisation is active", func() bool {
		o, err := api.DescribeOrganization(t.Context(), &workmail.DescribeOrganizationInput{OrganizationId: org.OrganizationId})
		if err != nil {
			t.Fatal(err)
		}
		return aws.ToString(o.State) == "Active"
	})
	for _, name := range names {
		user, err := api.CreateUser(t.Context(), &workmail.CreateUserInput{
			OrganizationId: org.OrganizationId, Name: &name, DisplayName: &name, Password: aws.String(password),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := api.RegisterToWorkMail(t.Context(), &workmail.RegisterToWorkMailInput{
			OrganizationId: org.OrganizationId, EntityId: user.UserId, Email: aws.String(name + "@" + alias + ".awsapps.com"),
		}); err != nil {
			t.Fatal(err)
		}
	}
	return aws.ToString(org.OrganizationId)
}

// TestSwaks hands in mail by swaks, over each kind of port.
func TestSwaks(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	office(t, s, "swaks", "ann", "bob")
	for _, c := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"inbound", []string{"--server", s.Addr("smtp"), "--from", "x@example.com"}, 0, "<-  250"},
		{"inbound with TLS", []string{"--server", s.Addr("smtp"), "--from", "x@example.com", "--tls", "--tls-verify", "--tls-ca-path", s.Env["PENNYPOST_CA_FILE"]}, 0, "<~  250"},
		{"relay", []string{"--server", s.Addr("smtp"), "--from", "x@example.com", "--to", "y@example.org"}, 24, "<** 5"},
		{"submission", []string{"--server", s.Addr("submission"), "--tls", "--auth", "PLAIN", "--auth-user", "ann@swaks.awsapps.com", "--auth-password", password}, 0, "<~  235"},
		{"submissions", []string{"--server", s.Addr("submissions"), "--tls-on-connect", "--auth", "LOGIN", "--auth-user", "ann", "--auth-password", password}, 0, "<~  235"},
		{"a wrong password", []string{"--server", s.Addr("submissions"), "--tls-on-connect", "--auth", "PLAIN", "--auth-user", "ann", "--auth-password", "wrong"}, 28, "<~* 535"},
		{"no password before TLS", []string{"--server", s.Addr("submission"), "--auth", "PLAIN", "--auth-user", "ann", "--auth-password", password}, 28, ""},
		{"pipelined", []string{"--server", s.Addr("smtp"), "--from", "x@example.com", "--pipeline"}, 0, "<-  250"},
		// swaks puts addresses in brackets and has no options for parameters; the last bracket becomes part of xtext
		{"DSN", []string{"--server", s.Addr("smtp"), "--from", "x@example.com> RET=HDRS ENVID=QQ314159"}, 0, "<-  250 2.1.0"},
		{"a wrong RET", []string{"--server", s.Addr("smtp"), "--from", "x@example.com> RET=ALL"}, 23, "<** 501 5.5.4"},
		{"a wrong NOTIFY", []string{"--server", s.Addr("smtp"), "--from", "x@example.com", "--to", "bob@swaks.awsapps.com> NOTIFY=SOMETIMES ORCPT=rfc822;bob@swaks.awsapps.com"}, 24, "<** 501 5.5.4"},
		{"REQUIRETLS", []string{"--server", s.Addr("smtp"), "--tls", "--from", "x@example.com> REQUIRETLS ENVID=QQ314159"}, 0, "<~  250"},
		{"REQUIRETLS in the clear", []string{"--server", s.Addr("smtp"), "--from", "x@example.com> REQUIRETLS ENVID=QQ314159"}, 23, "<** 555 5.5.4"},
		{"SIZE", []string{"--server", s.Addr("smtp"), "--from", "x@example.com> SIZE=41943041 ENVID=QQ314159"}, 23, "<** 552 5.3.4"},
		{"8BITMIME", []string{"--server", s.Addr("smtp"), "--from", "x@example.com> BODY=8BITMIME ENVID=QQ314159"}, 0, "<-  250"},
		{"BINARYMIME", []string{"--server", s.Addr("smtp"), "--from", "x@example.com> BODY=BINARYMIME ENVID=QQ314159"}, 23, "<** 501 5.5.4"},
		{"SMTPUTF8", []string{"--server", s.Addr("smtp"), "--from", "ä@example.com> SMTPUTF8 ENVID=QQ314159"}, 0, "<-  250"},
		{"beyond ASCII without SMTPUTF8", []string{"--server", s.Addr("smtp"), "--from", "ä@example.com"}, 23, "<** 553 5.6.7"},
		{"an unknown parameter", []string{"--server", s.Addr("smtp"), "--from", "x@example.com> BY=1;R ENVID=QQ314159"}, 23, "<** 555 5.5.4"},
		{"nobody", []string{"--server", s.Addr("smtp"), "--from", "x@example.com", "--to", "nobody@swaks.awsapps.com"}, 24, "<** 550 5.1.1"},
		{"no address", []string{"--server", s.Addr("smtp"), "--from", "x@example.com", "--to", "bob@@swaks.awsapps.com"}, 24, "<** 501 5.1.3"},
		{"another's address", []string{"--server", s.Addr("submissions"), "--tls-on-connect", "--auth", "PLAIN", "--auth-user", "ann", "--auth-password", password, "--from", "bob@swaks.awsapps.com"}, 23, "<~* 550 5.7.1"},
		{"submission without sign-in", []string{"--server", s.Addr("submission"), "--tls"}, 23, "<~* 530 5.7.0"},
		{"submission without TLS", []string{"--server", s.Addr("submission")}, 23, "<** 530 5.7.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"--to", "bob@swaks.awsapps.com", "--from", "ann@swaks.awsapps.com", "--h-Subject", c.name}, c.args...)
			r := harness.Run(t, harness.Command{Name: harness.Tool(t, "swaks"), Args: args})
			if r.Status != c.status || !strings.Contains(r.Stdout, c.says) {
				t.Errorf("swaks %s: %s\nwant status %d and %q", strings.Join(args, " "), r, c.status, c.says)
			}
		})
	}
}

// TestMbsync keeps a mailbox and a maildir the same, in both directions.
func TestMbsync(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	office(t, s, "mbsync", "ann")
	home := t.TempDir()
	maildir := filepath.Join(home, "mail")
	if err := os.MkdirAll(maildir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(s.Addr("imaps"))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(home, "mbsyncrc")
	if err := os.WriteFile(config, fmt.Appendf(nil, `IMAPAccount a
Host localhost
Port %s
User ann@mbsync.awsapps.com
Pass "%s"
SSLType IMAPS
CertificateFile %s

IMAPStore far
Account a

MaildirStore near
Path %s/
Inbox %s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
`, port, password, s.Env["PENNYPOST_CA_FILE"], maildir, maildir), 0o600); err != nil {
		t.Fatal(err)
	}
	sync := func() {
		t.Helper()
		r := harness.Run(t, harness.Command{Name: harness.Tool(t, "mbsync"), Args: []string{"-c", config, "-a"}, Env: []string{"HOME=" + home}})
		if r.Status != 0 || strings.Contains(r.Stderr, "Error") {
			t.Fatalf("mbsync: %s", r)
		}
	}
	imap := s.IMAP("ann@mbsync.awsapps.com", password)
	for i := range 5 {
		imap.Append("INBOX", fmt.Sprintf("Subject: far %d\r\nMessage-ID: <far-%d@example.com>\r\n\r\nbody\r\n", i, i))
	}
	sync()
	if got := subjects(t, maildir, "INBOX"); strings.Join(got, ",") != "far 0,far 1,far 2,far 3,far 4" {
		t.Errorf("fetched: %v", got)
	}
	// What is new, read and deleted here must come about there.
	write(t, maildir, "INBOX", "near-1", "S", "Subject: near\nMessage-ID: <near@example.com>\n\nbody\n")
	for _, path := range messages(t, maildir, "INBOX") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "Subject: far 2") {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(string(text), "Subject: far 3") {
			flagged(t, path, "FS")
		}
	}
	if err := os.MkdirAll(filepath.Join(maildir, "Made here", "cur"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(maildir, "Made here", sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, maildir, "Made here", "near-2", "", "Subject: in a folder\nMessage-ID: <folder@example.com>\n\nbody\n")
	sync()
	if got := imap.Subjects("INBOX", "ALL"); strings.Join(got, ",") != "far 0,far 1,far 3,far 4,near" {
		t.Errorf("sent: %v", got)
	}
	if got := imap.Subjects("INBOX", "FLAGGED SEEN"); strings.Join(got, ",") != "far 3" {
		t.Errorf("flagged there: %v", got)
	}
	if got := imap.Subjects("Made here", "ALL"); strings.Join(got, ",") != "in a folder" {
		t.Errorf("the new folder: %v", got)
	}
	// And a change there after that must come back, without anything being doubled.
	imap.Do("SELECT INBOX")
	imap.Do(`STORE 1 +FLAGS (\Answered)`)
	imap.Do(`STORE 2 +FLAGS (\Deleted)`)
	imap.Do("EXPUNGE")
	sync()
	sync()
	if got := subjects(t, maildir, "INBOX"); strings.Join(got, ",") != "far 0,far 3,far 4,near" {
		t.Errorf("at the end: %v", got)
	}
	answered := 0
	for _, path := range messages(t, maildir, "INBOX") {
		if _, flags, _ := strings.Cut(filepath.Base(path), ":2,"); strings.Contains(flags, "R") {
			answered++
		}
	}
	if answered != 1 {
		t.Errorf("%d messages are answered", answered)
	}
}

func messages(t *testing.T, maildir, folder string) []string {
	t.Helper()
	var all []string
	for _, sub := range []string{"cur", "new"} {
		found, err := filepath.Glob(filepath.Join(maildir, folder, sub, "*"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

func subjects(t *testing.T, maildir, folder string) []string {
	t.Helper()
	var all []string
	for _, path := range messages(t, maildir, folder) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if subject, ok := strings.CutPrefix(line, "Subject: "); ok {
				all = append(all, strings.TrimSpace(subject))
			}
		}
	}
	sort.Strings(all)
	return all
}

func write(t *testing.T, maildir, folder, name, flags, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(maildir, folder, "cur", name+":2,"+flags), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func flagged(t *testing.T, path, flags string) {
	t.Helper()
	base, _, _ := strings.Cut(filepath.Base(path), ":2,")
	if err := os.Rename(path, filepath.Join(filepath.Dir(filepath.Dir(path)), "cur", base+":2,"+flags)); err != nil {
		t.Fatal(err)
	}
}

// TestMailProgramSessions plays what Thunderbird, mutt and Apple Mail say, as the unit tests of IMAP do on both engines.
func TestMailProgramSessions(t *testing.T) {
	for _, program := range []string{"thunderbird", "mutt", "applemail"} {
		t.Run(program, func(t *testing.T) {
			script, err := os.ReadFile("../../internal/imap/testdata/" + program + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			s := harness.Start(t, harness.Options{})
			office(t, s, "programs", "ann")
			ann := s.IMAP("ann", password)
			player := imaptest.Player{
				Password: password,
				Dial: func(bool) net.Conn {
					conn, err := tls.Dial("tcp", s.Addr("imaps"), s.TLS())
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = conn.Close() })
					return conn
				},
				// The field that the unit tests' deliveries put in front.
				Deliver: func(folder, message string) { ann.Append(folder, "Delivered-To: ann\r\n"+message) },
			}
			player.Play(t, string(script))
		})
	}
}

// TestImapflowAndNodemailer sends by nodemailer and reads, watches and changes by imapflow.
func TestImapflowAndNodemailer(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	office(t, s, "node", "ann", "bob")
	r := harness.Run(t, harness.Command{
		Name: harness.Tool(t, "node"), Args: []string{"mail.js"}, Dir: filepath.Join(harness.Root(), "test", "js"),
		Env: append(s.Exports(), "NODE_EXTRA_CA_CERTS="+s.Env["PENNYPOST_CA_FILE"]),
	})
	if r.Status != 0 || !strings.Contains(r.Stdout, "all is well") {
		t.Errorf("mail.js: %s", r)
	}
}
