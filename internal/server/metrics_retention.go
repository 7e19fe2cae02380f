package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/organization"
)

// retentionCollector shows what retention policies did since the start.
type retentionCollector struct {
	organizations *organization.Service
	mailboxes     *mailbox.Store
}

var (
	retentionRunsDesc = prometheus.NewDesc("pennypost_retention_runs_total",
		"Runs of retention over an organization, by outcome; one whose policy was changed is stopped.", []string{"outcome"}, nil)
	retentionMailboxesDesc = prometheus.NewDesc("pennypost_retention_mailboxes_total", "Mailboxes that retention looked at.", nil, nil)
	retentionItemsDesc     = prometheus.NewDesc("pennypost_retention_items_total",
		"Items that retention made recoverable (delete) or removed (permanently_delete), and recoverable ones whose time was over (expire).",
		[]string{"action"}, nil)
)

// Describe implements prometheus.Collector.
func (retentionCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- retentionRunsDesc
	ch <- retentionMailboxesDesc
	ch <- retentionItemsDesc
}

// Collect implements prometheus.Collector.
func (c retentionCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.organizations.Retention()
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	counter(retentionRunsDesc, s.Finished, "finished")
	counter(retentionRunsDesc, s.Stopped, "stopped")
	counter(retentionMailboxesDesc, s.Mailboxes)
	counter(retentionItemsDesc, s.Recoverable, "delete")
	counter(retentionItemsDesc, s.Removed, "permanently_delete")
	counter(retentionItemsDesc, c.mailboxes.Expired(), "expire")
}
