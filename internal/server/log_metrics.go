package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pennypost/pennypost/internal/audit"
)

// logCollector tells the states of the log groups.
type logCollector struct{ log *audit.Log }

func logDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"log_group"}, nil)
}

// Describe sends nothing: which log groups there are, the configuration says.
func (c logCollector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the figures.
func (c logCollector) Collect(ch chan<- prometheus.Metric) {
	for _, g := range c.log.Groups() {
		ch <- prometheus.MustNewConstMetric(logDesc("pennypost_log_group_waiting_bytes", "Bytes of records that wait for a log group."),
			prometheus.GaugeValue, float64(g.Waiting), g.Name)
		ch <- prometheus.MustNewConstMetric(logDesc("pennypost_log_group_sent_total", "Records that a log group took."),
			prometheus.CounterValue, float64(g.Sent), g.Name)
		ch <- prometheus.MustNewConstMetric(logDesc("pennypost_log_group_lost_total", "Records that were dropped: too many waited, or the log group refused them."),
			prometheus.CounterValue, float64(g.Lost), g.Name)
	}
}
