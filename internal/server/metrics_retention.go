package server

import (
	"fmt"
	"io"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/organization"
)

// countRetention shows what retention policies did since the start.
func (m *metrics) countRetention(organizations *organization.Service, mailboxes *mailbox.Store) {
	m.set.RegisterMetricsWriter(func(w io.Writer) {
		s := organizations.Retention()
		const runs, items = "pennypost_retention_runs_total", "pennypost_retention_items_total"
		victoria.WriteMetadataIfNeeded(w, runs, "counter")
		_, _ = fmt.Fprintf(w, "%[1]s{outcome=\"finished\"} %[2]d\n%[1]s{outcome=\"stopped\"} %[3]d\n", runs, s.Finished, s.Stopped)
		victoria.WriteCounterUint64(w, "pennypost_retention_mailboxes_total", s.Mailboxes)
		victoria.WriteMetadataIfNeeded(w, items, "counter")
		_, _ = fmt.Fprintf(w, "%[1]s{action=\"delete\"} %[2]d\n%[1]s{action=\"permanently_delete\"} %[3]d\n%[1]s{action=\"expire\"} %[4]d\n",
			items, s.Recoverable, s.Removed, mailboxes.Expired()) // who asked and went away does not matter
	})
}
