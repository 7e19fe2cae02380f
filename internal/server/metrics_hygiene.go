package server

import (
	"fmt"
	"io"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/transport/scan"
	"github.com/pennypost/pennypost/internal/transport/spam"
)

// labelled is a figure of a counter.
type labelled struct {
	label string
	n     uint64
}

// writeHygiene writes what was judged, learned and looked into since the start.
func writeHygiene(w io.Writer, j spam.Stats, s scan.Stats) {
	for _, c := range []struct {
		name, label string
		figures     []labelled
	}{
		{"pennypost_spam_messages_total", "verdict", []labelled{
			{"deferred", j.Deferred}, {"fail", j.Spam}, {"gray", j.Gray}, {"pass", j.Pass}, {"processing_failed", j.Failed}, {"refused", j.Refused},
		}},
		{"pennypost_spam_learned_total", "as", []labelled{{"ham", j.LearnedHam}, {"presumed_ham", j.Presumed}, {"spam", j.LearnedSpam}}},
		{"pennypost_scanned_messages_total", "result", []labelled{
			{"blocked_attachment", s.Blocked}, {"clean", s.Clean}, {"infected", s.Infected}, {"unscanned", s.Unscanned},
		}},
	} {
		victoria.WriteMetadataIfNeeded(w, c.name, "counter")
		for _, f := range c.figures {
			_, _ = fmt.Fprintf(w, "%s{%s=%q} %d\n", c.name, c.label, f.label, f.n) // who asked and went away does not matter
		}
	}
	victoria.WriteCounterUint64(w, "pennypost_spam_filter_failures_total", j.FilterFailures)
}
