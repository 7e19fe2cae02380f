package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pennypost/pennypost/internal/db"
)

// databaseCollector shows what the database counts of itself.
type databaseCollector struct{ db *db.DB }

var (
	commitsDesc = prometheus.NewDesc("pennypost_database_commits_total",
		"Transactions committed; on SQLite one per group of write functions.", nil, nil)
	functionsDesc = prometheus.NewDesc("pennypost_database_writes_total",
		"Write functions by outcome; abandoned ones were run again or answered as a temporary failure.", []string{"outcome"}, nil)
	readsDesc = prometheus.NewDesc("pennypost_database_reads_total", "Read snapshots.", nil, nil)
)

// Describe implements prometheus.Collector.
func (databaseCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- commitsDesc
	ch <- functionsDesc
	ch <- readsDesc
}

// Collect implements prometheus.Collector.
func (c databaseCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.db.Stats()
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	counter(commitsDesc, s.Commits)
	counter(functionsDesc, s.Functions, "committed")
	counter(functionsDesc, s.Refused, "refused")
	counter(functionsDesc, s.Abandoned, "abandoned")
	counter(readsDesc, s.Reads)
}
