package server

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/transport/gate"
)

func TestGatesInMetrics(t *testing.T) {
	var b strings.Builder
	writeGates(&b, map[string]gate.Stats{
		"smtp": {
			Refused: map[string]uint64{"connects": 2}, Delayed: 3, Clients: 4, Tarpitted: 5,
			Lists: []gate.ListStats{{Zone: "bl.example", Listed: 6, Passed: 7, Failed: 8}},
		},
		"submission": {Refused: map[string]uint64{"messages": 9}},
	}, gate.GreylistStats{Deferred: 10, Returned: 11, Vouched: 12})
	for _, want := range []string{
		`pennypost_gate_refused_total{listener="smtp",reason="connects"} 2`, `pennypost_gate_refused_total{listener="submission",reason="messages"} 9`,
		`pennypost_gate_delayed_total{listener="smtp"} 3`, `pennypost_gate_clients{listener="smtp"} 4`, `pennypost_gate_tarpitted{listener="smtp"} 5`,
		`pennypost_gate_dns_lists_total{list="bl.example",result="listed"} 6`, `pennypost_gate_dns_lists_total{list="bl.example",result="passed"} 7`,
		`pennypost_gate_dns_lists_total{list="bl.example",result="failed"} 8`, `pennypost_greylist_total{outcome="deferred"} 10`,
		`pennypost_greylist_total{outcome="returned"} 11`, `pennypost_greylist_total{outcome="vouched"} 12`,
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("%s lacks %s", b.String(), want)
		}
	}
}
