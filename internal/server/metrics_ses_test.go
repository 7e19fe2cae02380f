package server

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/transport/ses"
)

func TestSESInMetrics(t *testing.T) {
	var b strings.Builder
	writeSES(&b, ses.Stats{Found: 1, Delivered: 2, Gone: 3, Aside: map[string]uint64{"nobody": 4}, Unable: 5, Notified: 6, Ignored: 7, BucketFailures: 8, QueueFailures: 9})
	for _, want := range []string{
		`objects_total{outcome="found"} 1`, `objects_total{outcome="delivered"} 2`, `objects_total{outcome="gone"} 3`, `objects_total{outcome="aside",reason="nobody"} 4`,
		`recipients_unable_total 5`, `notifications_total{outcome="taken"} 6`, `notifications_total{outcome="ignored"} 7`, `failures_total{of="bucket"} 8`, `failures_total{of="queue"} 9`,
	} {
		if !strings.Contains(b.String(), "pennypost_ses_"+want+"\n") {
			t.Errorf("%s lacks %s", b.String(), want)
		}
	}
}
