package server

import (
	"fmt"
	"io"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/transport/intake"
)

// writeReports writes what became of messages to the addresses of reports since the start.
func writeReports(w io.Writer, s intake.Stats) {
	const reports = "pennypost_reports_received_total"
	victoria.WriteMetadataIfNeeded(w, reports, "counter")
	for _, r := range []struct {
		outcome string
		n       uint64
	}{
		{"kept", s.Kept}, {"duplicate", s.Duplicate}, {"unreadable", s.Unreadable}, {"foreign", s.Foreign}, {"excess", s.Excess},
	} {
		_, _ = fmt.Fprintf(w, "%s{outcome=%q} %d\n", reports, r.outcome, r.n) // who asked and went away does not matter
	}
}
