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
	c       *client
	rand    *rand.Rand
	n       int
	uids    []uint32          // by sequence number; 0 where it was not told yet
	flags   map[uint32]string // by UID
	problem error
}

func (r *rig) newWanderer(seed uint64) *wanderer {
	w := &wanderer{c: r.login(), rand: rand.New(rand.NewPCG(seed, 7)), flags: map[uint32]string{}}
	w.do("SELECT INBOX")
	w.learn()
	return w
}

// check compares the picture, when the others have stopped and all has been heard, with what the server says.
func (w *wanderer) check() {
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
	fetchLine = regexp.MustCompile(`^\* (\d+) FETCH \((?:UID (\d+) ?)?(?:FLAGS \(([^)]*)\))?\)$`)
	countLine = regexp.MustCompile(`^\* (\d+) (EXISTS|EXPUNGE)$`)
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
	for _, line := range lines {
		if m := countLine.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			w.count(n, m[2], command)
		} else if m := fetchLine.FindStringSubmatch(line); m != nil {
			seq, _ := strconv.Atoi(m[1])
			w.fetched(seq, m[2], m[3])
		}
	}
}

func (w *wanderer) count(n int, what, command string) {
	switch {
	case what == "EXISTS" && n < len(w.uids):
		w.problem = fmt.Errorf("%s: EXISTS %d after %d", command, n, len(w.uids))
	case what == "EXISTS":
		w.uids = append(w.uids, make([]uint32, n-len(w.uids))...)
	case n < 1 || n > len(w.uids):
		w.problem = fmt.Errorf("%s: EXPUNGE %d of %d", command, n, len(w.uids))
	case strings.HasPrefix(command, "FETCH") || strings.HasPrefix(command, "STORE") || strings.HasPrefix(command, "SEARCH"):
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
