package server

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/transport/courier"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

func TestOutboundInMetrics(t *testing.T) {
	var b strings.Builder
	writeOutbound(&b, queue.Stats{Queued: 5, Delivered: 3, Running: 2}, courier.Stats{Connections: 4, TLS: 3, Verified: 1})
	for _, want := range []string{
		`pennypost_outbound_recipients_total{event="queued"} 5`, `pennypost_outbound_recipients_total{event="delivered"} 3`,
		`pennypost_outbound_connections_total{tls="none"} 1`, `pennypost_outbound_connections_total{tls="unverified"} 2`,
		`pennypost_outbound_connections_total{tls="verified"} 1`, `pennypost_outbound_attempts 2`,
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("%s lacks %s", b.String(), want)
		}
	}
}
