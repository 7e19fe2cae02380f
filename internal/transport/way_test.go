package transport_test

import (
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/transport"
)

// TestMessagesAreCounted by what became of them.
func TestMessagesAreCounted(t *testing.T) {
	onBothSenders(t, transport.Daily{}, func(s *senders) {
		x := outside(s.World, 0)
		add(s.World, x, internal)
		s.Must(store(t.Context(), x, simple))
		y, err := s.begin(s.ann, "ann@acme.awsapps.com", internal)
		s.Must(err)
		if err := store(t.Context(), y, "From: bob@acme.awsapps.com\r\n\r\n"); fault.KindOf(err) != fault.Denied {
			t.Errorf("as somebody else: %v", err)
		}
		want := transport.Stats{Arrived: transport.Counts{Stored: 1}, Submitted: transport.Counts{Refused: 1}, Inbox: 1}
		if got := s.Stats(); got != want {
			t.Errorf("counted %+v, want %+v", got, want)
		}
	})
}
