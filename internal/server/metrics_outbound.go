package server

import (
	"fmt"
	"io"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/transport/courier"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// writeOutbound writes what became of mail for other servers since the start.
func writeOutbound(w io.Writer, q queue.Stats, c courier.Stats) {
	const recipients, connections = "pennypost_outbound_recipients_total", "pennypost_outbound_connections_total"
	victoria.WriteMetadataIfNeeded(w, recipients, "counter")
	for _, r := range []struct {
		event string
		n     uint64
	}{
		{"queued", q.Queued},
		{"delivered", q.Delivered},
		{"deferred", q.Deferred},
		{"failed", q.Failed},
		{"expired", q.Expired},
		{"dropped", q.Dropped},
		{"told", q.Told},
	} {
		_, _ = fmt.Fprintf(w, "%s{event=%q} %d\n", recipients, r.event, r.n) // who asked and went away does not matter
	}
	victoria.WriteMetadataIfNeeded(w, connections, "counter")
	for _, r := range []struct {
		tls string
		n   uint64
	}{
		{"verified", c.Verified}, {"unverified", c.TLS - min(c.Verified, c.TLS)}, {"none", c.Connections - min(c.TLS, c.Connections)},
	} {
		_, _ = fmt.Fprintf(w, "%s{tls=%q} %d\n", connections, r.tls, r.n)
	}
	victoria.WriteCounterUint64(w, "pennypost_outbound_connections_refused_total", c.Refused)
	victoria.WriteCounterUint64(w, "pennypost_outbound_connections_reused_total", c.Reused)
	victoria.WriteCounterUint64(w, "pennypost_outbound_tls_failures_total", c.TLSFailed)
	victoria.WriteGaugeUint64(w, "pennypost_outbound_attempts", uint64(q.Running))
}
