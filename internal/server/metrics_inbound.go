package server

import (
	"fmt"
	"io"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

// writeInbound writes what was found out about mail from other servers since the start, and what became of what failed.
func writeInbound(w io.Writer, checked []mailauth.Count, s transport.Stats) {
	const results, enforced = "pennypost_inbound_authentication_total", "pennypost_inbound_dmarc_enforced_total"
	victoria.WriteMetadataIfNeeded(w, results, "counter")
	for _, c := range checked {
		_, _ = fmt.Fprintf(w, "%s{method=%q,result=%q} %d\n", results, c.Method, c.Result, c.N) // who asked and went away does not matter
	}
	victoria.WriteMetadataIfNeeded(w, enforced, "counter")
	_, _ = fmt.Fprintf(w, "%[1]s{action=\"dropped\"} %[2]d\n%[1]s{action=\"quarantined\"} %[3]d\n%[1]s{action=\"refused\"} %[4]d\n",
		enforced, s.Dropped, s.Quarantined, s.Refused)
}
