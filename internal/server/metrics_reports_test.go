package server

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/transport/intake"
)

func TestReportsInMetrics(t *testing.T) {
	var b strings.Builder
	writeReports(&b, intake.Stats{Kept: 1, Duplicate: 2, Unreadable: 3, Foreign: 4, Excess: 5})
	for _, want := range []string{
		`{outcome="kept"} 1`, `{outcome="duplicate"} 2`, `{outcome="unreadable"} 3`, `{outcome="foreign"} 4`, `{outcome="excess"} 5`,
	} {
		if !strings.Contains(b.String(), "pennypost_reports_received_total"+want+"\n") {
			t.Errorf("%s lacks %s", b.String(), want)
		}
	}
}
