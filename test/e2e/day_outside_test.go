package e2e

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pennypost/pennypost/test/harness"
)

// world is all other servers: one for each domain, on loopback addresses of their own with one port.
type world struct {
	day   *day
	port  string
	hosts []*host
	calm  atomic.Bool  // nobody is moody any more
	epoch atomic.Int64 // how often the office was killed

	mu      sync.Mutex
	lots    *rand.Rand
	takings map[passage][]*taking
	sunk    map[string]map[string]int // token, who was told of a failure, what of: how often
}

// passage is a message to a recipient.
type passage struct{ token, to string }

// taking is that a message was taken for a recipient, and what is known of how that was heard.
type taking struct {
	epoch int64
	heard bool // the client went on after the answer
}

// newWorld opens the servers and gives them names.
func newWorld(d *day) *world {
	t := d.t
	w := &world{day: d, lots: rand.New(rand.NewPCG(d.seed, 1<<41)), takings: map[passage][]*taking{}, sunk: map[string]map[string]int{}}
	w.port = portOf(t, harness.FreeAddress(t))
	for i, name := range []string{"good", "slow", "moody", "away", "dark", "refuses", "never", "dropped", "blocked"} {
		h := &host{world: w, name: name + ".example", address: fmt.Sprintf("127.0.25.%d", 1+i), conns: map[io.Closer]bool{}}
		w.hosts = append(w.hosts, h)
		d.names.Add(h.name+". 60 IN MX 10 mx."+h.name+".", "mx."+h.name+". 60 IN A "+h.address)
		h.open(true)
	}
	good := w.hosts[0]
	for _, name := range []string{"far", "bounce", "drop", "junk"} {
		d.names.Add(name+".example. 60 IN MX 10 mx."+good.name+".", name+`.example. 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"`)
	}
	d.names.Add(
		"nomail.example. 60 IN MX 0 .", `strict.example. 60 IN TXT "v=spf1 -all"`, `_dmarc.strict.example. 60 IN TXT "v=DMARC1\; p=reject"`,
		`mild.example. 60 IN TXT "v=spf1 -all"`, `_dmarc.mild.example. 60 IN TXT "v=DMARC1\; p=quarantine"`,
		strictKey.Name()+`. 60 IN TXT "`+strings.ReplaceAll(strictKey.Record().String(), ";", `\;`)+`"`,
	)
	t.Cleanup(func() {
		for _, h := range w.hosts {
			h.open(false)
			h.wg.Wait()
		}
	})
	return w
}

func (w *world) host(name string) *host {
	for _, h := range w.hosts {
		if h.name == name {
			return h
		}
	}
	w.day.t.Fatalf("there is no %s", name)
	return nil
}

// host is one other server.
type host struct {
	world         *world
	name, address string
	wg            sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while it is away
	conns    map[io.Closer]bool
}

// open lets the server be there, or away.
func (h *host) open(there bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if there == (h.listener != nil) {
		return
	}
	if !there {
		_ = h.listener.Close() // what is taken is taken
		h.listener = nil
		for c := range h.conns {
			_ = c.Close() // as above
		}
		return
	}
	l, err := net.Listen("tcp", net.JoinHostPort(h.address, h.world.port))
	if err != nil {
		h.world.day.t.Fatal(err)
	}
	h.listener = l
	h.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.wg.Go(func() { h.serve(l, conn) })
		}
	})
}

func (h *host) serve(l net.Listener, conn net.Conn) {
	defer conn.Close()
	h.mu.Lock()
	there := h.listener == l
	if there {
		h.conns[conn] = true
	}
	h.mu.Unlock()
	if there {
		h.session(conn)
	}
	h.mu.Lock()
	delete(h.conns, conn)
	h.mu.Unlock()
}

// mood draws whether a moody server does something, of a hundred times.
func (h *host) mood(percent int) bool {
	if h.name != "moody.example" || h.world.calm.Load() {
		return false
	}
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	return h.world.lots.IntN(100) < percent
}

// slowly lets a slow server take its time, which is what it is there for.
func (h *host) slowly() {
	if h.name == "slow.example" && !h.world.calm.Load() {
		<-time.After(50 * time.Millisecond)
	}
}

func (h *host) session(conn net.Conn) {
	in := bufio.NewReader(conn)
	say := func(line string) { _, _ = io.WriteString(conn, line+"\r\n") } // who reads finds out
	if h.mood(10) {
		say("421 4.3.2 not now")
		return
	}
	h.slowly()
	say("220 mx." + h.name + " ESMTP")
	var to []string
	var last []*taking
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		h.world.mu.Lock()
		for _, t := range last {
			t.heard = true
		}
		h.world.mu.Unlock()
		last = nil
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-mx." + h.name + "\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 50000000")
		case "MAIL":
			to = nil
			if h.mood(5) {
				say("451 4.3.0 no")
			} else {
				say("250 2.1.0 ok")
			}
		case "RCPT":
			_, address, _ := strings.Cut(rest, "<")
			address, _, _ = strings.Cut(address, ">")
			switch {
			case strings.HasPrefix(address, "no@"):
				say("550 5.1.1 nobody has that address")
			case h.name == "never.example", h.mood(15):
				say("450 4.2.0 not now")
			default:
				to = append(to, address)
				say("250 2.1.5 ok")
			}
		case "DATA":
			switch {
			case len(to) == 0:
				say("554 5.5.1 nobody to send to")
				continue
			case h.mood(10):
				say("451 4.3.0 no")
				continue
			}
			say("354 go on")
			cut := h.mood(10)
			text, whole := readDotted(in, cut)
			if !whole || cut {
				return
			}
			h.slowly()
			var answer string
			if last, answer = h.take(text, to); answer == "" { // it is taken, and nobody hears of it
				return
			}
			say(answer)
		case "QUIT":
			say("221 2.0.0 bye")
			return
		default: // RSET, NOOP
			to = nil
			say("250 2.0.0 ok")
		}
	}
}

// readDotted reads a message, or its first lines where it is to be cut.
func readDotted(in *bufio.Reader, cut bool) (text string, whole bool) {
	var b strings.Builder
	for i := 0; !cut || i < 5; i++ {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", false
		}
		if line == ".\r\n" {
			return b.String(), true
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	return "", false
}

// take notes a message and returns the answer; an empty one is lost on its way.
func (h *host) take(text string, to []string) (all []*taking, answer string) {
	p := sorted(text)
	if p.report {
		h.world.mu.Lock()
		defer h.world.mu.Unlock()
		for _, r := range to {
			p.tell(h.world.sunk, r)
		}
		return nil, "250 2.0.0 taken"
	}
	switch {
	case h.name == "moody.example" && rejectedByMoody(p.token):
		return nil, "554 5.7.1 not this one"
	case h.mood(5):
		return nil, "452 4.3.1 no room"
	}
	h.world.day.unchanged("the server of "+h.name, p)
	if l := h.world.day.byToken[p.token]; l != nil && l.by.user != "" && !strings.Contains(p.header, "DKIM-Signature: ") {
		h.world.day.t.Errorf("%s reaches %s without a signature", p.token, h.name)
	}
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	for _, r := range to {
		one := &taking{epoch: h.world.epoch.Load()}
		all = append(all, one)
		key := passage{p.token, r}
		h.world.takings[key] = append(h.world.takings[key], one)
	}
	if h.name == "moody.example" && !h.world.calm.Load() && h.world.lots.IntN(10) == 0 {
		return all, ""
	}
	return all, "250 2.0.0 taken"
}

// post is what arrived somewhere: a letter, or the report on one.
type post struct {
	token, header, body string
	report              bool
	failed              []string // recipients that the report is on
}

var (
	dayField  = regexp.MustCompile(`(?m)^X-Day: (day-\d+)\r?$`)
	finalLine = regexp.MustCompile(`(?m)^Final-Recipient: [a-z0-9-]+; ?(\S+?)\r?$`)
)

// sorted finds out what arrived.
func sorted(text string) post {
	header, body, _ := strings.Cut(text, "\r\n\r\n")
	p := post{header: header + "\r\n", body: body}
	if m := dayField.FindStringSubmatch(p.header); m != nil {
		p.token = m[1]
		return p
	}
	p.report = strings.Contains(p.header, "multipart/report")
	if m := dayField.FindStringSubmatch(body); m != nil {
		p.token = m[1]
	}
	for block := range strings.SplitSeq(body, "\r\n\r\n") {
		if m := finalLine.FindStringSubmatch(block); m != nil && strings.Contains(block, "Action: failed") {
			p.failed = append(p.failed, m[1])
		}
	}
	return p
}

// tell notes of whom a report that somebody got tells.
func (p *post) tell(in map[string]map[string]int, who string) {
	if in[p.token] == nil {
		in[p.token] = map[string]int{}
	}
	for _, of := range p.failed {
		in[p.token][who+" of "+of]++
	}
}

// TestSortedReports reads a report as the accounts do.
func TestSortedReports(t *testing.T) {
	p := sorted("Content-Type: multipart/report\r\n\r\n--b\r\n\r\nReporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822;a@b.example\r\nAction: failed\r\n\r\n" +
		"Final-Recipient: rfc822; c@b.example\r\nAction: delayed\r\n\r\n--b\r\n\r\nX-Day: day-000001\r\nSubject: x\r\n")
	if !p.report || p.token != "day-000001" || len(p.failed) != 1 || p.failed[0] != "a@b.example" {
		t.Errorf("%+v", p)
	}
}
