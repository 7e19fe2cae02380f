package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// seen is what was found of the day's messages so far.
type seen struct {
	boxes map[string]map[string]int // token, mailbox: copies
	told  map[string]map[string]int // token, who was told of a failure, what of: how often
	next  map[string]int            // mailbox and folder: the UID to go on with

	read    int                        // bytes of the events' file
	lines   map[[sha256.Size]byte]bool // events that came: each may come twice
	traces  map[string][]string        // token: the trace ids of its events
	ofTrace map[string][]dayEvent
}

// dayEvent is one line of the log group.
type dayEvent struct {
	Event struct {
		EventName        string
		Recipient        string
		Subject          string
		BouncedRecipient struct{ EmailAddress string }
		RuleActions      []struct {
			Action     string
			Recipients []string
		}
	}
	TraceID string
}

// leads says where mail for addresses of the office goes: to mailboxes, and to other servers.
var leads = map[string]struct{ boxes, away []string }{
	"a.nn@ours.example":  {boxes: []string{"ann@ours.example"}},
	"team@ours.example":  {boxes: []string{"ann@ours.example", "bob@ours.example"}, away: []string{"rem@good.example"}},
	"staff@ours.example": {boxes: []string{"ann@ours.example", "bob@ours.example", "cem@ours.example"}, away: []string{"rem@good.example"}},
	"rem@ours.example":   {away: []string{"rem@good.example"}},
}

// boxes are the mailboxes that get mail.
var boxes = []string{"ann@ours.example", "bob@ours.example", "cem@ours.example", "dora@sister.awsapps.com"}

// ends are what is to become of a message that was taken.
type ends struct {
	boxes    map[string]bool
	sent     map[string]bool // other servers have it
	bounced  map[string]bool // the sender is told
	dropped  []string
	unproven bool // the sender may be no one we tell
}

func domainOf(address string) string {
	_, domain, _ := strings.Cut(address, "@")
	return domain
}

func endsOf(l *missive) ends {
	e := ends{boxes: map[string]bool{}, sent: map[string]bool{}, bounced: map[string]bool{}, unproven: l.by.user == ""}
	for _, r := range l.accepted {
		there, author := domainOf(r), domainOf(l.author)
		switch {
		case l.by.user == "" && author == "drop.example" && there == "ours.example", there == "dropped.example":
			e.dropped = append(e.dropped, r)
		case l.by.user == "" && author == "bounce.example" && r == "ann@ours.example", there == "blocked.example", there == "absent.example", there == "nomail.example",
			there == "never.example", r == "no@refuses.example", there == "moody.example" && rejectedByMoody(l.token):
			e.bounced[r] = true
		case slices.Contains(boxes, r):
			e.boxes[r] = true
		case there == "ours.example":
			for _, b := range leads[r].boxes {
				e.boxes[b] = true
			}
			for _, a := range leads[r].away {
				e.sent[a] = true
			}
		default:
			e.sent[r] = true
		}
	}
	return e
}

// unchanged fails the test for a message that arrived in another form than it was handed in.
func (d *day) unchanged(where string, p post) {
	l := d.byToken[p.token]
	switch {
	case l == nil:
		d.t.Errorf("%s has a message that nobody sent:\n%.2000s", where, p.header)
	case sha256.Sum256([]byte(p.body)) != l.body:
		d.t.Errorf("%s has %s in another form: %d bytes", where, p.token, len(p.body))
	case strings.Contains(p.header, "\nBcc:") && l.by.user != "":
		d.t.Errorf("%s learns from %s who got a blind copy", where, p.token)
	}
}

// look reads what is new in the mailboxes.
func (d *day) look() {
	for _, box := range boxes {
		c := d.s.IMAP(box, password)
		for _, folder := range []string{"INBOX", `"Junk E-mail"`} {
			const page = 200
			_, next, _ := selected(d.t, c, folder)
			from := max(1, d.next[box+folder])
			for ; from < next; from += page {
				for _, m := range fetched(d.t, c, fmt.Sprintf("%d:%d", from, min(from+page, next)-1)) {
					p := sorted(m.text)
					if p.report {
						p.tell(d.told, box)
						continue
					}
					d.unchanged(box, p)
					if d.boxes[p.token] == nil {
						d.boxes[p.token] = map[string]int{}
					}
					d.boxes[p.token][box]++
				}
			}
			d.next[box+folder] = next
		}
		c.Close()
	}
}

// listen reads what is new in the log group.
func (d *day) listen() {
	text, err := os.ReadFile(d.events)
	if err != nil {
		return // nothing is told yet
	}
	news := text[d.read:]
	news = news[:bytes.LastIndexByte(news, '\n')+1]
	d.read += len(news)
	for line := range bytes.Lines(news) {
		sum := sha256.Sum256(line)
		if d.lines[sum] {
			continue
		}
		d.lines[sum] = true
		var e dayEvent
		if err := json.Unmarshal(line, &e); err != nil || e.TraceID == "" {
			d.t.Errorf("an event is %q: %v", line, err)
			continue
		}
		d.ofTrace[e.TraceID] = append(d.ofTrace[e.TraceID], e)
		if i := strings.Index(e.Event.Subject, "day-"); i >= 0 {
			token := e.Event.Subject[i:][:len("day-000000")]
			if !slices.Contains(d.traces[token], e.TraceID) {
				d.traces[token] = append(d.traces[token], e.TraceID)
			}
		}
	}
}

// happened are the ends that the events of a trace tell.
func (d *day) happened(trace string) map[string]bool {
	all := map[string]bool{}
	for _, e := range d.ofTrace[trace] {
		switch e := e.Event; e.EventName {
		case "MAILBOX_EMAIL_DELIVERED":
			box := e.Recipient
			if r := leads[box]; len(r.boxes) == 1 {
				box = r.boxes[0]
			}
			all["delivered "+box] = true
		case "OUTGOING_EMAIL_SENT":
			all["sent "+e.Recipient] = true
		case "OUTGOING_EMAIL_BOUNCED", "INCOMING_EMAIL_BOUNCED":
			all["bounced "+e.BouncedRecipient.EmailAddress] = true
		case "RULE_APPLIED":
			for _, a := range e.RuleActions {
				for _, r := range a.Recipients {
					all[a.Action+" "+r] = true
				}
			}
		}
	}
	return all
}

// tally is the account of the day.
type tally struct {
	sent, acknowledged, refused, unanswered, kept, delivered, passed, bounced, dropped, twice int
	// killed are messages at their destinations that had an answer, and were tried again after a kill.
	killed map[passage]bool
}

// account compares what was found with what was taken, until nothing is missing any more.
func (d *day) account() {
	d.seen = seen{
		boxes: map[string]map[string]int{}, told: map[string]map[string]int{}, next: map[string]int{},
		lines: map[[sha256.Size]byte]bool{}, traces: map[string][]string{}, ofTrace: map[string][]dayEvent{},
	}
	var t tally
	var wrong []string
	for end := time.Now().Add(time.Minute); ; {
		d.look()
		d.listen()
		t, wrong = d.balance()
		if len(wrong) == 0 || time.Now().After(end) || d.t.Failed() {
			break
		}
	}
	for _, w := range wrong[:min(30, len(wrong))] {
		d.t.Error(w)
	}
	if len(wrong) > 0 {
		d.t.Errorf("%d things are wrong", len(wrong))
	}
	d.traced()
	d.t.Logf("%d messages sent, %d acknowledged, %d refused, %d without an answer, of which %d are there; %d copies delivered, %d sent, %d bounced, %d dropped; "+
		"%d sent twice as an answer was lost; %d stops and %d kills",
		t.sent, t.acknowledged, t.refused, t.unanswered, t.kept, t.delivered, t.passed, t.bounced, t.dropped, t.twice, d.stops, d.kills)
	const atOnce = 100 // attempts, the queue's limit
	if len(t.killed) > atOnce*d.kills {
		d.t.Errorf("%d attempts were made again though their answers were heard, and %d kills could forget %d", len(t.killed), d.kills, atOnce*d.kills)
	}
}

// balance adds up, and returns what is wrong.
func (d *day) balance() (t tally, wrong []string) {
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	t.killed = map[passage]bool{}
	arrived := map[string]map[string][]*taking{}
	for p, all := range d.world.takings {
		if arrived[p.token] == nil {
			arrived[p.token] = map[string][]*taking{}
		}
		arrived[p.token][p.to] = all
	}
	for _, l := range d.letters {
		found := len(d.boxes[l.token]) + len(arrived[l.token]) + len(d.told[l.token]) + len(d.world.sunk[l.token]) + len(d.traces[l.token])
		say := func(format string, args ...any) {
			wrong = append(wrong, fmt.Sprintf("%s, from <%s> to %v: ", l.token, l.from, l.accepted)+fmt.Sprintf(format, args...))
		}
		t.sent++
		switch {
		case l.answer == taken:
			t.acknowledged++
		case l.answer == refusedLetter:
			if t.refused++; found > 0 {
				say("it was refused, and is there: %v %v %v", d.boxes[l.token], slices.Collect(maps.Keys(arrived[l.token])), d.traces[l.token])
			}
			continue
		case found == 0:
			t.unanswered++
			continue
		default:
			t.unanswered++
			if t.kept++; l.half {
				say("its sender broke off in the middle, and it is there")
				continue
			}
		}
		e := endsOf(l)
		if traces := d.traces[l.token]; len(traces) != 1 {
			say("it has the traces %q", traces)
			continue
		}
		events := d.happened(d.traces[l.token][0])
		event := func(what, whom string) {
			if !events[what+" "+whom] {
				say("no event says %s %s: %v", what, whom, slices.Sorted(maps.Keys(events)))
			}
		}
		for _, box := range boxes {
			n := d.boxes[l.token][box]
			if t.delivered += n; n != map[bool]int{true: 1}[e.boxes[box]] {
				say("%d copies in the mailbox of %s", n, box)
			}
			if e.boxes[box] {
				event("delivered", box)
			}
		}
		for to := range e.sent {
			event("sent", to)
			if len(arrived[l.token][to]) == 0 {
				say("%s does not have it", to)
			}
		}
		for to, all := range arrived[l.token] {
			t.passed++
			if !e.sent[to] {
				say("%s has it", to)
			}
			for i, one := range all[1:] {
				t.twice++
				switch before := all[i]; {
				case before.heard && before.epoch == one.epoch:
					say("%s has it twice, though the first answer was heard", to)
				case before.heard:
					t.killed[passage{l.token, domainOf(to)}] = true
				}
			}
		}
		told := 0
		for to := range e.bounced {
			t.bounced++
			event("bounced", to)
			n := d.told[l.token][l.from+" of "+to] + d.world.sunk[l.token][l.from+" of "+to]
			if told += n; n > 1 || n == 0 && !e.unproven {
				say("its sender was told %d times that it did not reach %s", n, to)
			}
		}
		for _, list := range []map[string]int{d.told[l.token], d.world.sunk[l.token]} {
			for who, n := range list {
				if told -= n; told < 0 {
					say("told: %s", who)
				}
			}
		}
		for _, to := range e.dropped {
			t.dropped++
			event("DROP", to)
		}
	}
	return t, wrong
}

// traced asks an operator's verb for the way of some messages.
func (d *day) traced() {
	const some = 5
	asked := 0
	for _, l := range d.letters {
		for to := range endsOf(l).sent {
			if l.answer != taken || asked == some {
				break
			}
			asked++
			r := d.s.Verb("queue", "trace", "--json", d.traces[l.token][0])
			sent := false
			for line := range strings.Lines(r.Stdout) {
				sent = sent || strings.Contains(line, `"SENT"`) && strings.Contains(line, `"`+to+`"`)
			}
			if !sent {
				d.t.Errorf("queue trace does not say that %s was sent to %s: %s", l.token, to, r)
			}
			break
		}
	}
}
