package imapsource

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/migration"
)

// source is an IMAP server of one folder, and of another one for what moved, that does as badly as a test wants.
type source struct {
	t     *testing.T
	addr  string
	roots *x509.CertPool
	plain bool
	// patience is the importer's.
	patience time.Duration
	lost     atomic.Int32 // connections that the importer was told to have lost
	caps     string
	// odd answers a command in another way and reports whether it did. It may close the connection.
	odd func(c *session, tag, command string) bool

	mu    sync.Mutex
	mails map[uint32]string // guarded by mu
	moved map[uint32]string // of Archive, which is there unless nil; guarded by mu
	// validity is the UIDVALIDITY of INBOX, and name its name where it has another one.
	validity int
	name     string
	heard    []string // commands; guarded by mu
	ended    sync.WaitGroup
}

// session is a connection to it.
type session struct {
	net.Conn
	s       *source
	archive bool // is selected
}

func (c *session) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c, format+"\r\n", args...) // a client that left hears nothing
}

func newSource(t *testing.T, n int) *source {
	t.Helper()
	s := &source{t: t, caps: "IMAP4rev1", patience: time.Minute, validity: 7, name: "INBOX", mails: map[uint32]string{}}
	for i := range n {
		s.mails[uint32(i+1)] = fmt.Sprintf("Message-ID: <%d>\r\n\r\ntext %d\r\n", i+1, i+1)
	}
	return s
}

func (s *source) start() *source {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"source"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	s.roots = x509.NewCertPool()
	s.roots.AddCert(cert)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = l.Addr().String()
	if !s.plain {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	}
	s.ended.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.ended.Go(func() { s.serve(&session{Conn: c, s: s}) })
		}
	})
	s.t.Cleanup(func() {
		_ = l.Close()
		s.ended.Wait()
	})
	return s
}

func (s *source) uids() []uint32 { return slices.Sorted(maps.Keys(s.mails)) }

func (s *source) serve(c *session) {
	defer c.Close()
	c.say("* OK [CAPABILITY %s] hello", s.caps)
	for lines := bufio.NewScanner(c); lines.Scan(); {
		tag, command, _ := strings.Cut(lines.Text(), " ")
		s.mu.Lock()
		s.heard = append(s.heard, command)
		s.mu.Unlock()
		if s.odd != nil && s.odd(c, tag, command) {
			continue
		}
		s.answer(c, tag, command)
	}
}

func (s *source) answer(c *session, tag, command string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	word, rest, _ := strings.Cut(command, " ")
	if word == "UID" {
		word, rest, _ = strings.Cut(rest, " ")
	}
	mails, validity := s.mails, s.validity
	if archive := strings.HasPrefix(rest, "Archive") || strings.HasPrefix(rest, `"Archive"`); archive || c.archive && word != "STATUS" && word != "EXAMINE" {
		mails, validity = s.moved, 8
	}
	uids := slices.Sorted(maps.Keys(mails))
	switch word {
	case "CAPABILITY":
		c.say("* CAPABILITY %s", s.caps)
	case "LIST":
		c.say(`* LIST () "/" %s`, s.name)
		if s.moved != nil {
			c.say(`* LIST () "/" Archive`)
		}
	case "STATUS":
		name, _, _ := strings.Cut(rest, " ")
		c.say("* STATUS %s (MESSAGES %d UIDNEXT 1000 UIDVALIDITY %d)", name, len(mails), validity)
	case "EXAMINE":
		c.archive = validity == 8
		c.say("* FLAGS (\\Seen)\r\n* %d EXISTS\r\n* OK [UIDVALIDITY %d] \r\n* OK [UIDNEXT 1000] ", len(mails), validity)
	case "SEARCH":
		answer := "* SEARCH"
		if strings.HasPrefix(rest, "ALL") || strings.HasPrefix(rest, "UID") {
			for _, u := range uids {
				answer += fmt.Sprintf(" %d", u)
			}
		}
		c.say("%s", answer)
	case "FETCH":
		for i, u := range uids {
			if covers(rest, u) {
				s.fetch(c, i+1, u, rest)
			}
		}
	case "LOGOUT":
		c.say("* BYE")
	}
	c.say("%s OK done", tag)
}

func (s *source) fetch(c *session, n int, u uint32, what string) {
	if !strings.Contains(what, "BODY") {
		c.say(`* %d FETCH (UID %d FLAGS (\Seen))`, n, u)
		return
	}
	text := s.mails[u]
	if c.archive {
		text = s.moved[u]
	}
	c.say("* %d FETCH (UID %d FLAGS (\\Seen) INTERNALDATE \"03-Feb-2020 04:05:06 +0000\" RFC822.SIZE %d BODY[] {%d}\r\n%s)", n, u, len(text), len(text), text)
}

var received = time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)

// covers reports whether a FETCH asks for a UID.
func covers(command string, u uint32) bool {
	set, _, _ := strings.Cut(command, " ")
	for part := range strings.SplitSeq(set, ",") {
		from, to, ranged := strings.Cut(part, ":")
		if !ranged {
			to = from
		}
		a, _ := strconv.ParseUint(from, 10, 32)
		b, err := strconv.ParseUint(to, 10, 32)
		if uint64(u) >= a && (err != nil || uint64(u) <= b) {
			return true
		}
	}
	return false
}

// asks reports whether a command fetches the bytes of messages, u among them.
func asks(command string, u uint32) bool {
	rest, ok := strings.CutPrefix(command, "UID FETCH ")
	return ok && strings.Contains(rest, "BODY") && covers(rest, u)
}

// core is what mail goes to.
type core struct {
	mu      sync.Mutex
	mails   map[string]map[uint32]string // by source; guarded by mu, as the next are
	twice   bool
	removed int
	largest int // bytes of a batch
	flagged int // messages whose flags were told to SyncMail
	// renumbered is how many messages get other UIDs before all else.
	renumbered int
	fails      error
	// validity is what INBOX had when it was planned last but in a dry run, and planned how often that was.
	validity uint32
	planned  int
}

func (c *core) OpenMail(_ context.Context, a migration.Account) (migration.Opened, error) {
	if a.Address == "nobody" {
		return migration.Opened{}, fault.New(fault.NotFound, fault.Entity, "there is no %s", a.Address)
	}
	return migration.Opened{Mailbox: 1, Quota: 1 << 40, MaxMessage: 10 << 20}, nil
}

func (c *core) PlanMail(_ context.Context, p migration.MailPlan) (out migration.MailPlanned, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mails == nil {
		c.mails = map[string]map[uint32]string{}
	}
	if c.mails[p.Source] == nil {
		c.mails[p.Source] = map[uint32]string{}
	}
	if !p.Dry {
		c.planned++
	}
	came := migration.CameFrom{Key: 1, Folder: -1, Renumbered: c.renumbered > 0}
	for i, f := range p.Folders {
		if f.Name != "INBOX" {
			out.Folders = append(out.Folders, migration.PlannedFolder{Path: f.Name})
			continue
		}
		came.Folder, came.Renumbered = i, came.Renumbered || f.UIDValidity != c.validity
		known := int64(len(c.mails[p.Source]) - c.renumbered)
		out.Folders = append(out.Folders, migration.PlannedFolder{Path: "INBOX", Key: 1, Known: known, Renumbered: c.renumbered > 0})
		if !p.Dry {
			c.validity = f.UIDValidity
		}
	}
	out.Came = []migration.CameFrom{came}
	return out, nil
}

// only is the mail of the only account.
func (c *core) only() map[uint32]string {
	for _, m := range c.mails {
		return m
	}
	return nil
}

func (c *core) CameMail(_ context.Context, r migration.MailCame) (out migration.MailNumbered, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	have := c.only()
	for _, u := range slices.Sorted(maps.Keys(have)) {
		if u > r.After && len(out.Messages) < 30 {
			out.Messages = append(out.Messages, migration.MessageNumber{UID: u, Identity: migration.Identity([]byte(have[u]), int64(len(have[u])), received)})
		}
	}
	return out, nil
}

func (c *core) SyncMail(_ context.Context, p migration.MailPage) (out migration.MailSynced, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	have := c.only()
	c.flagged += len(p.Flags)
	var wanted []mailbox.UID
	for u := range p.UIDs.All() {
		if _, ok := have[uint32(u)]; !ok {
			wanted = append(wanted, u)
		}
	}
	for u := range have {
		if u >= p.First && u <= p.Last && !p.UIDs.Contains(mailbox.UID(u)) {
			c.removed++
		}
	}
	out.Wanted = mailbox.UIDs(wanted...)
	return out, nil
}

func (c *core) RenumberMail(_ context.Context, n migration.MailNumbers) (migration.MailFound, error) {
	return migration.MailFound{Messages: int64(min(len(n.Messages), c.renumbered))}, nil
}

func (c *core) SettleMail(context.Context, migration.MailSettle) (migration.MailSynced, error) {
	return migration.MailSynced{}, nil
}

func (c *core) PassedMail(context.Context, migration.MailPassed) (migration.MailCount, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return migration.MailCount{Messages: int64(len(c.only()))}, nil
}

func (c *core) DeliverMail(_ context.Context, b migration.MailBatch, body io.Reader) (out migration.MailTaken, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails != nil {
		return out, c.fails
	}
	have, size := c.only(), 0
	for _, h := range b.Messages {
		var text bytes.Buffer
		if _, err := io.CopyN(&text, body, h.Size); err != nil {
			return out, err
		}
		_, again := have[h.UID]
		c.twice = c.twice || again
		have[h.UID] = text.String()
		size += text.Len()
		out.Messages++
	}
	c.largest = max(c.largest, size)
	return out, nil
}

// bring runs an import of accounts, of which ann is the usual one.
func (s *source) bring(c *core, accounts ...Account) (*Report, error) {
	s.t.Helper()
	if len(accounts) == 0 {
		accounts = []Account{{"ann", "ann", "secret"}}
	}
	return s.bringBy(c, Options{Accounts: accounts})
}

// bringBy completes options.
func (s *source) bringBy(c *core, o Options) (*Report, error) {
	o.Server = Server{Address: s.addr, TLS: &tls.Config{ServerName: "source", RootCAs: s.roots}, StartTLS: s.plain, Patience: s.patience}
	o.Name, o.Parallel = "source", 2
	o.Lost = func(Account, error, time.Duration) { s.lost.Add(1) }
	o.Sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return Run(s.t.Context(), c, o)
}

// want brings all but some messages, and compares.
func (s *source) want(c *core, reason string, but ...uint32) {
	s.t.Helper()
	r, err := s.bring(c)
	if err != nil {
		s.t.Fatal(err)
	}
	m := r.Mailboxes[0]
	if m.Error != "" || len(m.Folders) != 1 || m.Folders[0].Error != "" {
		s.t.Fatalf("%+v", m)
	}
	var left []uint32
	for _, skip := range m.Folders[0].Skipped {
		if left = append(left, skip.UIDs...); !strings.Contains(skip.Reason, reason) {
			s.t.Errorf("left out because %q", skip.Reason)
		}
	}
	if !slices.Equal(left, but) || c.twice || c.removed > 0 {
		s.t.Errorf("left out: %v, some twice: %v, removed: %d", left, c.twice, c.removed)
	}
	for u, text := range s.mails {
		if got, ok := c.only()[u]; ok == slices.Contains(but, u) || ok && got != text {
			s.t.Errorf("message %d is %.40q", u, got)
		}
	}
}
