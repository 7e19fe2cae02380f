package server

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

func TestInboundInMetrics(t *testing.T) {
	var b strings.Builder
	writeInbound(&b, []mailauth.Count{{Method: "spf", Result: dkim.Pass, N: 3}}, transport.Stats{Refused: 1, Dropped: 2, Quarantined: 4, Journaled: 5, JournalsSent: 6, JournalsFailed: 7})
	for _, want := range []string{
		`pennypost_inbound_authentication_total{method="spf",result="pass"} 3`, `pennypost_inbound_dmarc_enforced_total{action="refused"} 1`,
		`pennypost_inbound_dmarc_enforced_total{action="dropped"} 2`, `pennypost_inbound_dmarc_enforced_total{action="quarantined"} 4`,
		`pennypost_journal_reports_total{event="queued"} 5`, `pennypost_journal_reports_total{event="delivered"} 6`, `pennypost_journal_reports_total{event="failed"} 7`,
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("%s lacks %s", b.String(), want)
		}
	}
}
