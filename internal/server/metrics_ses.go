package server

import (
	"fmt"
	"io"
	"maps"
	"slices"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/transport/ses"
)

// writeSES writes what became of mail that Amazon SES put into buckets since the start.
func writeSES(w io.Writer, s ses.Stats) {
	const objects, notifications, failures = "pennypost_ses_objects_total", "pennypost_ses_notifications_total", "pennypost_ses_failures_total"
	victoria.WriteMetadataIfNeeded(w, objects, "counter")
	for _, r := range []struct {
		outcome string
		n       uint64
	}{{"found", s.Found}, {"delivered", s.Delivered}, {"gone", s.Gone}} {
		_, _ = fmt.Fprintf(w, "%s{outcome=%q} %d\n", objects, r.outcome, r.n) // who asked and went away does not matter
	}
	for _, reason := range slices.Sorted(maps.Keys(s.Aside)) {
		_, _ = fmt.Fprintf(w, "%s{outcome=\"aside\",reason=%q} %d\n", objects, reason, s.Aside[reason])
	}
	victoria.WriteMetadataIfNeeded(w, notifications, "counter")
	_, _ = fmt.Fprintf(w, "%s{outcome=\"taken\"} %d\n%s{outcome=\"ignored\"} %d\n", notifications, s.Notified, notifications, s.Ignored)
	victoria.WriteMetadataIfNeeded(w, failures, "counter")
	_, _ = fmt.Fprintf(w, "%s{of=\"bucket\"} %d\n%s{of=\"queue\"} %d\n", failures, s.BucketFailures, failures, s.QueueFailures)
	victoria.WriteCounterUint64(w, "pennypost_ses_recipients_unable_total", s.Unable)
}
