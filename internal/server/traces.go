package server

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/trace"
)

// traces is what tells a collector of the way of messages; nil where none is named. The collector is the operator's own choice, wherever it is.
func traces(settings *config.Config, version string, c clock.Clock, log *slog.Logger) *trace.Tracer {
	to := settings.Collector
	if to.URL == "" {
		return nil
	}
	return trace.New(trace.Options{
		URL: to.URL, Headers: to.Headers, Client: &http.Client{Transport: http.DefaultTransport}, Clock: c, Log: log,
		Service: to.Service, Version: version, Host: settings.Hostname,
	})
}

// writeTraces writes what became of spans since the start.
func writeTraces(w io.Writer, t *trace.Tracer) {
	const spans = "pennypost_trace_spans_total"
	sent, dropped := t.Stats()
	victoria.WriteMetadataIfNeeded(w, spans, "counter")
	_, _ = fmt.Fprintf(w, "%s{outcome=\"sent\"} %d\n%s{outcome=\"dropped\"} %d\n", spans, sent, spans, dropped) // who asked and went away does not matter
}
