package server

import (
	"fmt"
	"io"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

// writeInbound writes what was found out about mail from other servers since the start, what became of what failed, and what was journaled.
func writeInbound(w io.Writer, checked []mailauth.Count, s transport.Stats) {
	const results, enforced, journal = "pennypost_inbound_authentication_total", "pennypost_inbound_dmarc_enforced_total", "pennypost_journal_reports_total"
	victoria.WriteMetadataIfNeeded(w, results, "counter")
	for _, c := range checked {
		_, _ = fmt.Fprintf(w, "%s{method=%q,result=%q} %d\n", results, c.Method, c.Result, c.N) // who asked and went away does not matter
	}
	victoria.WriteMetadataIfNeeded(w, enforced, "counter")
	_, _ = fmt.Fprintf(w, "%[1]s{action=\"dropped\"} %[2]d\n%[1]s{action=\"quarantined\"} %[3]d\n%[1]s{action=\"refused\"} %[4]d\n",
		enforced, s.Dropped, s.Quarantined, s.Refused)
	victoria.WriteMetadataIfNeeded(w, journal, "counter")
	_, _ = fmt.Fprintf(w, "%[1]s{event=\"delivered\"} %[2]d\n%[1]s{event=\"failed\"} %[3]d\n%[1]s{event=\"queued\"} %[4]d\n",
		journal, s.JournalsSent, s.JournalsFailed, s.Journaled)
}

// writeMessages writes what became of messages, and who got them, since the start.
func writeMessages(w io.Writer, s transport.Stats) {
	const messages, mailboxes = "pennypost_messages_total", "pennypost_mailbox_deliveries_total"
	victoria.WriteMetadataIfNeeded(w, messages, "counter")
	for _, from := range []struct {
		name string
		n    transport.Counts
	}{{"servers", s.Arrived}, {"users", s.Submitted}} {
		_, _ = fmt.Fprintf(w, "%[1]s{from=%[2]q,outcome=\"stored\"} %[3]d\n%[1]s{from=%[2]q,outcome=\"refused\"} %[4]d\n%[1]s{from=%[2]q,outcome=\"deferred\"} %[5]d\n",
			messages, from.name, from.n.Stored, from.n.Refused, from.n.Deferred)
	}
	victoria.WriteMetadataIfNeeded(w, mailboxes, "counter")
	_, _ = fmt.Fprintf(w, "%[1]s{folder=\"inbox\"} %[2]d\n%[1]s{folder=\"junk\"} %[3]d\n", mailboxes, s.Inbox, s.Junk)
	victoria.WriteCounterUint64(w, "pennypost_mailbox_full_total", s.Full)
}
