package e2e

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/message/dkim"
)

// answer is what the server said to a message.
type answer int

const (
	noAnswer answer = iota // the connection broke, or was broken off
	taken
	refusedLetter
)

// missive is a message of the day.
type missive struct {
	n      int
	token  string // in its subject, and the field X-Day
	by     *client
	from   string // reverse-path; empty for a notice
	author string // address in From
	to     []string
	sized  bool // its size is told
	half   bool // who hands it in breaks off in the middle
	body   [sha256.Size]byte

	answer   answer
	accepted []string // of to
}

// strictKey signs for strict.example, which asks that other mail in its name is refused.
var strictKey = dkim.Key{Domain: "strict.example", Selector: "s1", Private: ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", 32)))}

const nobody = "nobody@ours.example"

// Whom mail is for, and who writes to the office.
var (
	inside = []string{
		"ann@ours.example", "bob@ours.example", "cem@ours.example", "a.nn@ours.example", "rem@ours.example", "team@ours.example", "staff@ours.example",
		"dora@sister.awsapps.com", nobody, "full@ours.example", "everyone@ours.example",
	}
	abroad = []string{
		"g1@good.example", "g2@good.example", "g3@good.example", "s1@slow.example", "m1@moody.example", "m2@moody.example", "m3@moody.example",
		"w1@away.example", "w2@away.example", "k1@dark.example", "yes@refuses.example", "no@refuses.example", "x@absent.example", "x@nomail.example",
		"x@never.example", "x@dropped.example", "x@blocked.example",
	}
	strangers = []string{
		"p@far.example", "p@far.example", "p@bounce.example", "p@drop.example", "p@junk.example", "p@strict.example", "p@signed.strict.example", "p@mild.example",
	}
)

// compose writes message number n, the same each time.
func (d *day) compose(n int) (*missive, []byte) {
	lots := rand.New(rand.NewPCG(d.seed, uint64(n)))
	l := &missive{n: n, token: fmt.Sprintf("day-%06d", n), by: d.clients[lots.IntN(len(d.clients))], sized: lots.IntN(2) == 0}
	whom := inside
	switch {
	case l.by.user != "":
		l.from, l.author = l.by.user, l.by.user
		whom = slices.Concat(inside, abroad)
	case lots.IntN(8) == 0:
		l.author = "mailer-daemon@far.example"
	default:
		l.from = strangers[lots.IntN(len(strangers))]
		l.author = l.from
		l.half = lots.IntN(30) == 0
	}
	count := 1
	switch lots.IntN(10) {
	case 0:
		count = 2 + lots.IntN(len(whom)-2)
	case 1, 2, 3:
		count = 2 + lots.IntN(2)
	}
	for _, i := range lots.Perm(len(whom))[:count] {
		if l.by.proxied && whom[i] == nobody { // guessing takes a stranger ten seconds
			continue
		}
		l.to = append(l.to, whom[i])
	}
	if len(l.to) == 0 {
		l.to = []string{"bob@ours.example"}
	}
	if l.by.user != "" && lots.IntN(25) == 0 {
		for i := range 120 { // more than one attempt takes
			l.to = append(l.to, fmt.Sprintf("many%d@good.example", i))
		}
	}
	signed := strings.HasSuffix(l.author, "@signed.strict.example")
	if signed {
		l.from, l.author = "p@far.example", "p@strict.example"
	}
	subject, fields, body := shape(lots, n, l.token)
	l.body = sha256.Sum256([]byte(body))
	head := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%s@%s>\r\nX-Day: %s\r\n%s",
		l.author, l.to[0], subject, l.token, "day.example", l.token, fields)
	if l.by.user != "" && len(l.to) > 1 {
		head += "Bcc: <" + l.to[1] + ">\r\n"
	}
	text := []byte(head + "\r\n" + body)
	if signed {
		field, err := dkim.Sign(text, dkim.SignOptions{Time: time.Now()}, strictKey)
		if err != nil {
			d.t.Fatal(err)
		}
		text = slices.Concat(field, text)
	}
	return l, text
}

// shape draws what a message looks like.
func shape(lots *rand.Rand, n int, token string) (subject, fields, body string) {
	const words = "minutes of the meeting, with the agenda for next week\r\n"
	mime := func(kind string) string { return "MIME-Version: 1.0\r\nContent-Type: " + kind + "\r\n" }
	subject, body = "about "+token, strings.Repeat(words, 1+lots.IntN(40))
	if n%199 == 7 {
		return subject, mime("application/octet-stream") + "Content-Transfer-Encoding: base64\r\n", noise(lots, 1<<20+lots.IntN(2<<20))
	}
	switch lots.IntN(14) {
	case 0:
		fields, body = mime("text/html; charset=utf-8"), "<html><body><p>"+strings.Repeat("<b>words</b> ", 50)+"</p></body></html>\r\n"
	case 1, 2:
		fields = mime("multipart/mixed; boundary=b")
		body = "--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\n" + words + "--c\r\nContent-Type: text/html\r\n\r\n<p>" + words + "</p>\r\n--c--\r\n" +
			"--b\r\nContent-Type: application/pdf; name=report.pdf\r\nContent-Disposition: attachment; filename*=utf-8''r%C3%A9port.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
			noise(lots, lots.IntN(60_000)) + "--b--\r\n"
	case 3:
		subject = "=?iso-8859-1?Q?Gr=F6=DFe_" + token + "?="
	case 4:
		subject, fields, body = "caf\xe9 "+token, mime("text/plain; charset=iso-8859-1")+"Content-Transfer-Encoding: 8bit\r\n", strings.Repeat("caf\xe9 \xff\xfe\r\n", 20)
	case 5:
		subject, fields, body = "Größe "+token, mime("text/plain; charset=utf-8")+"Content-Transfer-Encoding: 8bit\r\n", strings.Repeat("Grüße aus Köln, 世界\r\n", 20)
	case 6:
		body = ""
	case 7:
		body = strings.Repeat(strings.Repeat("l", 990)+"\r\n", 20)
	case 8:
		subject, body = "CHEAP WATCHES "+token, strings.Repeat("Luxury replica watches, unbelievable discount, buy today at http://watches.example/\r\n", 10)
	case 9:
		body = ".\r\n..\r\n.dots\r\n\r\n" + words + ".\r\n"
	case 10:
		fields, body = mime("text/plain; charset=x-no-such")+"Content-Transfer-Encoding: quoted-printable\r\n", "=ZZ broken =\r\n=E9=\r\n"
	case 11:
		fields, body = mime("multipart/mixed; boundary=never"), "--other\r\n\r\nno part\r\n"
	}
	return subject, fields, body
}

// rejectedByMoody reports whether moody.example refuses a message for good once it has read it.
func rejectedByMoody(token string) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(token)) // never fails
	return h.Sum32()%5 == 0
}

// client hands in messages over one connection, again and again: a user, or another server.
type client struct {
	day     *day
	user    string // empty for another server
	proxied bool   // as 192.0.2.1, through the proxy
	tls     *tls.Config
	conn    *textproto.Conn
}

// connect waits while the server is restarted.
func (c *client) connect() error {
	c.day.up.RLock()
	defer c.day.up.RUnlock()
	listener := "smtp"
	if c.user != "" {
		listener = "submissions"
	}
	raw, err := c.day.dial(listener, c.proxied)
	if err != nil {
		return err
	}
	if c.user != "" {
		raw = tls.Client(raw, c.tls)
	}
	c.conn = textproto.NewConn(raw)
	if _, _, err := c.conn.ReadResponse(220); err != nil {
		return err
	}
	if err := c.say(250, "EHLO mx.far.example"); err != nil || c.user == "" {
		return err
	}
	return c.say(235, "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+c.user+"\x00"+password)))
}

func (c *client) say(code int, format string, args ...any) error {
	if _, err := c.conn.Cmd(format, args...); err != nil {
		return err
	}
	_, _, err := c.conn.ReadResponse(code)
	return err
}

// hand hands a letter in. Whoever loses the connection before the message was begun begins again.
func (c *client) hand(l *missive) {
	for try := 0; ; try++ {
		begun, err := c.try(l)
		refused, answered := errors.AsType[*textproto.Error](err)
		switch {
		case err == nil:
			l.answer = taken
			return
		case answered && refused.Code != 421:
			l.answer = refusedLetter
			return
		}
		if c.conn != nil {
			_ = c.conn.Close() // it is broken
			c.conn = nil
		}
		switch {
		case begun && answered: // 421: the server stops
			l.answer = refusedLetter
			return
		case begun:
			return
		case try == 10:
			c.day.t.Errorf("%s can't be handed in: %v", l.token, err)
			return
		}
	}
}

var errBrokenOff = errors.New("broken off in the middle")

// try reports also whether the message itself was begun.
func (c *client) try(l *missive) (begun bool, err error) {
	if c.conn == nil {
		if err := c.connect(); err != nil {
			return false, err
		}
	}
	_, text := c.day.compose(l.n)
	size := ""
	if l.sized {
		size = fmt.Sprintf(" SIZE=%d", len(text))
	}
	if err := c.say(250, "MAIL FROM:<%s> BODY=8BITMIME%s", l.from, size); err != nil {
		return false, err
	}
	l.accepted = nil
	var last error
	for _, to := range l.to {
		err := c.say(250, "RCPT TO:<%s>", to)
		if refused, ok := errors.AsType[*textproto.Error](err); ok && refused.Code != 421 {
			last = err
			continue
		} else if err != nil {
			return false, err
		}
		l.accepted = append(l.accepted, to)
	}
	if len(l.accepted) == 0 {
		if err := c.say(250, "RSET"); err != nil {
			return false, err
		}
		return false, last
	}
	if err := c.say(354, "DATA"); err != nil {
		return false, err
	}
	if l.half {
		text = text[:len(text)/2]
	}
	if err := writeDotted(c.conn.W, text); err != nil {
		return true, err
	}
	if l.half {
		_ = c.conn.W.Flush() // whatever comes through
		return true, errBrokenOff
	}
	if _, err := c.conn.W.WriteString(".\r\n"); err != nil {
		return true, err
	}
	if err := c.conn.W.Flush(); err != nil {
		return true, err
	}
	_, _, err = c.conn.ReadResponse(250)
	return true, err
}

// writeDotted writes lines as DATA has them.
func writeDotted(w *bufio.Writer, text []byte) error {
	for line := range bytes.Lines(text) {
		if line[0] == '.' {
			if err := w.WriteByte('.'); err != nil {
				return err
			}
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}
