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
	if len(f.listeners) != 1 {
		t.Errorf("%d topics left, want the open one", len(f.listeners))
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
