package server

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/transport/scan"
	"github.com/pennypost/pennypost/internal/transport/spam"
)

func TestHygieneInMetrics(t *testing.T) {
	var b strings.Builder
	writeHygiene(&b, spam.Stats{Spam: 1, Gray: 2, Pass: 3, Failed: 4, Refused: 5, Deferred: 6, FilterFailures: 7, LearnedSpam: 8, LearnedHam: 9, Presumed: 10},
		scan.Stats{Clean: 11, Infected: 12, Unscanned: 13, Blocked: 14})
	for _, want := range []string{
		`pennypost_spam_messages_total{verdict="fail"} 1`, `pennypost_spam_messages_total{verdict="gray"} 2`, `pennypost_spam_messages_total{verdict="pass"} 3`,
		`pennypost_spam_messages_total{verdict="processing_failed"} 4`, `pennypost_spam_messages_total{verdict="refused"} 5`,
		`pennypost_spam_messages_total{verdict="deferred"} 6`, `pennypost_spam_filter_failures_total 7`, `pennypost_spam_learned_total{as="spam"} 8`,
		`pennypost_spam_learned_total{as="ham"} 9`, `pennypost_spam_learned_total{as="presumed_ham"} 10`, `pennypost_scanned_messages_total{result="clean"} 11`,
		`pennypost_scanned_messages_total{result="infected"} 12`, `pennypost_scanned_messages_total{result="unscanned"} 13`,
		`pennypost_scanned_messages_total{result="blocked_attachment"} 14`,
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("%s lacks %s", b.String(), want)
		}
	}
}
