package imap

import (
	"slices"
	"testing"
)

// What a session has stored itself is no news to it; what another has stored between is.
func TestStoreReadsTheFolderOnlyForOthersChanges(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		for range 2 {
			r.deliver("INBOX", "Subject: x\r\n\r\nx\r\n", 0)
		}
		a, b := r.login(), r.login()
		a.ok("a SELECT INBOX")
		b.ok("b SELECT INBOX")
		a.ok(`a STORE 1 +FLAGS (\Seen)`)
		before := r.db.Stats().Reads
		for range 5 {
			a.ok(`a STORE 1 +FLAGS (\Flagged)`)
			a.ok(`a STORE 1 -FLAGS (\Flagged)`)
		}
		if n := r.db.Stats().Reads - before; n != 0 {
			t.Errorf("ten STOREs of one session read the database %d times, want 0", n)
		}
		b.ok(`b STORE 2 +FLAGS (\Deleted)`)
		want := []string{`* 1 FETCH (FLAGS (\Answered \Seen \Recent))`, `* 2 FETCH (FLAGS (\Deleted \Recent))`}
		if got := a.ok(`a STORE 1 +FLAGS (\Answered)`); !slices.Equal(got, want) {
			t.Errorf("a STORE after another session's is answered by %q, want %q", got, want)
		}
		if got, want := b.ok("b NOOP"), `* 1 FETCH (FLAGS (\Answered \Seen))`; !slices.Contains(got, want) {
			t.Errorf("the other session is told %q, want %q in it", got, want)
		}
		if got := a.ok("a NOOP"); len(got) != 0 {
			t.Errorf("after that there is news: %q", got)
		}
	})
}
