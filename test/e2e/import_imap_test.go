package e2e

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/pennypost/pennypost/test/harness"
)

// box is a mailbox of an IMAP server, looked at and changed with a client that others wrote.
type box struct {
	t testing.TB
	*imapclient.Client
}

func openBox(t testing.TB, address string, trust *tls.Config, user, password string) *box {
	t.Helper()
	c, err := imapclient.DialTLS(address, &imapclient.Options{TLSConfig: trust})
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t, c}
	t.Cleanup(func() { _ = c.Close() })
	b.ok(c.Login(user, password).Wait())
	return b
}

func (b *box) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// letter is one to put somewhere.
type letter struct {
	subject string
	size    int // of its text
	flags   []imap.Flag
	date    time.Time
}

func (m letter) text() []byte {
	return fmt.Appendf(nil, "From: x@example.com\r\nMessage-ID: <%s@example.com>\r\nSubject: %s\r\n\r\n%s\r\n", m.subject, m.subject, strings.Repeat("ä ü\r\n", m.size/6))
}

// put appends messages, many at a time.
func (b *box) put(folder string, messages ...letter) {
	b.t.Helper()
	for chunk := range slices.Chunk(messages, 100) {
		var all []*imapclient.AppendCommand
		for _, m := range chunk {
			text := m.text()
			cmd := b.Append(folder, int64(len(text)), &imap.AppendOptions{Flags: m.flags, Time: m.date})
			_, err := cmd.Write(text)
			b.ok(err)
			b.ok(cmd.Close())
			all = append(all, cmd)
		}
		for _, cmd := range all {
			_, err := cmd.Wait()
			b.ok(err)
		}
	}
}

var someDate = time.Date(2019, 5, 6, 7, 8, 9, 0, time.UTC)

// several makes messages that differ in all that they can.
func several(name string, n int) (all []letter) {
	flags := [][]imap.Flag{nil, {imap.FlagSeen}, {imap.FlagSeen, imap.FlagAnswered, "Project-X"}, {imap.FlagFlagged, imap.FlagForwarded}, {imap.FlagDraft}, {imap.FlagDeleted, "$Label1"}}
	for i := range n {
		all = append(all, letter{fmt.Sprintf("%s %d", name, i), 6 * i, flags[i%len(flags)], someDate.Add(time.Duration(i) * time.Hour)})
	}
	return all
}

// open opens a folder and returns how many messages it has.
func (b *box) open(folder string) uint32 {
	b.t.Helper()
	data, err := b.Select(folder, nil).Wait()
	b.ok(err)
	return data.NumMessages
}

func (b *box) validity(folder string) uint32 {
	b.t.Helper()
	data, err := b.Status(folder, &imap.StatusOptions{UIDValidity: true}).Wait()
	b.ok(err)
	return data.UIDValidity
}

// all is what a mailbox holds: for each folder that has messages one line per message of its bytes, flags and date. here renames
// folders.
func (b *box) all(here map[string]string) map[string][]string {
	b.t.Helper()
	folders, err := b.List("", "*", nil).Collect()
	b.ok(err)
	out := map[string][]string{}
	for _, f := range folders {
		if slices.Contains(f.Attrs, imap.MailboxAttrNoSelect) || strings.HasPrefix(f.Mailbox, "shared") || b.open(f.Mailbox) == 0 {
			continue
		}
		name := strings.ReplaceAll(f.Mailbox, string(f.Delim), "/")
		if other, ok := here[name]; ok {
			name = other
		}
		messages, err := b.Fetch(imap.SeqSet{imap.SeqRange{Start: 1}}, &imap.FetchOptions{
			Flags: true, InternalDate: true, UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
		}).Collect()
		b.ok(err)
		for _, m := range messages {
			var flags []string
			for _, f := range m.Flags {
				if f != `\Recent` {
					flags = append(flags, strings.ToLower(string(f)))
				}
			}
			slices.Sort(flags)
			text := m.BodySection[0].Bytes
			_, subject, _ := bytes.Cut(text, []byte("Subject: "))
			subject, _, _ = bytes.Cut(subject, []byte("\r\n"))
			out[name] = append(out[name], fmt.Sprintf("%s %x %v %s", subject, sha256.Sum256(text), flags, m.InternalDate.UTC().Format(time.DateTime)))
		}
		slices.Sort(out[name])
	}
	return out
}

// sameMail compares two mailboxes.
func sameMail(t *testing.T, what string, source, here map[string][]string) {
	t.Helper()
	names := slices.Concat(slices.Collect(maps.Keys(source)), slices.Collect(maps.Keys(here)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !slices.Equal(source[name], here[name]) {
			t.Errorf("%s: folder %s has\n%s\nat the source and here\n%s", what, name, strings.Join(source[name], "\n"), strings.Join(here[name], "\n"))
		}
	}
}

// importer runs pennypost import imap into a server.
type importer struct {
	t    testing.TB
	to   *harness.Server
	tmp  string // its TMPDIR, where it is left to itself
	args []string
}

// newImporter writes the accounts' file.
func newImporter(t testing.TB, to *harness.Server, org, address, caFile string, accounts ...string) *importer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "accounts.csv")
	text := "# who goes where\naddress,user,password\n" + strings.Join(accounts, "\n") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &importer{t, to, t.TempDir(), []string{"import", "imap", "--organization", org, "--server", address, "--ca-file", caFile, "--accounts", file}}
}

func (i *importer) run(status int, more ...string) string {
	i.t.Helper()
	begun := time.Now()
	r := i.to.Verb(append(slices.Clone(i.args), more...)...)
	i.t.Logf("in %v: %s", time.Since(begun).Round(time.Millisecond), r.Stdout)
	if r.Status != status || strings.Contains(r.Stdout+r.Stderr, sourcePassword) {
		i.t.Fatalf("pennypost import imap: want status %d and no password: %s", status, r)
	}
	return r.Stdout + r.Stderr
}

// start starts it and leaves it to itself.
func (i *importer) start(database string) *exec.Cmd {
	i.t.Helper()
	args := append(slices.Clone(i.args), "--data", i.to.Dir)
	if database != "" {
		args = append(args, "--database-url", database)
	}
	cmd := exec.Command(harness.Binary(i.t), args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+i.tmp)
	if err := cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	return cmd
}

const sourcePassword = "s0urce, \"pass\" word"

// quoted is it in CSV.
const quotedPassword = `"s0urce, ""pass"" word"`

// TestImportFromDovecot imports mailboxes of a real Dovecot, and then what changed there: new messages, flags, messages and folders
// that are gone, moved or renamed, and UIDs that mean nothing any more.
func TestImportFromDovecot(t *testing.T) {
	harness.Engines(t, func(t *testing.T, database string) {
		t.Parallel()
		names := map[string]string{"Sent": "Sent Items", "Papierkorb": "Deleted Items", "Papierkorb/Alt": "Deleted Items/Alt"}
		plain := "" // all that it can
		if database != "" {
			plain = "IMAP4rev1 LITERAL+ UIDPLUS MOVE" // without CONDSTORE, ESEARCH, LIST-EXTENDED, NAMESPACE
		}
		d := harness.StartDovecot(t, plain, sourcePassword, "ann@old", "bob@old", "carl@old")
		s := harness.Start(t, harness.Options{DatabaseURL: database})
		org := office(t, s, "moved", "ann", "bob", "carl", "dora")
		source := openBox(t, d.IMAPS, d.TLS(), "ann@old", sourcePassword)
		for _, name := range []string{"Sent", "Papierkorb", "Papierkorb.Alt", "Kunden.Müller & Söhne", "Old", "Moved", "shared.All"} {
			source.ok(source.Create(name, nil).Wait())
		}
		source.put("INBOX", append(several("inbox", 30), letter{"large", 3 << 20, nil, someDate})...)
		source.put("Sent", several("sent", 3)...)
		source.put("Papierkorb", several("trash", 3)...)
		source.put("Papierkorb.Alt", several("old trash", 2)...)
		source.put("Kunden.Müller & Söhne", several("clients", 3)...)
		source.put("Old", several("old", 4)...)
		source.ok(source.Client.Subscribe("Old").Wait())
		other := openBox(t, d.IMAPS, d.TLS(), "bob@old", sourcePassword)
		other.put("INBOX", several("bob", 3)...)

		here := openBox(t, s.Addr("imaps"), s.TLS(), "ann", password)
		watching := s.IMAP("ann", password)
		defer watching.Close()
		watching.Do("SELECT INBOX")
		i := newImporter(t, s, org, d.IMAPS, d.CAFile,
			"ann@moved.awsapps.com,ann@old,"+quotedPassword, "bob@moved.awsapps.com,bob@old,"+quotedPassword,
			"carl@moved.awsapps.com,carl@old,wrong", "nobody@moved.awsapps.com,bob@old,"+quotedPassword)
		report := filepath.Join(t.TempDir(), "report.json")
		dry := i.run(1, "--dry-run", "--report", report)
		if !strings.Contains(dry, "Kunden.Müller & Söhne") || len(here.all(nil)) != 0 {
			t.Errorf("dry run: %s", dry)
		}
		said := i.run(1, "--report", report)
		for _, want := range []string{"sign in as carl@old", "nobody@moved.awsapps.com", "shared.All is shared by others"} {
			if !strings.Contains(said, want) && (plain == "" || !strings.HasPrefix(want, "shared")) {
				t.Errorf("the report does not say %q", want)
			}
		}
		text, err := os.ReadFile(report)
		if err != nil || !json.Valid(text) || bytes.Contains(text, []byte("s0urce")) {
			t.Errorf("the report as JSON: %v\n%s", err, text)
		}
		same := func(what string) {
			t.Helper()
			sameMail(t, what, source.all(names), here.all(nil))
		}
		same("ann")
		sameMail(t, "bob", other.all(nil), openBox(t, s.Addr("imaps"), s.TLS(), "bob", password).all(nil))
		if news := strings.Join(watching.Do("NOOP"), "\n"); !strings.Contains(news, "31 EXISTS") {
			t.Errorf("who looks on heard %q", news)
		}
		if lsub := strings.Join(watching.Do(`LSUB "" "Old"`), "\n"); !strings.Contains(lsub, "Old") {
			t.Error("the subscription is missing")
		}

		if _, err := s.WorkMail().UpdateMailboxQuota(t.Context(), &workmail.UpdateMailboxQuotaInput{
			OrganizationId: &org, UserId: aws.String("dora"), MailboxQuota: aws.Int32(1),
		}); err != nil {
			t.Fatal(err)
		}
		small := newImporter(t, s, org, d.IMAPS, d.CAFile, "dora,ann@old,"+quotedPassword, "bob@moved.awsapps.com,bob@old,"+quotedPassword)
		if said := small.run(1); !strings.Contains(said, "1 messages (UID 31): the mailbox is full") || !strings.Contains(said, "UpdateMailboxQuota") {
			t.Errorf("into a mailbox that is too small: %s", said)
		}
		full := source.all(names)
		full["INBOX"] = slices.DeleteFunc(full["INBOX"], func(line string) bool { return strings.HasPrefix(line, "large") })
		sameMail(t, "dora", full, openBox(t, s.Addr("imaps"), s.TLS(), "dora", password).all(nil))

		i = newImporter(t, s, org, d.IMAPS, d.CAFile, "ann@moved.awsapps.com,ann@old,"+quotedPassword)
		i.run(0)
		same("a run for nothing")

		source.open("INBOX")
		source.ok(source.Store(imap.SeqSetNum(1, 2, 3), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged, "New-Word"}}, nil).Close())
		source.ok(source.Store(imap.SeqSetNum(4, 5), &imap.StoreFlags{Op: imap.StoreFlagsSet, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close())
		_, err = source.Client.Move(imap.SeqSetNum(7, 8), "Moved").Wait()
		source.ok(err)
		source.ok(source.Store(imap.SeqSetNum(9, 10), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
		source.ok(source.Expunge().Close())
		source.put("INBOX", several("new", 5)...)
		source.ok(source.Rename("Old", "Older", nil).Wait())
		source.ok(source.Client.Delete("Papierkorb.Alt").Wait())
		i.run(0)
		same("the changes")

		// The index and the list of UIDs are lost, and all gets other ones.
		validity := source.validity("INBOX")
		source.ok(source.Unselect().Wait())
		for _, pattern := range []string{"dovecot*index*", "dovecot-uidlist*"} {
			files, err := filepath.Glob(filepath.Join(d.Home, "ann@old", "Maildir", pattern))
			if err != nil || len(files) == 0 {
				t.Fatalf("no %s: %v", pattern, err)
			}
			for _, f := range files {
				if err := os.RemoveAll(f); err != nil {
					t.Fatal(err)
				}
			}
		}
		source = openBox(t, d.IMAPS, d.TLS(), "ann@old", sourcePassword)
		if now := source.validity("INBOX"); now == validity {
			t.Fatalf("Dovecot kept the UIDVALIDITY %d", now)
		}
		source.put("INBOX", several("newest", 2)...)
		i.run(0)
		same("other UIDs")

		// Without a server, and by STARTTLS.
		source.put("INBOX", several("alone", 2)...)
		s.Stop()
		i.args[slices.Index(i.args, "--server")+1] = d.IMAP
		i.run(0, "--starttls")
		s.Start()
		here = openBox(t, s.Addr("imaps"), s.TLS(), "ann", password)
		same("without a server")

		i.args[slices.Index(i.args, "--ca-file")+1] = s.Env["PENNYPOST_CA_FILE"]
		if said := i.run(1, "--starttls"); !strings.Contains(said, "certificate") {
			t.Errorf("a certificate that nobody vouches for: %s", said)
		}
	})
}

// TestImportThatIsKilled imports from another Pennypost, and kills now the import and now the server in the middle.
func TestImportThatIsKilled(t *testing.T) {
	from := harness.Start(t, harness.Options{})
	office(t, from, "old", "ann")
	source := openBox(t, from.Addr("imaps"), from.TLS(), "ann", password)
	source.ok(source.Create("Lists/Announcements", nil).Wait())
	for part := range 3 { // large ones lie in files
		source.put("INBOX", append(several(fmt.Sprintf("inbox %d", part), 500), letter{fmt.Sprintf("large %d", part), 300 << 10, nil, someDate})...)
	}
	source.put("Lists/Announcements", several("lists", 500)...)
	harness.Engines(t, func(t *testing.T, database string) {
		s := harness.Start(t, harness.Options{DatabaseURL: database})
		org := office(t, s, "new", "ann")
		address := "localhost:" + from.Addr("imaps")[strings.LastIndexByte(from.Addr("imaps"), ':')+1:]
		i := newImporter(t, s, org, address, from.Env["PENNYPOST_CA_FILE"], "ann,ann,"+password)
		half := func(n uint32) *exec.Cmd {
			t.Helper()
			look := openBox(t, s.Addr("imaps"), s.TLS(), "ann", password)
			cmd := i.start(database)
			harness.Eventually(t, fmt.Sprintf("%d messages are here", n), func() bool {
				data, err := look.Status("INBOX", &imap.StatusOptions{NumMessages: true}).Wait()
				look.ok(err)
				return *data.NumMessages >= n
			})
			return cmd
		}
		cmd := half(300)
		_ = cmd.Process.Kill() // Wait says so
		_ = cmd.Wait()
		cmd = half(800)
		s.Kill()
		if err := cmd.Wait(); err == nil {
			t.Error("the import did not notice that the server is gone")
		}
		s.Start()
		i.run(0)
		here := openBox(t, s.Addr("imaps"), s.TLS(), "ann", password)
		sameMail(t, "after two crashes", source.all(nil), here.all(nil))
		if left, err := os.ReadDir(i.tmp); len(left) > 0 || err != nil {
			t.Errorf("left behind by the crashes: %v %v", left, err)
		}

		source.open("INBOX")
		source.ok(source.Store(imap.SeqSetNum(1, 3, 5, 7), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagAnswered}}, nil).Close())
		_, err := source.Client.Move(imap.SeqSetNum(10, 11, 12), "Lists/Announcements").Wait()
		source.ok(err)
		source.ok(source.Rename("Lists/Announcements", "Lists/"+t.Name()[len("TestImportThatIsKilled/"):], nil).Wait())
		i.run(0)
		sameMail(t, "after changes", source.all(nil), here.all(nil))
		source.ok(source.Rename("Lists/"+t.Name()[len("TestImportThatIsKilled/"):], "Lists/Announcements", nil).Wait())
	})
}

// BenchmarkImport imports 10,000 messages of about 4 KB from another Pennypost.
func BenchmarkImport(b *testing.B) {
	const n = 10_000
	from := harness.Start(b, harness.Options{})
	office(b, from, "old", "ann")
	source := openBox(b, from.Addr("imaps"), from.TLS(), "ann", password)
	letters := make([]letter, n)
	for i := range letters {
		letters[i] = letter{fmt.Sprintf("message %d", i), 3000 + i%2000, nil, someDate}
	}
	source.put("INBOX", letters...)
	to := harness.Start(b, harness.Options{})
	address := "localhost:" + from.Addr("imaps")[strings.LastIndexByte(from.Addr("imaps"), ':')+1:]
	for i := range b.N {
		org := office(b, to, fmt.Sprint("new-", i), "ann")
		im := newImporter(b, to, org, address, from.Env["PENNYPOST_CA_FILE"], "ann,ann,"+password)
		begun := time.Now()
		im.run(0)
		b.ReportMetric(n/time.Since(begun).Seconds(), "messages/s")
	}
}

// TestImportedJunkTrains imports the mailboxes of a user who marked ham at the source, and of one who marked nothing. The first gets new spam in
// Junk E-mail; the other, of whom nobody knows what ham is, in INBOX.
func TestImportedJunkTrains(t *testing.T) {
	harness.Engines(t, func(t *testing.T, database string) {
		t.Parallel()
		const n = 25
		d := harness.StartDovecot(t, "", sourcePassword, "ann@old", "bob@old")
		s := harness.Start(t, harness.Options{DatabaseURL: database})
		org := office(t, s, "junk", "ann", "bob")
		many := func(name string, flags ...imap.Flag) (all []letter) {
			for i := range n {
				all = append(all, letter{fmt.Sprintf("%s %d", name, i), 6, flags, time.Now().Add(-time.Hour)})
			}
			return all
		}
		const spam, ham = "cheap watches luxury replica discount today", "minutes project meeting agenda week"
		for user, mark := range map[string]imap.Flag{"ann@old": "$NotJunk", "bob@old": imap.FlagSeen} {
			source := openBox(t, d.IMAPS, d.TLS(), user, sourcePassword)
			source.ok(source.Create("Spam", nil).Wait())
			source.put("Spam", many(spam)...)
			source.put("INBOX", many(ham, mark)...)
		}
		newImporter(t, s, org, d.IMAPS, d.CAFile, "ann@junk.awsapps.com,ann@old,"+quotedPassword, "bob@junk.awsapps.com,bob@old,"+quotedPassword).run(0)
		count := func(user string) int { return len(s.IMAP(user, password).Subjects("Junk E-mail", "ALL")) }
		texts := func(subject string) []string {
			return []string{string(letter{subject + " new", 6, nil, time.Time{}}.text())}
		}
		harness.Eventually(t, "spam is sorted out", func() bool {
			before := count("ann")
			arrive(t, s, "ann@junk.awsapps.com", texts(spam)...)
			return count("ann") > before
		})
		before := count("ann")
		arrive(t, s, "ann@junk.awsapps.com", texts(ham)...)
		arrive(t, s, "bob@junk.awsapps.com", texts(spam)...)
		arrive(t, s, "bob@junk.awsapps.com", texts(ham)...)
		if a, b := count("ann"), count("bob"); a != before || b != n {
			t.Errorf("%d messages of ham came to ann's Junk E-mail, %d new ones to bob's", a-before, b-n)
		}
	})
}
