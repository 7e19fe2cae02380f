package server

import (
	"fmt"
	"io"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/audit"
)

// writeLogGroups writes the states of the log groups.
func writeLogGroups(w io.Writer, groups []audit.GroupState) {
	for _, figure := range []struct {
		name, kind string
		of         func(audit.GroupState) int64
	}{
		{"pennypost_log_group_waiting_bytes", "gauge", func(g audit.GroupState) int64 { return g.Waiting }},
		{"pennypost_log_group_sent_total", "counter", func(g audit.GroupState) int64 { return g.Sent }},
		{"pennypost_log_group_lost_total", "counter", func(g audit.GroupState) int64 { return g.Lost }},
	} {
		if len(groups) > 0 {
			victoria.WriteMetadataIfNeeded(w, figure.name, figure.kind)
		}
		for _, g := range groups {
			_, _ = fmt.Fprintf(w, "%s{log_group=%q} %d\n", figure.name, g.Name, figure.of(g)) // who asked and went away does not matter
		}
	}
}
