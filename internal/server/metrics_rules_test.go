package server

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/transport"
)

func TestRulesInMetrics(t *testing.T) {
	var b strings.Builder
	writeRules(&b, transport.RuleStats{Failed: 3, Vacations: 2})
	for _, want := range []string{`pennypost_mailbox_rules_total{outcome="failed"} 3`, `pennypost_automatic_replies_total{by="script"} 2`} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("%s lacks %s", b.String(), want)
		}
	}
}
