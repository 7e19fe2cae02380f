package managesieve

import (
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
)

const keep = "keep;\r\n"

// literal is how a client sends a string that is not quoted.
func literal(s string) string {
	return "{" + strconv.Itoa(len(s)) + "+}\r\n" + s
}

// TestSessions runs all that stands on a store, on one: what the store does is for the tests of package script.
func TestSessions(t *testing.T) {
	at := newStore(t)
	for _, part := range []struct {
		name string
		test func(t *testing.T, at *store)
	}{
		{"Capabilities", testCapabilities},
		{"Scripts", testScripts},
		{"Pipelining", testPipelining},
		{"SignIn", testSignIn},
		{"NothingBeforeSignIn", testNothingBeforeSignIn},
		{"NoSecretBeforeTLS", testNoSecretBeforeTLS},
		{"InjectionBehindSTARTTLS", testInjectionBehindSTARTTLS},
		{"RefusedSignIns", testRefusedSignIns},
		{"Syntax", testSyntax},
		{"TooMuch", testTooMuch},
		{"TooManyConnections", testTooManyConnections},
		{"Stop", testStop},
		{"SessionEnds", testSessionEnds},
		{"Unauthenticate", testUnauthenticate},
		{"Patience", testPatience},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, at) })
	}
}

func testCapabilities(t *testing.T, at *store) {
	r := newRig(t, at)
	c := r.connect()
	want := func(about, name string, value string, offered bool) {
		t.Helper()
		c.say("capability")
		lines := c.until(`OK "CAPABILITY done"`)
		line := `"` + name + `"`
		if value != "-" {
			line += ` "` + value + `"`
		}
		if slices.Contains(lines, line) != offered {
			t.Errorf("%s: %s among %q: want %v", about, line, lines, offered)
		}
		if i := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, `"SIEVE" "`) && strings.Contains(s, "fileinto") }); i < 0 {
			t.Errorf("%s: no SIEVE in %q", about, lines)
		}
	}
	want("before TLS", "SASL", "", true)
	want("before TLS", "STARTTLS", "-", true)
	want("before TLS", "VERSION", "1.0", true)
	want("before TLS", "MAXREDIRECTS", "4", true)
	c.talk("STARTTLS", `OK "begin TLS now"`)
	c.handshake()
	if again := c.until(`OK "protected"`); len(again) == 0 {
		t.Error("no capabilities after STARTTLS")
	}
	want("under TLS", "SASL", "PLAIN LOGIN", true)
	want("under TLS", "STARTTLS", "-", false)
	c.talk("STARTTLS", `NO "TLS is on already"`)
	c.talk(`AUTHENTICATE "PLAIN" "`+plain("", "ann", "sesame")+`"`, `OK "welcome"`)
	want("signed in", "OWNER", "ann@acme.example", true)
	want("signed in", "SASL", "PLAIN LOGIN", true)
}

func testScripts(t *testing.T, at *store) {
	r := newRig(t, at)
	c := r.signedIn()
	c.talk("LISTSCRIPTS", `OK "these are your scripts"`)
	c.talk(`PUTSCRIPT "work" `+literal(keep), `OK "stored"`)
	c.talk(`PutScript `+literal("sp\"are")+` `+literal(keep), `OK "stored"`)
	c.talk(`SETACTIVE "work"`, `OK "from now on"`)
	c.talk("LISTSCRIPTS", `"sp\"are"`, `"work" ACTIVE`, `OK "these are your scripts"`)
	c.talk(`GETSCRIPT "work"`, "{7}\n"+keep, `OK "this is it"`)
	c.talk(`GETSCRIPT "other"`, `NO (NONEXISTENT) *`)
	c.talk(`SETACTIVE "other"`, `NO (NONEXISTENT) *`)
	c.talk(`DELETESCRIPT "work"`, `NO (ACTIVE) *`)
	c.talk(`RENAMESCRIPT "work" "sp\"are"`, `NO (ALREADYEXISTS) *`)
	c.talk(`RENAMESCRIPT "work" "home"`, `OK "renamed"`)
	c.talk(`PUTSCRIPT "home" "nonsense;"`, `NO *`)
	c.talk(`CHECKSCRIPT "nonsense;"`, `NO *`)
	c.talk(`CHECKSCRIPT "keep;"`, `OK "the script is valid"`)
	c.talk(`HAVESPACE "new" 100`, `OK "there is room"`)
	c.talk(`HAVESPACE "new" 4294967295`, `NO (QUOTA/MAXSIZE) *`)
	c.talk(`PUTSCRIPT "third" "keep;"`, `OK "stored"`)
	c.talk(`PUTSCRIPT "fourth" "keep;"`, `NO (QUOTA/MAXSCRIPTS) *`)
	c.talk(`PUTSCRIPT "" "keep;"`, `NO *`)
	c.talk(`PUTSCRIPT "third" `+literal(strings.Repeat(" ", 64<<10)+keep), `NO (QUOTA/MAXSIZE) *`)
	c.talk(`CHECKSCRIPT `+literal(strings.Repeat(" ", 64<<10)+keep), `NO (QUOTA/MAXSIZE) *`)
	c.talk(`GETSCRIPT `+literal(strings.Repeat("x", 70<<10)), `NO *`)
	c.talk(`SETACTIVE ""`, `OK "from now on"`)
	c.talk(`DELETESCRIPT "home"`, `OK "deleted"`)
	c.talk("LISTSCRIPTS", `"sp\"are"`, `"third"`, `OK "these are your scripts"`)
	c.talk(`NOOP`, `OK "NOOP done"`)
	c.talk(`NOOP "sync-42"`, `OK (TAG "sync-42") "NOOP done"`)
	c.talk(`NOOP `+literal("a\r\nb"), "OK (TAG {4}\na\r\nb) \"NOOP done\"")
	c.talk(`LOGOUT`, `OK "until next time"`)
	c.over()
}

// testPipelining sends all commands at once.
func testPipelining(t *testing.T, at *store) {
	c := newRig(t, at).signedIn()
	c.talk(`PUTSCRIPT "a" `+literal(keep)+"\r\nSETACTIVE \"a\"\r\nLISTSCRIPTS\r\nLOGOUT",
		`OK "stored"`, `OK "from now on"`, `"a" ACTIVE`, `OK "these are your scripts"`, `OK "until next time"`)
	c.over()
}

func testSignIn(t *testing.T, at *store) {
	r := newRig(t, at)
	const good = "AGFubgBzZXNhbWU=" // NUL ann NUL sesame
	for name, say := range map[string][]string{
		"at once":        {`AUTHENTICATE "PLAIN" "` + good + `"`, `OK "welcome"`},
		"as a literal":   {`AUTHENTICATE "plain" ` + literal(good), `OK "welcome"`},
		"when asked":     {`AUTHENTICATE "PLAIN"`, `""`, `"` + good + `"`, `OK "welcome"`},
		"by LOGIN":       {`AUTHENTICATE "LOGIN"`, `"VXNlcm5hbWU6"`, `"YW5u"`, `"UGFzc3dvcmQ6"`, literal("c2VzYW1l"), `OK "welcome"`},
		"as oneself":     {`AUTHENTICATE "PLAIN" "` + plain("Ann", "ann", "sesame") + `"`, `OK "welcome"`},
		"for another":    {`AUTHENTICATE "PLAIN" "` + plain("bob", "ann", "sesame") + `"`, `NO "nobody signs in here for somebody else"`},
		"wrong password": {`AUTHENTICATE "PLAIN" "` + plain("", "ann", "x") + `"`, `NO *`},
		"given up":       {`AUTHENTICATE "PLAIN"`, `""`, `"*"`, `NO "AUTHENTICATE was given up"`},
		"no base64":      {`AUTHENTICATE "PLAIN" "!"`, `NO *`},
		"two fields":     {`AUTHENTICATE "PLAIN" "YQBi"`, `NO *`},
		"no string":      {`AUTHENTICATE "PLAIN"`, `""`, `NOOP`, `NO "the response to a challenge is a string"`},
		"unknown":        {`AUTHENTICATE "NTLM"`, `NO "the mechanisms here are PLAIN and LOGIN"`},
	} {
		t.Run(name, func(t *testing.T) {
			c := r.secure()
			c.t = t
			for i := 0; i < len(say); i += 2 {
				c.talk(say[i], say[i+1])
			}
			if strings.HasPrefix(say[len(say)-1], "OK") {
				c.talk(say[0], `NO "you are signed in already"`)
			}
		})
	}
}

// testNothingBeforeSignIn holds that scripts are for those who signed in.
func testNothingBeforeSignIn(t *testing.T, at *store) {
	c := newRig(t, at).secure()
	for _, say := range []string{
		"LISTSCRIPTS", `PUTSCRIPT "a" ` + literal(keep), `GETSCRIPT "a"`, `SETACTIVE "a"`, `DELETESCRIPT "a"`, `RENAMESCRIPT "a" "b"`,
		`CHECKSCRIPT "keep;"`, `HAVESPACE "a" 1`, "UNAUTHENTICATE",
	} {
		c.talk(say, `NO "sign in first"`)
	}
}

// testNoSecretBeforeTLS holds that no mechanism is offered or taken in the clear.
func testNoSecretBeforeTLS(t *testing.T, at *store) {
	r := newRig(t, at)
	c := r.connect()
	for _, say := range []string{`AUTHENTICATE "PLAIN"`, `AUTHENTICATE "PLAIN" "` + plain("", "ann", "sesame") + `"`, `AUTHENTICATE "LOGIN"`} {
		c.talk(say, `NO (ENCRYPT-NEEDED) "say STARTTLS first"`)
	}
	if r.ended != nil {
		t.Error("the door was asked")
	}
}

// testInjectionBehindSTARTTLS: what came with STARTTLS in the clear is not answered under TLS (CVE-2011-0411).
func testInjectionBehindSTARTTLS(t *testing.T, at *store) {
	r := newRig(t, at, func(c *Config) { c.Log = slog.New(slog.DiscardHandler) })
	c := r.connect()
	c.talk("STARTTLS\r\nNOOP \"injected\"\r\nPUTSCRIPT \"a\" {1000+}", `OK "begin TLS now"`)
	c.handshake()
	c.until(`OK "protected"`)
	c.talk(`NOOP "mine"`, `OK (TAG "mine") "NOOP done"`)
}

func testRefusedSignIns(t *testing.T, at *store) {
	c := newRig(t, at).secure()
	wrong := `AUTHENTICATE "PLAIN" "` + plain("", "ann", "x") + `"`
	for range maxRefused - 1 {
		c.talk(wrong, `NO *`)
	}
	c.talk(wrong, `BYE "too many refused sign-ins"`)
	c.over()
}

// testSyntax says wrong things, after each of which the connection goes on.
func testSyntax(t *testing.T, at *store) {
	c := newRig(t, at).signedIn()
	for _, say := range []string{
		"", `"NOOP"`, "12", "NONSENSE", "NOOP x", "NOOP 1", `NOOP "a" "b"`, `NOOP "a`, `NOOP "\a"`, `NOOP "a"b`, "NOOP \"\x00\"", "GETSCRIPT", "GETSCRIPT 1",
		`HAVESPACE "a"`, `HAVESPACE "a" "1"`, `HAVESPACE "a" 4294967296`, `HAVESPACE "a" -1`, `PUTSCRIPT "a"`, "NOOP (a)",
		"GETSCRIPT" + literal("a"), "GETSCRIPT " + literal("a") + "b", `NOOP "a ` + literal("b"), "a b c d e f g h i", `PUTSCRIPT "a" ` + literal(keep) + ` "more"`,
		literal("NOOP"),
	} {
		c.talk(say, `NO "*`)
		c.talk("NOOP", `OK "NOOP done"`)
	}
	for range maxBad - 1 {
		c.talk("NONSENSE", `NO *`)
	}
	c.talk("NONSENSE", `NO *`, `BYE "this is a ManageSieve server"`)
	c.over()
}

// testTooMuch sends what nobody wants to read to its end.
func testTooMuch(t *testing.T, at *store) {
	r := newRig(t, at)
	const tooMuch = `BYE "that was too much"`
	for name, x := range map[string]struct {
		client func() *client
		say    string
		want   string
	}{
		"a line":                   {r.signedIn, "NOOP " + strings.Repeat("x", maxLine), tooMuch},
		"a literal before sign-in": {r.secure, `AUTHENTICATE "PLAIN" {12289+}`, tooMuch},
		"a literal after sign-in":  {r.signedIn, `PUTSCRIPT "a" {16777217+}`, tooMuch},
		"an immeasurable literal":  {r.signedIn, `PUTSCRIPT "a" {99999999999999999999+}`, tooMuch},
		"four literals":            {r.signedIn, "a " + literal("b") + " " + literal("c") + " " + literal("d") + " {1+}", tooMuch},
		"a line that ends in LF":   {r.signedIn, "NOOP\nNOOP", `BYE "lines end with CR LF, and neither stands alone"`},
		"a line with a CR in it":   {r.signedIn, "NOOP \r", `BYE "lines end with CR LF, and neither stands alone"`},
		"a literal that asks":      {r.signedIn, `PUTSCRIPT "a" {5}`, `BYE "a literal is announced as {size+}, and not asked for"`},
	} {
		t.Run(name, func(t *testing.T) {
			c := x.client()
			c.t = t
			_, _ = io.WriteString(c.conn, x.say+"\r\n") // the server may have hung up
			c.hear(x.want)
		})
	}
}

func testTooManyConnections(t *testing.T, at *store) {
	for want, limit := range map[string]func(*Config){
		"too many connections from your address": func(c *Config) { c.MaxPerAddress = 2 },
		"too many connections, try again later":  func(c *Config) { c.MaxConnections = 2 },
	} {
		r := newRig(t, at, func(c *Config) { c.Log = slog.New(slog.DiscardHandler) }, limit)
		first := r.connect()
		r.connect()
		third, err := net.Dial("tcp", r.address)
		r.must(err)
		if said, err := io.ReadAll(third); string(said) != "BYE (TRYLATER) \""+want+"\"\r\n" || err != nil {
			t.Errorf("the third heard %q, %v", said, err)
		}
		_ = third.Close()
		first.talk("LOGOUT", `OK *`)
		first.over()
	}
}

func testStop(t *testing.T, at *store) {
	r := newRig(t, at)
	idle, signedIn := r.connect(), r.signedIn()
	go r.stop()
	for _, c := range []*client{idle, signedIn} {
		c.hear(`BYE (TRYLATER) "the server is shutting down"`)
		c.over()
	}
	r.stop()
	if r.closed != 1 {
		t.Errorf("%d sessions were closed, want 1", r.closed)
	}
}

// testSessionEnds: the door ends a session, and the connection with it.
func testSessionEnds(t *testing.T, at *store) {
	done := make(chan struct{})
	r := newRig(t, at, func(c *Config) {
		signIn := c.SignIn
		c.SignIn = func(ctx context.Context, cred Credentials) (*SignedIn, error) {
			s, err := signIn(ctx, cred)
			if err == nil {
				s.Done = done
			}
			return s, err
		}
	})
	idle, inCommand := r.signedIn(), r.signedIn()
	idle.talk("NOOP", `OK "NOOP done"`)
	_, err := io.WriteString(inCommand.conn, `PUTSCRIPT "a" {9+}`+"\r\nke")
	r.must(err)
	close(done)
	for _, c := range []*client{idle, inCommand} {
		c.hear(`BYE "your session was ended"`)
		c.over()
	}
	r.stop()
	if r.closed != 2 {
		t.Errorf("%d sessions were closed, want 2", r.closed)
	}
}

func testUnauthenticate(t *testing.T, at *store) {
	r := newRig(t, at)
	c := r.signedIn()
	c.talk(`PUTSCRIPT "a" "keep;"`, `OK "stored"`)
	c.talk("UNAUTHENTICATE", `OK "signed out"`)
	c.talk("LISTSCRIPTS", `NO "sign in first"`)
	c.talk(`AUTHENTICATE "PLAIN" "`+plain("", "ann", "sesame")+`"`, `OK "welcome"`)
	c.talk("LISTSCRIPTS", `"a"`, `OK *`)
	c.talk("LOGOUT", `OK *`)
	c.over()
	r.stop()
	if r.closed != 2 {
		t.Errorf("%d sessions were closed, want 2", r.closed)
	}
}

func testPatience(t *testing.T, at *store) {
	const tooLong = `BYE "you said nothing for too long"`
	r := newRig(t, at, func(c *Config) { c.SignInTime = 10 * time.Millisecond })
	conn, err := net.Dial("tcp", r.address)
	r.must(err)
	defer conn.Close()
	if said, err := io.ReadAll(conn); !strings.HasSuffix(string(said), tooLong+"\r\n") || err != nil {
		t.Errorf("heard %q, %v", said, err)
	}
	idle := newRig(t, at, func(c *Config) { c.AutoLogout = 10 * time.Millisecond }).signedIn()
	idle.hear(tooLong)
	idle.over()
	inCommand := newRig(t, at, func(c *Config) { c.ReadTime = 10 * time.Millisecond }).signedIn()
	_, err = io.WriteString(inCommand.conn, `PUTSCRIPT "a" {9+}`+"\r\nke")
	r.must(err)
	inCommand.hear(tooLong)
	inCommand.over()
}

// TestFaults holds the code of each kind.
func TestFaults(t *testing.T) {
	want := map[fault.Kind]string{
		fault.NotFound: "NONEXISTENT", fault.Exists: "ALREADYEXISTS", fault.InUse: "ACTIVE", fault.Limit: "QUOTA/MAXSCRIPTS",
		fault.TooLarge: "QUOTA/MAXSIZE", fault.OverQuota: "QUOTA", fault.Internal: "TRYLATER", fault.Temporary: "TRYLATER",
		fault.Conflict: "TRYLATER", fault.DirectoryDown: "TRYLATER", fault.DirectoryRefusedUs: "TRYLATER",
	}
	for _, k := range fault.Kinds() {
		if got := codeOf(k); got != want[k] {
			t.Errorf("%v: %q, want %q", k, got, want[k])
		}
	}
}
