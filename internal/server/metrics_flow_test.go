package server

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/flow"
)

func TestFlowInMetrics(t *testing.T) {
	s := transport.FlowStats{Applied: map[transport.AppliedRule]uint64{{Direction: flow.Inbound, Action: flow.Drop}: 2, {Direction: flow.Outbound, Action: flow.RunLambda}: 3}, Seconds: 1.5}
	s.Calls[transport.Asynchronous][transport.CallHung] = 4
	s.Messages[transport.FellBack] = 5
	s.Took[0], s.Took[2], s.Took[len(s.Took)-1] = 6, 7, 8
	var b strings.Builder
	writeFlow(&b, s)
	for _, want := range []string{
		`pennypost_flow_rules_applied_total{action="DROP",direction="inbound"} 2`, `pennypost_flow_rules_applied_total{action="RUN_LAMBDA",direction="outbound"} 3`,
		`pennypost_flow_function_calls_total{invocation="asynchronous",outcome="timeout"} 4`, `pennypost_flow_function_calls_total{invocation="synchronous",outcome="answered"} 0`,
		`pennypost_flow_function_messages_total{outcome="fell_back"} 5`, `pennypost_flow_function_seconds_bucket{le="0.05"} 6`,
		`pennypost_flow_function_seconds_bucket{le="15"} 13`, `pennypost_flow_function_seconds_bucket{le="+Inf"} 21`, `pennypost_flow_function_seconds_sum 1.5`,
		`pennypost_flow_function_seconds_count 21`,
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("%s lacks %s", b.String(), want)
		}
	}
}
