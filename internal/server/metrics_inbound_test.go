package server

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/trace"
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

func TestMessagesInMetrics(t *testing.T) {
	var b strings.Builder
	writeMessages(&b, transport.Stats{Arrived: transport.Counts{Stored: 1, Refused: 2, Deferred: 3}, Submitted: transport.Counts{Stored: 4, Refused: 5, Deferred: 6}, Inbox: 7, Junk: 8, Full: 9})
	for _, want := range []string{
		`messages_total{from="servers",outcome="stored"} 1`, `messages_total{from="servers",outcome="refused"} 2`, `messages_total{from="servers",outcome="deferred"} 3`,
		`messages_total{from="users",outcome="stored"} 4`, `messages_total{from="users",outcome="refused"} 5`, `messages_total{from="users",outcome="deferred"} 6`,
		`mailbox_deliveries_total{folder="inbox"} 7`, `mailbox_deliveries_total{folder="junk"} 8`, `mailbox_full_total 9`,
	} {
		if !strings.Contains(b.String(), "pennypost_"+want+"\n") {
			t.Errorf("%s lacks %s", b.String(), want)
		}
	}
}

func TestTracesInMetrics(t *testing.T) {
	var b strings.Builder
	writeTraces(&b, trace.New(trace.Options{}))
	if want := "pennypost_trace_spans_total{outcome=\"sent\"} 0\npennypost_trace_spans_total{outcome=\"dropped\"} 0\n"; !strings.HasSuffix(b.String(), want) {
		t.Errorf("%s lacks %s", b.String(), want)
	}
}
