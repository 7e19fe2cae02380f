// Package imaptest plays scripted conversations with an IMAP server: one in a test's own process, or the real program.
package imaptest

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Player plays a script as the clients of one user.
type Player struct {
	// Dial connects, by TLS or without protection. It sees to it that the connection is closed in the end.
	Dial func(protected bool) net.Conn
	// Password is that of the user ann.
	Password string
	// Deliver has a message arrive in a folder.
	Deliver func(folder, message string)
	// EndSessions has the door end the user's sessions.
	EndSessions func()

	t        testing.TB
	sessions map[string]*Conn
	numbers  map[string]string
}

// Play plays a script. Each line begins with the name of a session, which connects when it is first named: by TLS, or
// without protection if the name is "plain".
//
//	A: text       send the text and CR LF; $PLAIN stands for the user's initial response of that mechanism
//	A> "quoted"   send exactly the bytes of the Go string
//	A< text       the next line is text, in which … is any text and $name a number: the first time it is remembered, and
//	              later must be the same; in what is sent it stands for that number
//	A<< text      pass over lines up to one like text
//	A LOGIN       sign in as ann
//	A TLS         begin TLS
//	A END         the server closes the connection
//	DELIVER path subject    a message arrives
//	ENDSESSIONS   the user's sessions are ended by the door
func (p *Player) Play(t testing.TB, script string) {
	t.Helper()
	p.t, p.sessions, p.numbers = t, map[string]*Conn{}, map[string]string{}
	for i, line := range strings.Split(script, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if problem := p.step(line); problem != "" {
			t.Fatalf("line %d, %s: %s", i+1, line, problem)
		}
	}
}

func (p *Player) step(line string) string {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "DELIVER":
		path, subject, _ := strings.Cut(rest, " ")
		p.Deliver(path, "From: Bob <bob@example.org>\r\nSubject: "+subject+"\r\nMessage-ID: <"+subject+"@example.org>\r\n\r\nHello "+subject+"\r\n")
		return ""
	case "ENDSESSIONS":
		p.EndSessions()
		return ""
	}
	name := strings.TrimRight(word, ":<>")
	c := p.session(name)
	switch word[len(name):] {
	case ":":
		c.Send(p.fill(rest) + "\r\n")
	case ">":
		raw, err := strconv.Unquote(rest)
		if err != nil {
			return err.Error()
		}
		c.Send(p.fill(raw))
	case "<":
		if got := c.Line(); !p.like(rest, got) {
			return "the server said\n\t" + got
		}
	case "<<":
		for got := c.Line(); !p.like(rest, got); got = c.Line() {
		}
	case "":
		return p.act(c, rest)
	}
	return ""
}

func (p *Player) act(c *Conn, what string) string {
	switch what {
	case "LOGIN":
		c.Send(`login LOGIN ann "` + p.Password + "\"\r\n")
		if got := c.Line(); !strings.HasPrefix(got, "login OK ") {
			return "the server said\n\t" + got
		}
	case "TLS":
		c.Conn = tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true}) // the certificate is made by the test, and not what is tested
		c.In = bufio.NewReader(c.Conn)
	case "END":
		if !c.Ended() {
			return "the connection is still open"
		}
	default:
		return "not understood"
	}
	return ""
}

// session returns a session, connected, with a minute for its next step.
func (p *Player) session(name string) *Conn {
	c := p.sessions[name]
	if c == nil {
		c = NewConn(p.t, p.Dial(name != "plain"))
		p.sessions[name] = c
		if greeting := c.Line(); !strings.HasPrefix(greeting, "* OK ") {
			p.t.Fatalf("the greeting is %q", greeting)
		}
	}
	c.Wait()
	return c
}

var numberName = regexp.MustCompile(`\$[a-z]+[0-9]*`)

// fill puts remembered numbers and the initial response in the place of their names.
func (p *Player) fill(text string) string {
	text = strings.ReplaceAll(text, "$PLAIN", base64.StdEncoding.EncodeToString([]byte("\x00ann\x00"+p.Password)))
	return numberName.ReplaceAllStringFunc(text, func(name string) string {
		if n, ok := p.numbers[name]; ok {
			return n
		}
		return name
	})
}

// like compares a line with its pattern and remembers new numbers.
func (p *Player) like(pattern, line string) bool {
	var names []string
	var re strings.Builder
	for i, part := range strings.Split(p.fill(pattern), "…") {
		if i > 0 {
			re.WriteString("(?:.*)")
		}
		at := 0
		for _, m := range numberName.FindAllStringIndex(part, -1) {
			re.WriteString(regexp.QuoteMeta(part[at:m[0]]) + `(\d+)`)
			names = append(names, part[m[0]:m[1]])
			at = m[1]
		}
		re.WriteString(regexp.QuoteMeta(part[at:]))
	}
	m := regexp.MustCompile(`\A` + re.String() + `\z`).FindStringSubmatch(line)
	if m == nil {
		return false
	}
	for i, name := range names {
		p.numbers[name] = m[i+1]
	}
	return true
}
