package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pennypost/pennypost/internal/db"
)

// healthTimeout is how long the store may take to answer before the server calls itself ill.
const healthTimeout = 5 * time.Second

// metrics are the figures that an operator's monitoring collects from --metrics.
type metrics struct {
	registry    *prometheus.Registry
	accepted    *prometheus.CounterVec
	connections *prometheus.GaugeVec
	requests    *prometheus.CounterVec
}

func newMetrics(d *db.DB, version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		accepted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pennypost_connections_accepted_total", Help: "Connections accepted, by listener.",
		}, []string{"listener"}),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pennypost_connections", Help: "Connections open now, by listener.",
		}, []string{"listener"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pennypost_http_requests_total", Help: "HTTP requests answered, by status.",
		}, []string{"code"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pennypost_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "database": string(d.Engine())},
	})
	info.Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.accepted, m.connections, m.requests, info, databaseCollector{d})
	return m
}

// handler serves /healthz and /metrics.
func (m *metrics) handler(d *db.DB) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
		defer cancel()
		err := d.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			var one int
			return tx.QueryRow(ctx, `SELECT 1`).Scan(&one)
		})
		if err != nil {
			http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok") // who asked and went away does not matter
	})
	return mux
}

// count counts the listener's connections.
func (m *metrics) count(name string, l net.Listener) net.Listener {
	return &countedListener{l, m.accepted.WithLabelValues(name), m.connections.WithLabelValues(name)}
}

// countRequests counts h's answers by status.
func (m *metrics) countRequests(h http.Handler) http.Handler {
	return promhttp.InstrumentHandlerCounter(m.requests, h)
}

type countedListener struct {
	net.Listener
	accepted prometheus.Counter
	open     prometheus.Gauge
}

// Accept waits out what passes: a client that was gone before it was accepted, or too many open files. A face ends only when
// its listener is closed.
func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	for wait := time.Millisecond; err != nil; wait = min(2*wait, time.Second) {
		if !passing(err) {
			return nil, err
		}
		time.Sleep(wait)
		c, err = l.Listener.Accept()
	}
	l.accepted.Inc()
	l.open.Inc()
	return &countedConn{Conn: c, gone: sync.OnceFunc(l.open.Dec)}, nil
}

// passing reports whether an error of accept says nothing about the listener itself (accept(2)).
func passing(err error) bool {
	var number syscall.Errno
	return errors.As(err, &number) && slices.Contains([]syscall.Errno{
		syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
	}, number)
}

type countedConn struct {
	net.Conn
	gone func()
}

func (c *countedConn) Close() error {
	c.gone()
	return c.Conn.Close()
}
