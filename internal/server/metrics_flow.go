package server

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/flow"
)

// countFlow shows what mail flow rules did since the start, and what waits for functions. That is left out where the store does not answer,
// of which /healthz tells.
func (m *metrics) countFlow(c *core) {
	m.set.RegisterMetricsWriter(func(w io.Writer) {
		writeFlow(w, c.transport.FlowStats())
		ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
		defer cancel()
		const waiting = "pennypost_flow_function_waiting"
		victoria.WriteMetadataIfNeeded(w, waiting, "gauge")
		for i, count := range []func(context.Context) (uint64, error){transport.Synchronous: c.heldForFunctions, transport.Asynchronous: c.transport.WaitingCalls} {
			if n, err := count(ctx); err == nil {
				_, _ = fmt.Fprintf(w, "%s{invocation=%q} %d\n", waiting, transport.Invocation(i), n) // who asked and went away does not matter
			}
		}
	})
}

func (c *core) heldForFunctions(ctx context.Context) (uint64, error) {
	return c.outbound.queue.OfRoutes(ctx, transport.FunctionRoute)
}

// writeFlow writes what mail flow rules and their functions did.
func writeFlow(w io.Writer, s transport.FlowStats) {
	const applied, calls, messages, seconds = "pennypost_flow_rules_applied_total", "pennypost_flow_function_calls_total", "pennypost_flow_function_messages_total", "pennypost_flow_function_seconds"
	directions := map[flow.Direction]string{flow.Inbound: "inbound", flow.Outbound: "outbound"}
	victoria.WriteMetadataIfNeeded(w, applied, "counter")
	for _, k := range slices.SortedFunc(maps.Keys(s.Applied), func(a, b transport.AppliedRule) int {
		return cmp.Or(cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Action, b.Action))
	}) {
		_, _ = fmt.Fprintf(w, "%s{action=%q,direction=%q} %d\n", applied, k.Action, directions[k.Direction], s.Applied[k]) // who asked and went away does not matter
	}
	victoria.WriteMetadataIfNeeded(w, calls, "counter")
	for i := range s.Calls {
		for o, n := range s.Calls[i] {
			_, _ = fmt.Fprintf(w, "%s{invocation=%q,outcome=%q} %d\n", calls, transport.Invocation(i), transport.CallOutcome(o), n)
		}
	}
	victoria.WriteMetadataIfNeeded(w, messages, "counter")
	for e, n := range s.Messages {
		_, _ = fmt.Fprintf(w, "%s{outcome=%q} %d\n", messages, transport.FunctionEnd(e), n)
	}
	victoria.WriteMetadataIfNeeded(w, seconds, "histogram")
	sum := uint64(0)
	for i, most := range transport.CallSeconds {
		sum += s.Took[i]
		_, _ = fmt.Fprintf(w, "%s_bucket{le=\"%g\"} %d\n", seconds, most, sum)
	}
	sum += s.Took[len(transport.CallSeconds)]
	_, _ = fmt.Fprintf(w, "%[1]s_bucket{le=\"+Inf\"} %[2]d\n%[1]s_sum %[3]g\n%[1]s_count %[2]d\n", seconds, sum, s.Seconds)
}
