package mailbox

import (
	"context"
	"slices"
	"testing"
)

func TestTouchedFindsWhatMoved(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		id := r.mailbox("ann")
		var items []ItemID
		for range 4 {
			stored, err := r.Deliver(ctx, Message{Source: Source{Bytes: []byte("x")}}, Target{Mailbox: id})
			if err != nil {
				t.Fatal(err)
			}
			items = append(items, stored[0].ID)
		}
		since, err := r.Change(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Move(ctx, id, InboxID, UIDs(1, 3), SentID); err != nil {
			t.Fatal(err)
		}
		if _, err := r.StoreFlags(ctx, id, InboxID, UIDs(2), FlagChange{Add: Seen}, Always); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Deliver(ctx, Message{Source: Source{Bytes: []byte("new")}}, Target{Mailbox: id}); err != nil {
			t.Fatal(err)
		}
		got := func(limit int, known ...ItemID) []Place {
			places, err := r.Touched(ctx, id, since, func(i ItemID) bool { return slices.Contains(known, i) }, limit)
			if err != nil {
				t.Fatal(err)
			}
			return places
		}
		moved := []Place{{SentID, 1, items[0]}, {SentID, 2, items[2]}}
		if all := got(10); !slices.Equal(all, append([]Place{{InboxID, 2, items[1]}}, moved...)) {
			t.Errorf("touched are %v", all)
		}
		if rest := got(10, items[1]); !slices.Equal(rest, moved) {
			t.Errorf("touched and not known are %v", rest)
		}
		if one := got(1); len(one) != 1 {
			t.Errorf("with a limit of one, touched are %v", one)
		}
	})
}
