package imap

import (
	"bufio"
	"crypto/tls"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestScripts plays the conversations in testdata, each on both engines.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			onBoth(t, func(t *testing.T, r *rig) { r.play(string(script)) })
		})
	}
}

// player plays one script. Each line begins with the name of a session, which connects when it is first named: by TLS, or
// without protection if the name is "plain".
//
//	A: text       send the text and CR LF
//	A> "quoted"   send exactly the bytes of the Go string
//	A< text       the next line is text, in which … is any text and $name a number: the first time it is remembered, and
//	              later must be the same; in what is sent it stands for that number
//	A<< text      pass over lines up to one like text
//	A LOGIN       sign in as ann
//	A TLS         begin TLS
//	A END         the server closes the connection
//	DELIVER path subject    a message arrives
//	ENDSESSIONS   the user's sessions are ended by the door
type player struct {
	*rig
	clients map[string]*client
	numbers map[string]string
}

func (r *rig) play(script string) {
	r.t.Helper()
	p := &player{rig: r, clients: map[string]*client{}, numbers: map[string]string{}}
	for i, line := range strings.Split(script, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if problem := p.step(line); problem != "" {
			r.t.Fatalf("line %d, %s: %s", i+1, line, problem)
		}
	}
}

func (p *player) step(line string) string {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "DELIVER":
		path, subject, _ := strings.Cut(rest, " ")
		p.deliver(path, "From: Bob <bob@example.org>\r\nSubject: "+subject+"\r\nMessage-ID: <"+subject+"@example.org>\r\n\r\nHello "+subject+"\r\n", 0)
		return ""
	case "ENDSESSIONS":
		p.endSessions()
		return ""
	}
	name := strings.TrimRight(word, ":<>")
	c := p.clients[name]
	if c == nil {
		c = p.dial(name != "plain")
		p.clients[name] = c
	}
	c.wait()
	switch word[len(name):] {
	case ":":
		c.send(p.fill(rest) + "\r\n")
	case ">":
		raw, err := strconv.Unquote(rest)
		if err != nil {
			return err.Error()
		}
		c.send(p.fill(raw))
	case "<":
		if got := c.line(); !p.like(rest, got) {
			return "the server said\n\t" + got
		}
	case "<<":
		for got := c.line(); !p.like(rest, got); got = c.line() {
		}
	case "":
		switch rest {
		case "LOGIN":
			c.ok("login LOGIN ann sesame")
		case "TLS":
			c.nc = tls.Client(c.nc, &tls.Config{InsecureSkipVerify: true})
			c.in = bufio.NewReader(c.nc)
		case "END":
			if !c.ended() {
				return "the connection is still open"
			}
		default:
			return "not understood"
		}
	}
	return ""
}

var numberName = regexp.MustCompile(`\$[a-z]+[0-9]*`)

// fill puts remembered numbers in the place of their names.
func (p *player) fill(text string) string {
	return numberName.ReplaceAllStringFunc(text, func(name string) string {
		if n, ok := p.numbers[name]; ok {
			return n
		}
		return name
	})
}

// like compares a line with its pattern and remembers new numbers.
func (p *player) like(pattern, line string) bool {
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
