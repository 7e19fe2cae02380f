package imap

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// TestEveryFaultHasACode walks every kind: a new one must be thought about.
func TestEveryFaultHasACode(t *testing.T) {
	want := map[fault.Kind]string{
		fault.Internal: "SERVERBUG", fault.Invalid: "CANNOT", fault.NotFound: "NONEXISTENT", fault.Exists: "ALREADYEXISTS", fault.Reserved: "CANNOT", fault.State: "CANNOT",
		fault.InUse: "INUSE", fault.AlreadyRegistered: "ALREADYEXISTS", fault.Limit: "LIMIT", fault.OverQuota: "OVERQUOTA", fault.TooLarge: "TOOBIG", fault.Unsupported: "CANNOT",
		fault.BadPassword: "CANNOT", fault.BadConfiguration: "CANNOT", fault.Unauthenticated: "AUTHENTICATIONFAILED", fault.Denied: "NOPERM", fault.Conflict: "INUSE",
		fault.Temporary: "UNAVAILABLE", fault.DirectoryDown: "UNAVAILABLE", fault.DirectoryRefusedUs: "CONTACTADMIN",
	}
	for _, k := range fault.Kinds() {
		if got := codeOf(k); want[k] == "" || got != want[k] {
			t.Errorf("%v is answered with %s, want %q", k, got, want[k])
		}
	}
}

func TestFaultsOfTheDoorAreAnswered(t *testing.T) {
	var answer error
	r := onSQLite(t, func(c *Config) {
		c.SignIn = func(context.Context, Credentials) (*SignedIn, error) { return nil, answer }
	})
	c := r.dial(true)
	for _, step := range []struct {
		err  error
		want string
	}{
		{fault.New(fault.Temporary, fault.None, "too many sign-ins wait"), "NO [UNAVAILABLE] too many sign-ins wait"},
		{io.ErrNoProgress, "NO [SERVERBUG] an internal error; it was logged as "},
		{fault.New(fault.Unauthenticated, fault.None, "no"), "NO [AUTHENTICATIONFAILED] no"},
	} {
		answer = step.err
		if _, got := c.do("a LOGIN ann sesame"); !strings.HasPrefix(got, step.want) {
			t.Errorf("%v is answered with %q, want %q", step.err, got, step.want)
		}
	}
	for range maxRefused - 2 {
		c.do("a LOGIN ann sesame")
	}
	c.Send("a LOGIN ann sesame\r\n")
	if got := c.Line(); got != "* BYE too many refused sign-ins" || !c.Ended() {
		t.Errorf("after many refusals: %q", got)
	}
}

func TestAPanicEndsItsConnectionAlone(t *testing.T) {
	r := onSQLite(t, func(c *Config) {
		good := c.SignIn
		c.SignIn = func(ctx context.Context, who Credentials) (*SignedIn, error) {
			if who.Username == "panic" {
				panic("a bug")
			}
			return good(ctx, who)
		}
	})
	other := r.login()
	c := r.dial(true)
	c.Send("a LOGIN panic now\r\n")
	if !c.Ended() {
		t.Error("the connection goes on")
	}
	other.ok("a NOOP")
}

func TestStrangersAreGivenUp(t *testing.T) {
	r := onSQLite(t)
	for name, c := range map[string]struct{ send, want string }{
		"another protocol":           {strings.Repeat("GET / HTTP/1.1\r\n", maxBad), "* BYE this is an IMAP server"},
		"an endless line":            {strings.Repeat("x", 100<<10), "* BYE that was too much"},
		"a huge literal":             {"a LOGIN {99999999+}\r\n", "* BYE that was too much"},
		"many literals":              {"a XYZZY" + strings.Repeat(" {4000+}\r\n"+strings.Repeat("x", 4000), 20), "* BYE that was too much"},
		"a message without a sender": {"a APPEND INBOX {99999999+}\r\n", "* BYE that was too much"},
	} {
		t.Run(name, func(t *testing.T) {
			k := r.dial(true)
			go func() { _, _ = io.WriteString(k, c.send) }() // the server may close before it has read all
			var got string
			for !strings.HasPrefix(got, "* BYE") {
				got = k.Line()
			}
			if got != c.want {
				t.Errorf("the server said %q, want %q", got, c.want)
			}
		})
	}
}

func TestAMessageTooBigToSkipIsAnswered(t *testing.T) {
	c := onSQLite(t).login()
	c.Send("a APPEND INBOX {99999999+}\r\n")
	if got := c.Line() + c.Line(); got != "a NO [TOOBIG] a message may have 41943040 bytes* BYE that was too much" {
		t.Errorf("the server said %q", got)
	}
}

func TestLimitsBeforeAndAfterSignIn(t *testing.T) {
	r := onSQLite(t)
	c := r.dial(true)
	long := strings.Repeat("x", 8193)
	if _, got := c.do("a LOGIN " + strings.Repeat(long, 4) + " x"); !strings.HasPrefix(got, "BAD [TOOBIG]") {
		t.Errorf("a long line: %.80s", got)
	}
	if _, got := c.do("b LOGIN {8193+}\r\n" + long + " x"); !strings.HasPrefix(got, "NO [TOOBIG]") {
		t.Errorf("a long literal: %.80s", got)
	}
	c.ok("c ID (" + strings.TrimSpace(strings.Repeat(`"`+long[:30]+`" "`+long[:1024]+`" `, 30)) + ")") // RFC 2971 section 3.3
	c.ok("c LOGIN ann sesame")
	c.ok("d SELECT INBOX")
	c.ok("e UID SEARCH UID " + strings.Repeat("1,3,5:7,", 10000) + "9")
	for command, want := range map[string]string{
		"f SEARCH " + strings.Repeat("OR ALL ", 30) + "ALL":                        "OK",
		"g SEARCH " + strings.Repeat("(", 33) + "ALL" + strings.Repeat(")", 33):    "NO [LIMIT]",
		"h SEARCH " + strings.Repeat("ALL ", 1000) + "ALL":                         "NO [LIMIT]",
		"i FETCH 1 (" + strings.Repeat("UID ", 300) + "UID)":                       "NO [LIMIT]",
		"j CREATE " + strings.Repeat("x", 5000):                                    "NO [LIMIT]",
		"k CREATE " + strings.Repeat("x", 2000):                                    "NO [CANNOT]",
		"l STORE 1 FLAGS (" + strings.TrimSpace(strings.Repeat("a b ", 100)) + ")": "BAD",
		"m LIST \"\" " + strings.Repeat("%*", 2000):                                "OK",
		"n CREATE " + strings.Repeat("a/", 100) + "b":                              "NO [",
	} {
		if _, got := c.do(command); !strings.HasPrefix(got, want) {
			t.Errorf("%.30s: %.100s, want %s", command, got, want)
		}
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	r := onSQLite(t, func(c *Config) { c.MaxPerAddress, c.MaxConnections = 2, 3 })
	r.dial(true)
	first := r.dial(false)
	third, err := net.Dial("tcp", r.plain.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	if b, err := io.ReadAll(third); err != nil || string(b) != "* BYE too many connections from your address\r\n" {
		t.Errorf("the third heard %q, %v", b, err)
	}
	first.ok("a LOGOUT")
	if !first.Ended() {
		t.Error("LOGOUT left the connection open")
	}
	for deadline := time.Now().Add(time.Minute); r.Connections() > 1 && time.Now().Before(deadline); {
		<-time.After(time.Millisecond)
	}
	r.dial(false).ok("a NOOP")
}

func TestTimeLimits(t *testing.T) {
	t.Run("to sign in", func(t *testing.T) {
		r := onSQLite(t, func(c *Config) { c.SignInTime = 300 * time.Millisecond })
		slow := r.dial(false)
		stop := make(chan struct{})
		go func() { // a byte now and then does not help
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
					if _, err := slow.Write([]byte("x")); err != nil {
						return
					}
				}
			}
		}()
		if got := slow.Line(); got != "* BYE you said nothing for too long" {
			t.Errorf("the slow one heard %q", got)
		}
		close(stop)
	})
	t.Run("autologout", func(t *testing.T) {
		r := onSQLite(t, func(c *Config) { c.AutoLogout = 100 * time.Millisecond })
		silent, idle := r.login(), r.dial(true)
		idle.Send("l LOGIN ann sesame\r\na IDLE\r\n") // at once, or it may be over
		for got := idle.Line(); !strings.HasPrefix(got, "l OK"); got = idle.Line() {
			if strings.HasPrefix(got, "l ") {
				t.Fatal(got)
			}
		}
		if got := idle.Line(); got != "+ idling" {
			t.Errorf("IDLE: %q", got)
		}
		for _, c := range []*client{silent, idle} {
			if got := c.Line(); got != "* BYE you said nothing for too long" || !c.Ended() {
				t.Errorf("the silent one heard %q", got)
			}
		}
	})
	t.Run("inside a message", func(t *testing.T) {
		r := onSQLite(t, func(c *Config) { c.LiteralTime = 50 * time.Millisecond })
		c := r.login()
		c.Send("a APPEND INBOX {100}\r\n")
		if got := c.Line(); got != "+ go on" {
			t.Fatalf("APPEND: %q", got)
		}
		if got := c.Line(); got != "* BYE you said nothing for too long" {
			t.Errorf("the server said %q", got)
		}
	})
	t.Run("notices while idle", func(t *testing.T) {
		r := onSQLite(t, func(c *Config) { c.IdleNotice = 10 * time.Millisecond })
		c := r.login()
		c.Send("a IDLE\r\n")
		if got := c.Line() + c.Line() + c.Line(); got != "+ idling* OK still here* OK still here" {
			t.Errorf("the server said %q", got)
		}
		c.Send("DONE\r\n")
		for got := c.Line(); got != "a OK IDLE done"; got = c.Line() {
			if got != "* OK still here" {
				t.Errorf("the server said %q", got)
			}
		}
	})
}

// TestALongSearch is told of while it lasts, and ends with its client.
func TestALongSearch(t *testing.T) {
	r := onSQLite(t, func(c *Config) { c.SearchNotice = 1 }) // at each message
	const messages = 50
	text := "Subject: x\r\n\r\n" + strings.Repeat("x\r\n", mailbox.DefaultInlineLimit) // which lies in a blob
	for range messages {
		r.deliver("INBOX", text, 0)
	}
	c := r.login()
	c.ok("a SELECT INBOX")
	if got, want := c.ok("b SEARCH BODY nothing"), append(slices.Repeat([]string{"* OK still searching"}, messages), "* SEARCH"); !slices.Equal(got, want) {
		t.Errorf("heard %q", got)
	}
	c.Send("c SEARCH BODY x\r\n")
	if err := c.Conn.Conn.(*tls.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for got := c.Line(); !strings.HasPrefix(got, "c "); got = c.Line() {
		if got != "* OK still searching" && got != "* SEARCH"+numbers(messages) {
			t.Errorf("a client that sends nothing more heard %q", got)
		}
	}

	gone := r.login()
	gone.ok("a SELECT INBOX")
	opened := 0
	r.blobs.opened = func() {
		if opened++; opened == 1 {
			_ = gone.Close()
		}
	}
	gone.Send("b SEARCH BODY nothing\r\n")
	for deadline := time.Now().Add(time.Minute); r.Connections() > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the search goes on")
		}
		<-time.After(time.Millisecond)
	}
	if opened >= messages {
		t.Error("the search went on to its end without a client")
	}
}

// numbers are those from 1 to n, each behind a space.
func numbers(n int) (s string) {
	for i := range n {
		s += fmt.Sprintf(" %d", i+1)
	}
	return s
}

// TestASlowReaderHoldsNothing lets a client ask for much and read nothing: others go on, and it is given up in time.
func TestASlowReaderHoldsNothing(t *testing.T) {
	r := onSQLite(t, func(c *Config) { c.WriteTime = time.Second })
	big := "Subject: big\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 60_000)
	for range 20 {
		r.deliver("INBOX", big, 0)
	}
	slow := r.login()
	slow.readSlowly()
	slow.ok("a SELECT INBOX")
	slow.Send("b FETCH 1:* BODY.PEEK[]\r\n")
	other := r.login()
	other.ok("a SELECT INBOX")
	other.ok("b STORE 1:* +FLAGS (\\Seen)")
	r.deliver("INBOX", big, 0)
	other.ok("c NOOP")
	for deadline := time.Now().Add(time.Minute); r.Connections() > 1; {
		if time.Now().After(deadline) {
			t.Fatal("the slow one is still there")
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestShutdown(t *testing.T) {
	r := onSQLite(t, func(c *Config) { c.Grace = time.Minute })
	idle, silent, stranger := r.login(), r.login(), r.dial(false)
	idle.Send("a IDLE\r\n")
	idle.Line()
	began := time.Now()
	r.shutDown()
	if d := time.Since(began); d > 30*time.Second {
		t.Errorf("the shutdown took %v", d)
	}
	for _, c := range []*client{idle, silent, stranger} {
		if got := c.Line(); got != "* BYE [UNAVAILABLE] the server is shutting down" || !c.Ended() {
			t.Errorf("heard %q", got)
		}
	}
	if _, err := net.Dial("tcp", r.plain.Addr().String()); err == nil {
		t.Error("the listener is still open")
	}
}

// TestASessionEndsWithinASecond ends the session of a client that reads nothing of a large answer.
func TestASessionEndsWithinASecond(t *testing.T) {
	r := onSQLite(t)
	big := "Subject: big\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 60_000)
	for range 20 {
		r.deliver("INBOX", big, 0)
	}
	c := r.login()
	c.readSlowly()
	c.ok("a SELECT INBOX")
	c.Send("b FETCH 1:* BODY.PEEK[]\r\n")
	if got := c.Line(); !strings.HasPrefix(got, "* 1 FETCH") {
		t.Fatalf("FETCH: %q", got)
	}
	began := time.Now()
	r.endSessions()
	for r.Connections() > 0 {
		if time.Since(began) > 20*time.Second { // a second is promised; the machine may be busy
			t.Fatal("the session goes on")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestNothingIsSaidInsideALiteral reads a message of which a disk gives the first half: the connection ends without a
// goodbye, which the client would take for a part of the message.
func TestNothingIsSaidInsideALiteral(t *testing.T) {
	r := onSQLite(t)
	text := "Subject: big\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 60_000)
	r.blobs.broken = int64(len(text) / 2)
	c := r.login()
	c.ok(fmt.Sprintf("a APPEND INBOX {%d+}\r\n%s", len(text), text))
	c.ok("a SELECT INBOX")
	c.Send("b FETCH 1 BODY.PEEK[]\r\n")
	if got, want := c.Line(), fmt.Sprintf("* 1 FETCH (BODY[] {%d}", len(text)); got != want {
		t.Fatalf("%q, want %q", got, want)
	}
	got, err := io.ReadAll(c.In)
	if err != nil || len(got) < len(text)/4 || !strings.HasPrefix(text, string(got)) {
		t.Errorf("the literal ends with %q, %v", got[max(0, len(got)-80):], err)
	}
}

// TestLargeMessage sends one that is spooled, in through a slow pipe and out again, whole and in part.
func TestLargeMessage(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		var b strings.Builder
		b.WriteString("Subject: large\r\n\r\n")
		for i := 0; b.Len() < 3<<20; i++ {
			fmt.Fprintf(&b, "line %d\r\n", i)
		}
		text := b.String()
		c := r.login()
		c.ok(fmt.Sprintf("a APPEND INBOX {%d+}\r\n%s", len(text), text))
		c.ok("b SELECT INBOX")
		c.Send("c FETCH 1 (BODY.PEEK[] BODY.PEEK[TEXT]<2000000.10>)\r\n")
		if got, want := c.Line(), fmt.Sprintf("* 1 FETCH (BODY[] {%d}", len(text)); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
		whole := make([]byte, len(text))
		if _, err := io.ReadFull(c.In, whole); err != nil || string(whole) != text {
			t.Fatalf("the message is another one: %v", err)
		}
		c.Line()
		part := make([]byte, 10)
		if _, err := io.ReadFull(c.In, part); err != nil || string(part) != text[2000000+len("Subject: large\r\n\r\n"):][:10] {
			t.Errorf("the part is %q, %v", part, err)
		}
		if got := c.Line(); got != ")" {
			t.Errorf("then comes %q", got)
		}
	})
}

// TestQuota refuses a message that does not fit before it is sent.
func TestQuota(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		err := r.db.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			return r.Mailboxes.SetQuotaTx(ctx, tx, mailbox.Owner{Org: 1, Entity: "ann"}, 1000)
		})
		if err != nil {
			t.Fatal(err)
		}
		c := r.login()
		if _, got := c.do("a APPEND INBOX {1001}"); !strings.HasPrefix(got, "NO [OVERQUOTA]") {
			t.Errorf("APPEND of too much: %s", got)
		}
		c.ok("b APPEND INBOX {900+}\r\n" + strings.Repeat("x", 900))
		c.ok("c SELECT INBOX")
		if _, got := c.do("d COPY 1 Drafts"); !strings.HasPrefix(got, "NO [OVERQUOTA]") {
			t.Errorf("COPY of too much: %s", got)
		}
		c.ok("e MOVE 1 Drafts")
	})
}

// TestViewsAgree lets sessions change a folder at random and checks that each one's picture, built from what it was told
// alone, is the truth once it has heard all. Some lose their connections on the way, and go on from what they knew.
func TestViewsAgree(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		var all []*wanderer
		for n := range uint64(4) {
			all = append(all, r.newWanderer(n, n%2 == 1))
		}
		var wandering sync.WaitGroup
		for _, w := range all {
			wandering.Go(func() {
				for range 60 {
					w.step()
				}
			})
		}
		wandering.Wait()
		for i, w := range all {
			if w.check(); w.problem != nil {
				t.Errorf("wanderer %d: %v\n%s", i, w.problem, w.c.Log.String())
			}
		}
	})
}

func TestUIDSets(t *testing.T) {
	set := func(s string) mailbox.UIDSet {
		r := wire.NewReader(strings.NewReader("a UID EXPUNGE "+s+"\r\n"), wire.AfterSignIn(), nil)
		cmd, err := r.ReadCommand()
		if err != nil {
			t.Fatal(err)
		}
		return toUIDs(cmd.Args.(wire.Expunge).Set.Resolve(0))
	}
	if got := intersect(set("1:5,8:20,30"), set("4:9,15,29:40")).String(); got != "4:5,8:9,15,30" {
		t.Errorf("intersect = %s", got)
	}
	var list *mailbox.UIDList
	list = list.With(set("3,5:6,9"))
	if got := outside(set("1:9"), list).String(); got != "1:2,4,7:8" {
		t.Errorf("outside = %s", got)
	}
	if got := outside(set("1:10,12"), list).String(); got != "1:2,4,7:8,10,12" {
		t.Errorf("outside = %s", got)
	}
	if got := subtract(mailbox.AllUIDs(), list, 12).String(); got != "1:2,4,7:8,10:11" {
		t.Errorf("subtract = %s", got)
	}
	if got := missing(list, list.Without(set("5,9"))).String(); got != "5,9" {
		t.Errorf("missing = %s", got)
	}
	if got := string(appendInOrder(nil, []mailbox.UID{7, 8, 3, 4, 4294967295})); got != "7:8,3:4,4294967295" {
		t.Errorf("appendInOrder = %s", got)
	}
	var o ownChanges
	o.add([]mailbox.FlagUpdate{{ModSeq: 5}, {ModSeq: 4}, {ModSeq: 9}})
	var in []mailbox.ModSeq
	for n := range mailbox.ModSeq(12) {
		if o.has(n) {
			in = append(in, n)
		}
	}
	if !slices.Equal(in, []mailbox.ModSeq{4, 5, 9}) {
		t.Errorf("own changes are %v", in)
	}
}
