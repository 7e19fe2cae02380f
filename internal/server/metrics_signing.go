package server

import (
	"context"
	"fmt"
	"io"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/transport/signing"
)

// countSigning shows what was signed since the start, and what waits to be published. That is left out where the store does not answer,
// of which /healthz tells.
func (m *metrics) countSigning(s *signing.Service) {
	m.set.RegisterMetricsWriter(func(w io.Writer) {
		n := s.Stats()
		const messages = "pennypost_dkim_messages_total"
		victoria.WriteMetadataIfNeeded(w, messages, "counter")
		_, _ = fmt.Fprintf(w, "%[1]s{outcome=\"signed\"} %[2]d\n%[1]s{outcome=\"unsigned\"} %[3]d\n%[1]s{outcome=\"failed\"} %[4]d\n",
			messages, n.Signed, n.Unsigned, n.Failed) // who asked and went away does not matter
		ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
		defer cancel()
		if waiting, err := s.Unpublished(ctx); err == nil {
			victoria.WriteGaugeUint64(w, "pennypost_dkim_keys_unpublished", waiting)
		}
	})
}
