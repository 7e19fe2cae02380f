package server

import (
	"fmt"
	"io"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/transport"
)

// writeRules writes what the rules of mailboxes did since the start, and their replies.
func writeRules(w io.Writer, s transport.RuleStats) {
	for _, c := range []struct {
		name, label string
		figures     []labelled
	}{
		{"pennypost_mailbox_rules_total", "outcome", []labelled{
			{"acted", s.Acted}, {"discarded", s.Discarded}, {"failed", s.Failed}, {"kept", s.Kept}, {"rejected", s.Rejected},
		}},
		{"pennypost_automatic_replies_total", "by", []labelled{{"mailbox", s.Replies}, {"script", s.Vacations}}},
	} {
		victoria.WriteMetadataIfNeeded(w, c.name, "counter")
		for _, f := range c.figures {
			_, _ = fmt.Fprintf(w, "%s{%s=%q} %d\n", c.name, c.label, f.label, f.n) // who asked and went away does not matter
		}
	}
}
