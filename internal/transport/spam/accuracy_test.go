package spam_test

import (
	"testing"

	"github.com/pennypost/pennypost/internal/transport/spam"
)

// TestAccuracy trains on generated mail of which one word in ten is of its kind, and asks about mail that it has not seen. That nothing is
// wrongly called spam holds at any size.
func TestAccuracy(t *testing.T) {
	for _, c := range []struct{ trained, least int }{{20, 40}, {50, 95}, {200, 100}} {
		gen := newCorpus(7)
		gen.share = 10
		m := spam.NewModel()
		for range c.trained {
			m.Learn([]byte(gen.message(true)), true)
			m.Learn([]byte(gen.message(false)), false)
		}
		const asked = 200
		found := 0
		for range asked {
			if m.Probability([]byte(gen.message(true))) >= 0.9 {
				found++
			}
			if p := m.Probability([]byte(gen.message(false))); p >= 0.9 {
				t.Errorf("after %d messages of either kind ham is spam at %.3f", c.trained, p)
			}
		}
		t.Logf("after %d messages of either kind %d of %d messages of spam were found", c.trained, found, asked)
		if found*100 < c.least*asked {
			t.Errorf("after %d messages of either kind only %d of %d messages of spam were found", c.trained, found, asked)
		}
	}
}
