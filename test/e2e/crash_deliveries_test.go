package e2e

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/smtp"
	"net/textproto"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/test/harness"
)

// largeBody is larger than what is kept in the database, however well it is compressed.
const largeBody = 200_000

// mail makes a message with a subject of its own. Each eighth is large, and can't be compressed.
func mail(name string, lots *rand.Rand) string {
	size := lots.IntN(2000)
	if lots.IntN(8) == 0 {
		size = largeBody
	}
	head := fmt.Sprintf("From: x@example.com\r\nTo: everybody@crash.awsapps.com\r\nSubject: %s\r\n\r\n", name)
	return head + noise(lots, size) + "the end of " + name + "\r\n"
}

// noise makes lines of at least so many bytes that can't be compressed much.
func noise(lots *rand.Rand, bytes int) string {
	var text strings.Builder
	line := make([]byte, 54)
	for text.Len() < bytes {
		for i := range line {
			line[i] = byte(lots.Uint32())
		}
		text.WriteString(base64.StdEncoding.EncodeToString(line) + "\r\n")
	}
	return text.String()
}

// sent is a message that a sender handed in, or tried to.
type sent struct {
	text         string
	to           []string
	acknowledged bool
}

// inbox is what was last seen in a user's INBOX. Nobody but the senders changes it.
type inbox struct {
	validity, next int
	uids           map[string]int // by subject
}

// inboxes is what all senders did together.
type inboxes struct {
	mu   sync.Mutex
	sent map[string]*sent // by subject
	of   map[string]*inbox
	// stops says that the server ends with a word: 421 is an answer then.
	stops bool
}

// sender delivers from one SMTP connection.
type sender struct {
	*inboxes
	name string
	to   []string
	n    int
	smtp *smtp.Client
}

func (d *sender) connect(t *testing.T, s *harness.Server) {
	t.Helper()
	c, err := smtp.Dial(s.Addr("smtp"))
	if err != nil {
		t.Fatal(err)
	}
	d.smtp = c
}

func (d *sender) work(t *testing.T, lots *rand.Rand, acknowledged func()) {
	defer d.smtp.Close()
	for {
		d.n++
		name := fmt.Sprintf("%s-%d", d.name, d.n)
		m := &sent{text: mail(name, lots), to: d.to}
		d.mu.Lock()
		d.sent[name] = m
		d.mu.Unlock()
		if err := d.deliver(m); err != nil {
			if refused, ok := errors.AsType[*textproto.Error](err); ok && !(d.stops && refused.Code == 421) {
				t.Errorf("delivery of %s: %v", name, refused)
			}
			return
		}
		d.mu.Lock()
		m.acknowledged = true
		d.mu.Unlock()
		acknowledged()
	}
}

func (d *sender) deliver(m *sent) error {
	if err := d.smtp.Mail("x@example.com"); err != nil {
		return err
	}
	for _, to := range m.to {
		if err := d.smtp.Rcpt(to + "@crash.awsapps.com"); err != nil {
			return err
		}
	}
	w, err := d.smtp.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(m.text)); err != nil {
		return err
	}
	return w.Close()
}

// verify has nothing of its own: the inboxes are verified once for all senders.
func (d *sender) verify(*testing.T, *harness.Server, bool) {}

func (in *inboxes) acknowledged() (n int) {
	for _, m := range in.sent {
		if m.acknowledged {
			n++
		}
	}
	return n
}

// verify compares the inboxes with what was sent.
func (in *inboxes) verify(t *testing.T, s *harness.Server, whole bool) {
	t.Helper()
	for user, box := range in.of {
		in.look(t, s, user, box, whole)
	}
	for name, m := range in.sent {
		there := 0
		for _, user := range m.to {
			if _, ok := in.of[user].uids[name]; ok {
				there++
			}
		}
		switch {
		case m.acknowledged && there < len(m.to):
			t.Errorf("message %s (%d bytes) was acknowledged and is with %d of its recipients %v", name, len(m.text), there, m.to)
		case there != 0 && there != len(m.to):
			t.Errorf("message %s is with %d of its recipients %v", name, there, m.to)
		}
	}
}

// look reads what is new in an INBOX, or all of it, byte by byte, and holds it against what was seen before.
func (in *inboxes) look(t *testing.T, s *harness.Server, user string, box *inbox, whole bool) {
	t.Helper()
	c := s.IMAP(user+"@crash.awsapps.com", password)
	defer c.Close()
	validity, next, _ := selected(t, c, "INBOX")
	if box.validity != 0 && validity != box.validity || next < box.next {
		t.Errorf("INBOX of %s: UIDVALIDITY %d and UIDNEXT %d, after %d and %d", user, validity, next, box.validity, box.next)
	}
	from := max(1, box.next)
	if whole {
		from = 1
	}
	now := map[string]int{}
	for name, uid := range box.uids {
		if uid < from {
			now[name] = uid
		}
	}
	if from < next {
		for _, got := range fetched(t, c, fmt.Sprintf("%d:*", from)) {
			name := subject(got.text)
			m := in.sent[name]
			switch {
			case m == nil || !slices.Contains(m.to, user):
				t.Errorf("INBOX of %s: UID %d holds %.200q, which nobody sent there", user, got.uid, got.text)
			case !strings.HasSuffix(got.text, "\r\n"+m.text):
				t.Errorf("INBOX of %s: UID %d does not hold message %s as it was sent: %d bytes of %d", user, got.uid, name, len(got.text), len(m.text))
			case now[name] != 0:
				t.Errorf("INBOX of %s: message %s is there twice, as UID %d and %d", user, name, now[name], got.uid)
			}
			if before, ok := box.uids[name]; ok && before != got.uid || !ok && got.uid < box.next {
				t.Errorf("INBOX of %s: message %s has UID %d, after %d; UIDNEXT was %d", user, name, got.uid, before, box.next)
			}
			now[name] = got.uid
		}
	}
	all := strings.Fields(strings.TrimPrefix(strings.Join(c.Do("UID SEARCH ALL"), ""), "* SEARCH"))
	if len(all) != len(now) {
		t.Errorf("INBOX of %s: %d messages are found, and %d were seen", user, len(all), len(now))
	}
	for name := range box.uids {
		if _, ok := now[name]; !ok {
			t.Errorf("INBOX of %s: message %s was there after an earlier crash", user, name)
		}
	}
	*box = inbox{validity, next, now}
}

// sawFiles makes sure that large messages were among them.
func (in *inboxes) sawFiles(t *testing.T, s *harness.Server) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(filepath.Join(s.Dir, "blobs"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files++
		}
		return err
	})
	large := 0
	for _, m := range in.sent {
		if m.acknowledged && len(m.text) > largeBody {
			large++
		}
	}
	if err != nil || files < large {
		t.Errorf("%d large messages were acknowledged, and %d lie in files: %v", large, files, err)
	}
}

func subject(text string) string {
	_, rest, _ := strings.Cut(text, "\r\nSubject: ")
	name, _, _ := strings.Cut(rest, "\r\n")
	return name
}

var (
	validityCode = regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`)
	nextCode     = regexp.MustCompile(`\[UIDNEXT (\d+)\]`)
	modSeqCode   = regexp.MustCompile(`\[HIGHESTMODSEQ (\d+)\]`)
	uidItem      = regexp.MustCompile(`UID (\d+)`)
	modSeqItem   = regexp.MustCompile(`MODSEQ \((\d+)\)`)
	flagsItem    = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
)

// number is the number that a pattern finds, or 0.
func number(p *regexp.Regexp, s string) int {
	m := p.FindStringSubmatch(s)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return n
}

// selected selects a folder with CONDSTORE.
func selected(t *testing.T, c *harness.IMAP, folder string) (validity, next, modSeq int) {
	t.Helper()
	lines := strings.Join(c.Do("SELECT "+folder+" (CONDSTORE)"), "\r\n")
	validity, next, modSeq = number(validityCode, lines), number(nextCode, lines), number(modSeqCode, lines)
	if validity == 0 || next == 0 || modSeq == 0 {
		t.Fatalf("SELECT %s does not say where the folder stands: %s", folder, lines)
	}
	return validity, next, modSeq
}

// message is what FETCH says of one.
type message struct {
	uid, modSeq int
	flags       string // sorted, without \Recent
	text        string
}

// fetched fetches messages whole.
func fetched(t *testing.T, c *harness.IMAP, uids string) (all []message) {
	t.Helper()
	for _, line := range c.Do("UID FETCH " + uids + " (UID FLAGS MODSEQ BODY.PEEK[])") {
		items, text, ok := strings.Cut(line, "BODY[] ")
		if !ok {
			continue // an untagged line about something else
		}
		m := message{number(uidItem, items), number(modSeqItem, items), sortedFlags(items), strings.TrimSuffix(text, ")")}
		if m.uid == 0 || m.modSeq == 0 {
			t.Fatalf("FETCH answered without UID or MODSEQ before the body: %s", items)
		}
		all = append(all, m)
	}
	return all
}

// sortedFlags are the flags that a FETCH line tells.
func sortedFlags(line string) string {
	m := flagsItem.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	flags := slices.DeleteFunc(strings.Fields(m[1]), func(f string) bool { return f == `\Recent` })
	slices.Sort(flags)
	return strings.Join(flags, " ")
}
