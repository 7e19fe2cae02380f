package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/test/harness"
)

// reader works on two folders of its own by IMAP, one command at a time: APPEND, STORE, COPY, MOVE, EXPUNGE.
type reader struct {
	name, user string
	n          int // messages made
	imap       *harness.IMAP
	folders    [2]*folder
	open       *folder // the selected one
	doubt      doubt
}

// folder is what the reader was told of one.
type folder struct {
	name           string
	validity, next int
	modSeq         int // the highest it was told of
	items          map[int]message
}

// doubt is the command under way when the server died. It may have been carried out or not.
type doubt struct {
	op     string
	from   *folder
	uids   []int
	flags  string   // what STORE asked for
	to     *folder  // where APPEND, COPY and MOVE put something
	copies []string // what they put there
}

func (r *reader) connect(t *testing.T, s *harness.Server) {
	t.Helper()
	r.imap, r.open = s.IMAP(r.user+"@crash.awsapps.com", password), nil
	for i, f := range r.folders {
		if f == nil {
			f = &folder{name: fmt.Sprintf("%s-%d", r.name, i), items: map[int]message{}}
			r.imap.Do("CREATE " + f.name)
			f.validity, f.next, f.modSeq = selected(t, r.imap, f.name)
			r.folders[i] = f
		}
	}
}

// crowd is how many messages a folder should not have many more than.
const crowd = 12

func (r *reader) work(t *testing.T, lots *rand.Rand, acknowledged func()) {
	defer r.imap.Close()
	for {
		i := lots.IntN(2)
		from, to := r.folders[i], r.folders[1-i]
		d := doubt{from: from, to: to}
		d.uids = some(lots, slices.Sorted(maps.Keys(from.items)))
		var did bool
		switch choice := lots.IntN(10); {
		case len(d.uids) == 0 || choice < 3 && len(from.items) < crowd:
			did = r.append(t, lots, to)
		case choice < 6:
			d.flags = []string{"", `\Flagged`, `$Work \Seen`, `\Answered \Draft \Seen`}[lots.IntN(4)]
			did = r.store(t, d)
		case choice < 7 && len(to.items) < crowd:
			d.op = "COPY"
			did = r.transfer(t, d)
		case choice < 8:
			d.op = "MOVE"
			did = r.transfer(t, d)
		default:
			did = r.expunge(t, d)
		}
		if !did {
			return
		}
		r.doubt = doubt{}
		acknowledged()
	}
}

// some draws up to three.
func some(lots *rand.Rand, uids []int) []int {
	lots.Shuffle(len(uids), func(i, j int) { uids[i], uids[j] = uids[j], uids[i] })
	uids = uids[:min(len(uids), 1+lots.IntN(3))]
	slices.Sort(uids)
	return uids
}

// try carries out a command on a folder, or without one, and reports whether it was acknowledged.
func (r *reader) try(t *testing.T, on *folder, command string) (string, bool) {
	if on != nil && r.open != on {
		if _, status, err := r.imap.Try("SELECT " + on.name + " (CONDSTORE)"); err != nil || !strings.HasPrefix(status, "OK") {
			return r.failed(t, "SELECT", status, err)
		}
		r.open = on
	}
	lines, status, err := r.imap.Try(command)
	if err != nil || !strings.HasPrefix(status, "OK") {
		return r.failed(t, command, status, err)
	}
	return strings.Join(append(lines, status), "\r\n"), true
}

func (r *reader) failed(t *testing.T, command, status string, err error) (string, bool) {
	if err == nil {
		t.Errorf("%s: %.60s: %s", r.name, command, status)
	}
	return "", false
}

func (r *reader) append(t *testing.T, lots *rand.Rand, to *folder) bool {
	r.n++
	text := mail(fmt.Sprintf("%s-%d", r.name, r.n), lots)
	r.doubt = doubt{op: "APPEND", to: to, copies: []string{text}}
	said, ok := r.try(t, nil, fmt.Sprintf("APPEND %s (\\Flagged) {%d+}\r\n%s", to.name, len(text), text))
	if !ok {
		return false
	}
	uid := 0
	if m := appendUID.FindStringSubmatch(said); m != nil {
		uid, _ = strconv.Atoi(m[1]) // the pattern takes digits only
	}
	to.add(t, uid, message{flags: `\Flagged`, text: text})
	return true
}

func (r *reader) store(t *testing.T, d doubt) bool {
	d.op = "STORE"
	r.doubt = d
	said, ok := r.try(t, d.from, fmt.Sprintf("UID STORE %s FLAGS (%s)", set(d.uids), d.flags))
	if !ok {
		return false
	}
	for _, uid := range d.uids {
		m := d.from.items[uid]
		m.flags, m.modSeq = d.flags, 0
		d.from.items[uid] = m
	}
	for line := range strings.SplitSeq(said, "\r\n") {
		uid, modSeq := number(uidItem, line), number(modSeqItem, line)
		if m, ok := d.from.items[uid]; ok && modSeq != 0 {
			m.modSeq = modSeq
			d.from.items[uid] = m
			d.from.modSeq = max(d.from.modSeq, modSeq)
		}
	}
	return true
}

var (
	appendUID = regexp.MustCompile(`\[APPENDUID \d+ (\d+)\]`)
	copyUID   = regexp.MustCompile(`\[COPYUID \d+ ([\d:,]+) ([\d:,]+)\]`)
)

// transfer copies or moves.
func (r *reader) transfer(t *testing.T, d doubt) bool {
	for _, uid := range d.uids {
		d.copies = append(d.copies, d.from.items[uid].text)
	}
	r.doubt = d
	said, ok := r.try(t, d.from, fmt.Sprintf("UID %s %s %s", d.op, set(d.uids), d.to.name))
	if !ok {
		return false
	}
	m := copyUID.FindStringSubmatch(said)
	if m == nil {
		t.Errorf("%s: %s without COPYUID: %s", r.name, d.op, said)
		return false
	}
	source, target := unset(m[1]), unset(m[2])
	if !slices.Equal(source, d.uids) || len(target) != len(source) {
		t.Errorf("%s: %s of %v answers %s", r.name, d.op, d.uids, m[0])
		return false
	}
	for i, uid := range source {
		item := d.from.items[uid]
		d.to.add(t, target[i], message{flags: item.flags, text: item.text})
		if d.op == "MOVE" {
			delete(d.from.items, uid)
		}
	}
	return true
}

func (r *reader) expunge(t *testing.T, d doubt) bool {
	d.flags = `\Deleted`
	if !r.store(t, d) {
		return false
	}
	d.op = "EXPUNGE"
	r.doubt = d
	if _, ok := r.try(t, d.from, "UID EXPUNGE "+set(d.uids)); !ok {
		return false
	}
	for _, uid := range d.uids {
		delete(d.from.items, uid)
	}
	return true
}

// add takes a message in that the server says it stored.
func (f *folder) add(t *testing.T, uid int, m message) {
	if uid < f.next {
		t.Errorf("%s: UID %d is given to a new message, after UIDNEXT %d", f.name, uid, f.next)
	}
	m.uid, f.next = uid, max(f.next, uid+1)
	f.items[uid] = m
}

// set writes UIDs as IMAP does; unset reads them.
func set(uids []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(uids), "[]"), " ", ",")
}

func unset(s string) (uids []int) {
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, ":")
		if !isRange {
			last = first
		}
		a, _ := strconv.Atoi(first) // the pattern takes digits only
		b, _ := strconv.Atoi(last)
		for uid := min(a, b); uid <= max(a, b); uid++ {
			uids = append(uids, uid)
		}
	}
	return uids
}

func (r *reader) verify(t *testing.T, s *harness.Server, _ bool) {
	t.Helper()
	c := s.IMAP(r.user+"@crash.awsapps.com", password)
	defer c.Close()
	var gone, come []string // of what the command in doubt moves
	for _, f := range r.folders {
		lost, found := r.compare(t, c, f)
		gone, come = append(gone, lost...), append(come, found...)
	}
	slices.Sort(gone)
	slices.Sort(come)
	switch op := r.doubt.op; {
	case op == "MOVE" && !slices.Equal(gone, come):
		t.Errorf("%s: a MOVE took %d messages from one folder and put %d others into the other", r.name, len(gone), len(come))
	case op == "COPY" && len(come) != 0 && len(come) != len(r.doubt.copies):
		t.Errorf("%s: a COPY of %d messages made %d", r.name, len(r.doubt.copies), len(come))
	}
	r.doubt = doubt{}
}

// compare holds a folder against what the reader was told, and takes what it finds as told. It returns the messages that the
// command in doubt took away and those it brought.
func (r *reader) compare(t *testing.T, c *harness.IMAP, f *folder) (gone, come []string) {
	t.Helper()
	validity, next, modSeq := selected(t, c, f.name)
	if validity != f.validity || next < f.next || modSeq < f.modSeq {
		t.Errorf("%s: UIDVALIDITY %d, UIDNEXT %d, HIGHESTMODSEQ %d, after %d, %d, %d", f.name, validity, next, modSeq, f.validity, f.next, f.modSeq)
	}
	now := map[int]message{}
	for _, m := range fetched(t, c, "1:*") {
		now[m.uid] = m
	}
	d := r.doubt
	for uid, want := range f.items {
		got, there := now[uid]
		touched := d.from == f && slices.Contains(d.uids, uid)
		switch {
		case !there && touched && (d.op == "EXPUNGE" || d.op == "MOVE"):
			gone = append(gone, want.text)
		case !there:
			t.Errorf("%s: UID %d (%s) is missing", f.name, uid, subject(want.text))
		case got.text != want.text:
			t.Errorf("%s: UID %d is %d bytes of %.100q, want %d of %s", f.name, uid, len(got.text), got.text, len(want.text), subject(want.text))
		case touched && d.op == "STORE" && got.flags == d.flags:
		case got.flags != want.flags:
			t.Errorf("%s: UID %d has the flags %q, want %q (in doubt: %s %v)", f.name, uid, got.flags, want.flags, d.op, d.uids)
		case want.modSeq != 0 && got.modSeq != want.modSeq && !touched:
			t.Errorf("%s: UID %d has MODSEQ %d, want %d", f.name, uid, got.modSeq, want.modSeq)
		}
	}
	expected := slices.Clone(d.copies)
	for uid, got := range now {
		if _, known := f.items[uid]; known {
			continue
		}
		i := slices.Index(expected, got.text)
		if d.to != f || i < 0 || uid < f.next {
			t.Errorf("%s: UID %d holds %.100q, which was expunged or is there in part (UIDNEXT was %d; in doubt: %s %v)",
				f.name, uid, got.text, f.next, d.op, d.uids)
			continue
		}
		expected = slices.Delete(expected, i, i+1)
		come = append(come, got.text)
	}
	for uid := range now {
		if uid >= next {
			t.Errorf("%s: UID %d is there, and UIDNEXT is %d", f.name, uid, next)
		}
	}
	f.next, f.modSeq, f.items = next, modSeq, now
	return gone, come
}
