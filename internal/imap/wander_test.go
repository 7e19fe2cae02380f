package imap

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// wanderer is a client that changes a folder at random and keeps a picture of it from what it is told.
type wanderer struct {
	r       *rig
	c       *client
	rand    *rand.Rand
	n       int
	uids    []uint32          // by sequence number; 0 where it was not told yet
	flags   map[uint32]string // by UID
	problem error

	// A forgetful one loses its connection at times, and goes on from what it knew (RFC 7162 section 3.2).
	forgetful bool
	validity  string
	highest   uint64 // up to this change it believes to know all
	seen      uint64 // the highest change that the command which runs has shown
}

func (r *rig) newWanderer(seed uint64, forgetful bool) *wanderer {
	w := &wanderer{r: r, c: r.login(), rand: rand.New(rand.NewPCG(seed, 7)), flags: map[uint32]string{}, forgetful: forgetful}
	if forgetful {
		w.do("ENABLE QRESYNC")
	}
	w.do("SELECT INBOX")
	w.learn()
	return w
}

// lose drops the connection, if the messages whose UIDs are not known yet are the last, and opens the folder again with
// what is known of it.
func (w *wanderer) lose() {
	if known := slices.Index(w.uids, 0); known >= 0 {
		if slices.ContainsFunc(w.uids[known:], func(u uint32) bool { return u != 0 }) {
			return
		}
		w.uids = w.uids[:known]
	}
	_ = w.c.Close()
	w.c = w.r.login()
	w.do("ENABLE QRESYNC")
	w.do("SELECT INBOX (QRESYNC (" + w.validity + " " + strconv.FormatUint(w.highest, 10) + "))")
	w.learn()
}

// check compares the picture, when the others have stopped and all has been heard, with what the server says.
func (w *wanderer) check() {
	if w.forgetful {
		w.lose()
	}
	w.do("NOOP")
	w.learn()
	uids, flags := w.uids, w.flags
	w.uids, w.flags = make([]uint32, len(w.uids)), map[uint32]string{}
	w.do("FETCH 1:* (UID FLAGS)")
	for i, uid := range uids {
		if w.problem == nil && (w.uids[i] != uid || flags[uid] != w.flags[uid]) {
			w.problem = fmt.Errorf("message %d is UID %d %s, and was thought to be %d %s", i+1, w.uids[i], w.flags[w.uids[i]], uid, flags[uid])
		}
	}
}

func (w *wanderer) step() {
	some := "1:*"
	if n := len(w.uids); n > 0 {
		some = strconv.Itoa(1+w.rand.IntN(n)) + ":" + strconv.Itoa(1+w.rand.IntN(n))
	}
	flag := []string{`\Seen`, `\Flagged`, `\Deleted`, "$Work"}[w.rand.IntN(4)]
	if w.forgetful && w.rand.IntN(4) == 0 {
		for range 5 { // what is expunged meanwhile is not told
			w.do("STORE " + some + " FLAGS (" + flag + ")")
		}
		w.lose()
		return
	}
	switch w.rand.IntN(8) {
	case 0, 1:
		w.do("APPEND INBOX {12+}\r\nSubject: x\r\n\r\n")
	case 2:
		w.do("STORE " + some + " +FLAGS (" + flag + ")")
	case 3:
		w.do("UID STORE 1:* -FLAGS (" + flag + ")")
	case 4:
		w.do("EXPUNGE")
	case 5:
		w.do("NOOP")
	case 6:
		w.do("MOVE " + some + " INBOX")
	case 7:
		w.do("FETCH " + some + " (UID FLAGS)")
	}
	w.learn()
}

// learn asks for what is not known yet.
func (w *wanderer) learn() {
	for range 10 {
		if w.problem != nil || !slices.Contains(w.uids, 0) {
			return
		}
		w.do("FETCH 1:* (UID FLAGS)")
		// What is gone has no answer; the next NOOP says so.
		w.do("NOOP")
	}
}

var (
	fetchLine    = regexp.MustCompile(`^\* (\d+) FETCH \((?:UID (\d+) ?)?(?:FLAGS \(([^)]*)\))?(?: MODSEQ \((\d+)\))?\)$`)
	countLine    = regexp.MustCompile(`^\* (\d+) (EXISTS|EXPUNGE)$`)
	vanishedLine = regexp.MustCompile(`^\* VANISHED (?:\(EARLIER\) )?([\d,:]+)$`)
	codeText     = regexp.MustCompile(`OK \[(HIGHESTMODSEQ|UIDVALIDITY) (\d+)\]`)
)

// do runs a command and takes in what it says of the folder.
func (w *wanderer) do(command string) {
	if w.problem != nil {
		return
	}
	w.n++
	lines, answer := w.c.do(fmt.Sprintf("w%d %s", w.n, command))
	if !strings.HasPrefix(answer, "OK") && !strings.Contains(answer, "no message with that sequence number") {
		w.problem = errors.New(command + ": " + answer)
		return
	}
	if strings.Contains(command, "(QRESYNC ") {
		lines = w.resynced(lines)
	}
	for _, line := range lines {
		if m := countLine.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			w.count(n, m[2], command)
		} else if m := vanishedLine.FindStringSubmatch(line); m != nil {
			w.vanished(m[1], command)
		} else if m := fetchLine.FindStringSubmatch(line); m != nil {
			seq, _ := strconv.Atoi(m[1])
			w.fetched(seq, m[2], m[3])
			modSeq, _ := strconv.ParseUint(m[4], 10, 64)
			w.seen = max(w.seen, modSeq)
		}
		w.code(line)
	}
	w.highest = max(w.highest, w.seen)
	w.seen = 0
	w.code(answer)
}

// resynced takes in what is gone since the client was here and then how many messages there are, and returns the other
// lines.
func (w *wanderer) resynced(lines []string) []string {
	earlier := func(line string) bool { return strings.HasPrefix(line, "* VANISHED (EARLIER) ") }
	if i := slices.IndexFunc(lines, earlier); i >= 0 {
		for _, u := range uidsOf(vanishedLine.FindStringSubmatch(lines[i])[1]) {
			w.uids = slices.DeleteFunc(w.uids, func(have uint32) bool { return have == u })
			delete(w.flags, u)
		}
	}
	return slices.DeleteFunc(lines, earlier)
}

// code takes in the code of a response: HIGHESTMODSEQ counts for more than the numbers that were seen.
func (w *wanderer) code(line string) {
	if m := codeText.FindStringSubmatch(line); m == nil {
		return
	} else if m[1] == "UIDVALIDITY" {
		w.validity = m[2]
	} else {
		w.highest, _ = strconv.ParseUint(m[2], 10, 64)
		w.seen = 0
	}
}

// vanished takes in UIDs that left. One that was not told yet stands before the next higher one.
func (w *wanderer) vanished(set, command string) {
	if namesNumbersLike(command) {
		w.problem = fmt.Errorf("%s: VANISHED in its answer", command)
	}
	for _, u := range uidsOf(set) {
		i := slices.Index(w.uids, u)
		if i < 0 {
			i = slices.IndexFunc(append(slices.Clone(w.uids), u+1), func(have uint32) bool { return have > u }) - 1
		}
		if i < 0 || w.uids[i] != 0 && w.uids[i] != u {
			w.problem = fmt.Errorf("%s: VANISHED %d, which was not there", command, u)
			return
		}
		w.uids = slices.Delete(w.uids, i, i+1)
		delete(w.flags, u)
	}
}

func uidsOf(set string) (uids []uint32) {
	for part := range strings.SplitSeq(set, ",") {
		from, to, isRange := strings.Cut(part, ":")
		first, _ := strconv.Atoi(from)
		last, _ := strconv.Atoi(to)
		if !isRange {
			last = first
		}
		for u := first; u <= last; u++ {
			uids = append(uids, uint32(u))
		}
	}
	return uids
}

func namesNumbersLike(command string) bool {
	return strings.HasPrefix(command, "FETCH") || strings.HasPrefix(command, "STORE") || strings.HasPrefix(command, "SEARCH")
}

func (w *wanderer) count(n int, what, command string) {
	switch {
	case what == "EXISTS" && n < len(w.uids):
		w.problem = fmt.Errorf("%s: EXISTS %d after %d", command, n, len(w.uids))
	case what == "EXISTS":
		w.uids = append(w.uids, make([]uint32, n-len(w.uids))...)
	case n < 1 || n > len(w.uids):
		w.problem = fmt.Errorf("%s: EXPUNGE %d of %d", command, n, len(w.uids))
	case namesNumbersLike(command):
		w.problem = fmt.Errorf("%s: EXPUNGE in its answer", command)
	default:
		delete(w.flags, w.uids[n-1])
		w.uids = slices.Delete(w.uids, n-1, n)
	}
}

func (w *wanderer) fetched(seq int, uid, flags string) {
	if seq < 1 || seq > len(w.uids) {
		w.problem = fmt.Errorf("FETCH of message %d of %d", seq, len(w.uids))
		return
	}
	if uid != "" {
		u, _ := strconv.Atoi(uid)
		if have := w.uids[seq-1]; have != 0 && have != uint32(u) {
			w.problem = fmt.Errorf("message %d is UID %d and was %d", seq, u, have)
			return
		}
		w.uids[seq-1] = uint32(u)
	}
	if u := w.uids[seq-1]; u != 0 {
		w.flags[u] = strings.TrimSpace(strings.ReplaceAll(flags, `\Recent`, ""))
	}
}
