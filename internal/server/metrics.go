package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/web"
)

// healthTimeout is how long the store may take to answer before the server calls itself ill.
const healthTimeout = 5 * time.Second

// metrics are the figures that an operator's monitoring collects from --metrics.
type metrics struct{ set *victoria.Set }

func newMetrics(d *db.DB, version string) *metrics {
	victoria.ExposeMetadata(true) // what a counter is, and what a gauge: the library asks for all sets of the process at once
	m := &metrics{victoria.NewSet()}
	m.set.NewGauge(fmt.Sprintf(`pennypost_info{database=%q,version=%q}`, d.Engine(), version), func() float64 { return 1 })
	m.set.RegisterMetricsWriter(func(w io.Writer) { writeDatabase(w, d.Stats()) })
	return m
}

// writeDatabase writes what the database counts of itself.
func writeDatabase(w io.Writer, s db.Stats) {
	victoria.WriteCounterUint64(w, "pennypost_database_commits_total", s.Commits)
	victoria.WriteCounterUint64(w, "pennypost_database_reads_total", s.Reads)
	const writes = "pennypost_database_writes_total"
	victoria.WriteMetadataIfNeeded(w, writes, "counter")
	_, _ = fmt.Fprintf(w, "%[1]s{outcome=\"abandoned\"} %[2]d\n%[1]s{outcome=\"committed\"} %[3]d\n%[1]s{outcome=\"refused\"} %[4]d\n",
		writes, s.Abandoned, s.Functions, s.Refused) // who asked and went away does not matter
}

// handler serves /healthz and /metrics.
func (m *metrics) handler(d *db.DB) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		m.set.WritePrometheus(w)
		victoria.WriteProcessMetrics(w)
		victoria.WriteFDMetrics(w)
	})
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
func (m *metrics) count(name string, l net.Listener, log *slog.Logger) net.Listener {
	label := fmt.Sprintf(`{listener=%q}`, name)
	return &countedListener{
		l, log, m.set.GetOrCreateCounter("pennypost_connections_accepted_total" + label),
		m.set.GetOrCreateGauge("pennypost_connections"+label, nil),
	}
}

// countRequests counts h's answers by status.
func (m *metrics) countRequests(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &countedAnswer{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(c, r)
		m.set.GetOrCreateCounter(fmt.Sprintf(`pennypost_http_requests_total{code="%d"}`, c.status)).Inc()
	})
}

// countPages counts the answers of the pages for people, by page and status.
func (m *metrics) countPages(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &countedAnswer{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(c, r)
		page := "sign-in" // and what is below it
		switch {
		case r.URL.Path == web.PasswordPath:
			page = "set-password"
		case web.ServesFile(r):
			page = "domain-file"
		}
		m.set.GetOrCreateCounter(fmt.Sprintf(`pennypost_page_requests_total{code="%d",page=%q}`, c.status, page)).Inc()
	})
}

// countedAnswer remembers its status.
type countedAnswer struct {
	http.ResponseWriter
	status int
}

func (c *countedAnswer) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (c *countedAnswer) Unwrap() http.ResponseWriter { return c.ResponseWriter }

type countedListener struct {
	net.Listener
	log      *slog.Logger
	accepted *victoria.Counter
	open     *victoria.Gauge
}

// Accept waits out what passes: a client that was gone before it was accepted, or too many open files. A face ends only when
// its listener is closed.
func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	for wait := time.Millisecond; err != nil; wait = min(2*wait, time.Second) {
		if !passing(err) {
			return nil, err
		}
		l.log.Error("a connection can't be accepted", "listener", l.Addr().String(), "error", err, "again_in", wait)
		time.Sleep(wait)
		c, err = l.Listener.Accept()
	}
	l.accepted.Inc()
	l.open.Inc()
	return &countedConn{Conn: c, gone: sync.OnceFunc(l.open.Dec)}, nil
}

// passing reports whether an error of accept says nothing about the listener itself, but of a connection, the network or the
// machine (accept(2)).
func passing(err error) bool {
	var number syscall.Errno
	return errors.As(err, &number) && !slices.Contains([]syscall.Errno{syscall.EBADF, syscall.EINVAL, syscall.ENOTSOCK}, number)
}

type countedConn struct {
	net.Conn
	gone func()
}

func (c *countedConn) Close() error {
	c.gone()
	return c.Conn.Close()
}
