package imapsource

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

func TestRun(t *testing.T) {
	s, c := newSource(t, 450).start(), &core{}
	s.want(c, "")
	s.mails[999] = "new"
	s.want(c, "")
}

// TestRunWhenConnectionsBreak: what came whole before is not asked for again, and nothing comes twice.
func TestRunWhenConnectionsBreak(t *testing.T) {
	s, c := newSource(t, 450), &core{}
	var broken atomic.Int32
	s.odd = func(c *session, tag, command string) bool {
		if !asks(command, 100) && !asks(command, 300) || broken.Add(1) > 3 {
			return false
		}
		for i, u := range s.uids() {
			if covers(strings.TrimPrefix(command, "UID FETCH "), u) && u < 300 {
				s.fetch(c, i+1, u, command)
			}
		}
		c.say("* 100 FETCH (UID 300 BODY[] {5000}\r\nonly a pa")
		_ = c.Close()
		return true
	}
	s.start().want(c, "")
	if broken.Load() < 3 {
		t.Error("nothing broke")
	}
}

func TestRunLeavesOutWhatCannotBeRead(t *testing.T) {
	for name, answer := range map[string]string{
		"a date that is none":    `* 5 FETCH (UID 5 INTERNALDATE "yesterday" BODY[] {1}` + "\r\nx)",
		"what nobody asked for":  `* 5 FETCH (UID 5 X-WHAT 7)`,
		"no FETCH at all":        `* 5 FLETCH (UID 5)`,
		"less than a line":       `* 5 FETCH (UID`,
		"a number that is none":  `* 5 FETCH (UID 99999999999)`,
		"a literal without end":  `* 5 FETCH (UID 5 BODY[] {99999999999999999999}`,
		"deep lists":             `* 5 FETCH (UID 5 FLAGS ` + strings.Repeat("(", 5000) + `)`,
		"a body structure alone": `* 5 FETCH (UID 5 BODYSTRUCTURE ("TEXT" NIL`,
	} {
		t.Run(name, func(t *testing.T) {
			s, c := newSource(t, 20), &core{}
			s.odd = func(c *session, _, command string) bool {
				if !asks(command, 5) {
					return false
				}
				c.say("%s", answer)
				_ = c.Close()
				return true
			}
			s.start().want(c, "it can't be read", 5)
		})
	}
	t.Run("listed and not given", func(t *testing.T) {
		s, c := newSource(t, 20), &core{}
		s.odd = func(c *session, tag, command string) bool {
			if !asks(command, 5) {
				return false
			}
			for i, u := range s.uids() {
				if u != 5 && asks(command, u) {
					s.fetch(c, i+1, u, command)
				}
			}
			c.say("* 5 FETCH (UID 5 BODY[] NIL)\r\n%s OK done", tag)
			return true
		}
		s.start().want(c, "lists it", 5)
	})
}

// TestRunWhenFlagsChangeMeanwhile: the client takes a notice of other flags for the message that it asked for.
func TestRunWhenFlagsChangeMeanwhile(t *testing.T) {
	s, c := newSource(t, 20), &core{}
	var told atomic.Bool
	s.odd = func(c *session, _, command string) bool {
		if asks(command, 5) && told.CompareAndSwap(false, true) {
			c.say(`* 5 FETCH (UID 5 FLAGS (\Seen))`)
		}
		return false
	}
	s.start().want(c, "")
	if !told.Load() {
		t.Error("nothing was told")
	}
}

// TestRunTellsFlagsOfRenumberedMessages: those may have changed with the UIDs, and the source tells of no change before this run
// when it is asked in the next.
func TestRunTellsFlagsOfRenumberedMessages(t *testing.T) {
	s, c := newSource(t, 20).start(), &core{}
	s.want(c, "")
	if c.flagged != 0 {
		t.Fatalf("%d messages were asked for their flags alone", c.flagged)
	}
	c.renumbered = 20
	if s.want(c, ""); c.flagged != 20 {
		t.Errorf("flags of %d messages were told, not of 20", c.flagged)
	}
}

// TestRunTellsFlagsAfterALostConnection: flags of what came by the first one may be others before the second one begins.
func TestRunTellsFlagsAfterALostConnection(t *testing.T) {
	s, c := newSource(t, 450), &core{}
	var broken atomic.Bool
	s.odd = func(c *session, _, command string) bool {
		if !asks(command, 300) || !broken.CompareAndSwap(false, true) {
			return false
		}
		_ = c.Close()
		return true
	}
	if s.start().want(c, ""); c.flagged != 450 {
		t.Errorf("flags of %d messages were told, not of 450", c.flagged)
	}
}

func TestRunLeavesOutLargeMessages(t *testing.T) {
	s, c := newSource(t, 5), &core{}
	for u := range uint32(5) { // each in a file on its way, none of them together with others
		s.mails[100+u] = "Subject: large\r\n\r\n" + strings.Repeat("x", 3<<20)
	}
	s.mails[3] = strings.Repeat("x", 10<<20+1)
	s.start().want(c, "larger", 3)
	if c.largest > 6<<20 {
		t.Errorf("a batch of %d bytes", c.largest)
	}
}

func TestRunGivesUp(t *testing.T) {
	for name, odd := range map[string]func(c *session, tag, command string) bool{
		"silence": func(_ *session, _, command string) bool { return strings.HasPrefix(command, "LIST") },
		"a search without": func(c *session, tag, command string) bool {
			return strings.HasPrefix(command, "UID SEARCH ALL") && said(c, tag)
		},
		"a search with too much": func(c *session, tag, command string) bool {
			if !strings.HasPrefix(command, "UID SEARCH") {
				return false
			}
			c.say("* ESEARCH UID ALL 1:4294967295")
			return said(c, tag)
		},
		"flags that end the connection": func(c *session, _, command string) bool {
			if !strings.HasPrefix(command, "UID FETCH") {
				return false
			}
			_ = c.Close()
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := newSource(t, 5).start(), &core{}
			s.want(c, "")
			if s.odd = odd; name == "silence" { // which is waited for; elsewhere a busy machine would be taken for it
				s.patience = 100 * time.Millisecond
			}
			r, err := s.bring(c)
			if err != nil || !strings.Contains(r.Mailboxes[0].Error, "given up after 8 attempts") || !r.LeftOut() || c.removed > 0 {
				t.Errorf("%+v, removed %d, %v", r.Mailboxes[0], c.removed, err)
			}
			if told := s.lost.Load(); told != maxLosses-1 {
				t.Errorf("told %d times that it is tried again, want %d", told, maxLosses-1)
			}
		})
	}
}

// A source that is taken down shows empty mailboxes: a run that took that for the owners' doing would empty those that are here.
func TestRunKeepsWhatATakenDownSourceHasNoMore(t *testing.T) {
	s, c := newSource(t, 100).start(), &core{}
	s.want(c, "")
	accounts := []Account{{"ann", "ann", "secret"}}
	for u := uint32(1); u <= 51; u++ {
		delete(s.mails, u)
	}
	const why = "of the 100 messages that came from the source, at least 51 are not there any more"
	r, err := s.bringBy(c, Options{Accounts: accounts})
	if err != nil || c.removed > 0 || !r.LeftOut() || !strings.Contains(r.Mailboxes[0].Error, why) || !strings.Contains(r.Mailboxes[0].Error, "--accept-loss") {
		t.Errorf("%+v, removed %d, %v", r.Mailboxes[0], c.removed, err)
	}
	r, err = s.bringBy(c, Options{Accounts: accounts, DryRun: true})
	if m := r.Mailboxes[0]; err != nil || m.Error != "" || len(m.Notes) != 1 || !strings.Contains(m.Notes[0], why) {
		t.Errorf("a dry run: %+v, %v", m, err)
	}
	r, err = s.bringBy(c, Options{Accounts: accounts, AcceptLoss: true})
	if err != nil || r.LeftOut() || c.removed != 51 {
		t.Errorf("accepted: %+v, removed %d, %v", r.Mailboxes[0], c.removed, err)
	}

	s, c = newSource(t, 100).start(), &core{}
	s.want(c, "")
	for u := uint32(1); u <= 50; u++ {
		delete(s.mails, u)
	}
	if r, err := s.bring(c); err != nil || r.LeftOut() || c.removed != 50 {
		t.Errorf("half is gone: %+v, removed %d, %v", r.Mailboxes[0], c.removed, err)
	}
}

func said(c *session, tag string) bool {
	c.say("%s OK done", tag)
	return true
}

func TestRunTellsWhoCannotSignIn(t *testing.T) {
	s, c := newSource(t, 5), &core{}
	s.odd = func(c *session, tag, command string) bool {
		if !strings.Contains(command, "LOGIN bob") && !strings.Contains(command, `LOGIN "bob"`) {
			return false
		}
		c.say("%s NO not %s", tag, command)
		return true
	}
	r, err := s.start().bring(c, Account{"bob", "bob", "hush"}, Account{"nobody", "x", "hush"}, Account{"ann", "ann", "secret"})
	if err != nil || len(c.only()) != 5 || r.Mailboxes[2].Error != "" {
		t.Errorf("%v, %d messages", err, len(c.only()))
	}
	for i, want := range []string{"sign in as bob", "there is no nobody"} {
		if got := r.Mailboxes[i].Error; !strings.Contains(got, want) || strings.Contains(got, "hush") {
			t.Errorf("%q", got)
		}
	}
	var text strings.Builder
	for _, m := range r.Mailboxes {
		if err := m.Write(&text); err != nil {
			t.Fatal(err)
		}
	}
	if got := text.String(); !strings.Contains(got, "failed: sign in as bob") || !strings.Contains(got, "INBOX   INBOX  5") || strings.Contains(got, "hush") {
		t.Errorf("the report says\n%s", got)
	}
}

// TestWriteEscapesWhatTheSourceSays: no terminal takes it for commands.
func TestWriteEscapesWhatTheSourceSays(t *testing.T) {
	const said = "\x1b]0;x\a\u009b2J"
	m := MailboxReport{
		Folders:  []*FolderReport{{Source: said, Here: said, Error: said, Skipped: []Skipped{{Reason: said, Messages: 1}}}},
		Keywords: []string{said}, Notes: []string{said}, Error: said,
	}
	var text strings.Builder
	if err := m.Write(&text); err != nil || strings.ContainsAny(text.String(), "\x1b\a\u009b") {
		t.Errorf("%v, %q", err, &text)
	}
}

func TestRunSaysNoPasswordInPlainText(t *testing.T) {
	s, c := newSource(t, 5), &core{}
	s.plain = true
	s.odd = func(c *session, tag, command string) bool {
		if command != "STARTTLS" {
			return false
		}
		c.say("%s BAD what is that?", tag)
		return true
	}
	r, err := s.start().bring(c)
	if err != nil || !strings.Contains(r.Mailboxes[0].Error, "STARTTLS") {
		t.Errorf("%+v, %v", r.Mailboxes[0], err)
	}
	for _, command := range s.heard {
		if strings.Contains(command, "secret") {
			t.Errorf("the source heard %q", command)
		}
	}
}

func TestRunSignsInByPLAIN(t *testing.T) {
	s, c := newSource(t, 5), &core{}
	s.caps = "IMAP4rev1 LOGINDISABLED AUTH=PLAIN SASL-IR"
	s.odd = func(c *session, tag, command string) bool {
		if strings.HasPrefix(command, "LOGIN ") || strings.HasPrefix(command, "AUTHENTICATE") && command != "AUTHENTICATE PLAIN AGFubgBzZWNyZXQ=" {
			c.say("%s NO", tag)
			return true
		}
		return false
	}
	s.start().want(c, "")
}

func TestRunEndsWithTheCore(t *testing.T) {
	s, c := newSource(t, 5).start(), &core{fails: errors.New("no server")}
	r, err := s.bring(c, Account{"ann", "ann", "secret"}, Account{"ann", "ann2", "secret"}, Account{"ann", "ann3", "secret"})
	if !errors.Is(err, c.fails) || !r.LeftOut() {
		t.Errorf("%v", err)
	}
}

func TestFoldersOfASource(t *testing.T) {
	personal := []imap.NamespaceDescriptor{{Prefix: "INBOX.", Delim: '.'}}
	for _, c := range []struct {
		list     imap.ListData
		path     string
		noSelect bool
		use      string
	}{
		{imap.ListData{Mailbox: "INBOX", Delim: '.'}, "INBOX", false, ""},
		{imap.ListData{Mailbox: "INBOX.Sent", Delim: '.', Attrs: []imap.MailboxAttr{imap.MailboxAttrHasNoChildren, imap.MailboxAttrSent}}, "Sent", false, `\Sent`},
		{imap.ListData{Mailbox: "INBOX.A.B/C", Delim: '.', Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}}, "A|B/C", true, ""},
		{imap.ListData{Mailbox: "Flat.Name"}, "Flat.Name", false, ""},
		{imap.ListData{Mailbox: "Archive/2020", Delim: '/', Attrs: []imap.MailboxAttr{imap.MailboxAttrNonExistent}}, "Archive|2020", true, ""},
	} {
		f := (&conn{}).folder(&c.list, personal, false)
		if strings.Join(f.Path, "|") != c.path || f.NoSelect != c.noSelect || f.Use != c.use || !f.Subscribed || f.Name != c.list.Mailbox {
			t.Errorf("%s: %+v", c.list.Mailbox, f)
		}
	}
	others := []imap.NamespaceDescriptor{{Prefix: "Other Users/", Delim: '/'}, {Prefix: ""}}
	for name, want := range map[string]bool{"Other Users": true, "Other Users/bob/INBOX": true, "Other Users too": false, "INBOX": false} {
		if foreign(name, others) != want {
			t.Errorf("foreign(%q) is not %v", name, want)
		}
	}
}

func TestReportOfManySkipped(t *testing.T) {
	f := &FolderReport{Source: "A\x1b[2J", AtSource: 30}
	for i := range 30 {
		f.skip("no reason", uint32(i))
	}
	m := &MailboxReport{Address: "a", Folders: []*FolderReport{f, {Source: "B", Error: "broken"}}, Notes: []string{"x"}, Keywords: []string{"k"}}
	var text strings.Builder
	if err := m.Write(&text); err != nil {
		t.Fatal(err)
	}
	got := text.String()
	for _, want := range []string{"A?[2J: 30 messages (UID 0, 1,", "19, …): no reason", "B: broken", "note: x", `the keyword "k"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if len(f.Skipped) != 1 || len(f.Skipped[0].UIDs) != shownUIDs {
		t.Error(fmt.Sprint(f.Skipped))
	}
}
