package feed

import "testing"

func TestNoticesMergeAndEndWithClose(t *testing.T) {
	f := New()
	inbox := Topic{"mailbox", "1"}
	l, other := f.Listen(inbox), f.Listen(Topic{"mailbox", "2"})
	defer other.Close()
	f.Publish(inbox)
	f.Publish(inbox)
	<-l.C
	select {
	case <-l.C:
		t.Error("two changes before a read must give one notice")
	case <-other.C:
		t.Error("a notice reached another topic")
	default:
	}
	if l.Count() != 2 || other.Count() != 0 {
		t.Errorf("%d and %d changes are counted, want 2 and 0", l.Count(), other.Count())
	}
	l.Close()
	l.Close()
	f.Publish(inbox)
	select {
	case <-l.C:
		t.Error("a closed listener heard a change")
	default:
	}
	if len(f.topics) != 1 {
		t.Errorf("%d topics left, want the open one", len(f.topics))
	}
}

func TestWatchHearsEveryKeyOfItsKind(t *testing.T) {
	f := New()
	var heard []string
	f.Watch("user", func(key string) { heard = append(heard, key) })
	f.Publish(Topic{"user", "m-1/a"})
	f.Publish(Topic{"mailbox", "1"})
	f.Publish(Topic{"user", "m-1/b"})
	if len(heard) != 2 || heard[0] != "m-1/a" || heard[1] != "m-1/b" {
		t.Errorf("heard %q, want the two users in order", heard)
	}
}

// TestVersion follows a topic's version through listeners that come and go: no number may come twice.
func TestVersion(t *testing.T) {
	f := New()
	inbox, other := Topic{"mailbox", "1"}, Topic{"mailbox", "2"}
	seen := map[uint64]bool{}
	fresh := func() {
		t.Helper()
		v, ok := f.Version(inbox)
		if again, _ := f.Version(inbox); !ok || seen[v] || again != v {
			t.Errorf("version %d, then %d, %t: seen before are %v", v, again, ok, seen)
		}
		seen[v] = true
	}
	if _, ok := f.Version(inbox); ok {
		t.Error("a topic that nobody listens to has a version")
	}
	for range 2 {
		first, second := f.Listen(inbox), f.Listen(other)
		fresh()
		f.Publish(inbox)
		fresh()
		f.Publish(other)
		if v, _ := f.Version(inbox); !seen[v] {
			t.Error("the version changed with another topic's notice")
		}
		first.Close()
		second.Close()
		f.Publish(inbox)
	}
}
