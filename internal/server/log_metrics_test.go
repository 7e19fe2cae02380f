package server

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/audit"
)

func TestFiguresOfLogGroups(t *testing.T) {
	var b strings.Builder
	writeLogGroups(&b, []audit.GroupState{{Name: "arn:a", Waiting: 1, Sent: 2, Lost: 3}})
	for _, want := range []string{
		"pennypost_log_group_waiting_bytes{log_group=\"arn:a\"} 1\n", "pennypost_log_group_sent_total{log_group=\"arn:a\"} 2\n",
		"pennypost_log_group_lost_total{log_group=\"arn:a\"} 3\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q lacks %q", b.String(), want)
		}
	}
}
