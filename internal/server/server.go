package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/config"
	certs "github.com/pennypost/pennypost/internal/tls"
	"github.com/pennypost/pennypost/internal/transport/gate"
)

// stopTimeout is how long requests and sessions may take to end once the server stops.
const stopTimeout = 10 * time.Second

// Options are what a server is told beside its settings.
type Options struct {
	// Memory makes a server that keeps nothing: the ordinary engine in a temporary directory, without syncs. Only what
	// pennypost env reads lies in the configuration's Data, if Data is set.
	Memory  bool
	Version string
	Log     *slog.Logger
}

// Server is a Pennypost with its store open and its addresses taken. Run serves and then closes it.
type Server struct {
	config  *config.Config
	log     *slog.Logger
	options Options

	lock      *lock
	temporary []string // directories to remove at the end
	store     string   // where the store lies
	core      *core
	certs     *certs.Source
	listeners map[string]net.Listener
	control   net.Listener
	metrics   *metrics
	faces     faces
	first     bool
	ready     atomic.Bool
}

// New opens the store, takes the addresses and wires the server together. Where it fails nothing stays open. The caller
// must Run the server.
func New(ctx context.Context, c *config.Config, o Options) (_ *Server, err error) {
	if o.Memory && (c.DatabaseURL != "" || c.BlobURL != "") {
		return nil, errors.New("a server that keeps nothing (--memory) has its own store: leave out database_url and blob_url")
	}
	if o.Memory && len(c.ACME) > 0 {
		return nil, errors.New("a server that keeps nothing (--memory) would order its certificates anew at each start: leave out acme")
	}
	s := &Server{config: c, log: o.Log, options: o, store: c.Data}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if o.Memory {
		err = s.takeTemporaryDir()
	} else {
		err = s.takeDir()
	}
	if err != nil {
		return nil, err
	}
	// The addresses come first: a taken port is the likeliest mistake, and is found before anything is made.
	if s.listeners, err = listen(ctx, c); err != nil {
		return nil, err
	}
	if s.certs, err = certs.New(certs.Options{
		CertFile: c.TLSCert, KeyFile: c.TLSKey, Dir: filepath.Join(c.Data, "tls"), Hostname: c.Hostname,
		Clock: clock.System{}, Log: o.Log,
	}); err != nil {
		return nil, err
	}
	if s.core, err = openCore(ctx, c, s.store, !o.Memory, o.Log); err != nil {
		return nil, err
	}
	if s.core.acme != nil {
		if err = s.core.certificates.Load(ctx); err != nil {
			return nil, err
		}
		if s.certs.Use(s.core.certificates); s.certs.CAFile() != "" {
			o.Log.Warn("the CA has issued no certificate yet: until then the development certificate answers", "names", c.ACME)
		}
	}
	s.core.traces = traces(c, o.Version, s.core.clock, o.Log)
	s.core.transport.Traces = s.core.traces
	// A server that keeps nothing meets an admin.key only where one before it was killed.
	if s.first, err = s.core.firstKey(ctx, c.Data, o.Memory); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(s.core.db, o.Version)
	s.metrics.set.RegisterMetricsWriter(func(w io.Writer) { writeLogGroups(w, s.core.audit.Groups()) })
	s.metrics.set.RegisterMetricsWriter(func(w io.Writer) { writeMirrors(w, s.core.organizations.Mirrors()) })
	s.metrics.countRetention(s.core.organizations, s.core.mailboxes)
	s.metrics.set.RegisterMetricsWriter(func(w io.Writer) { writeInbound(w, s.core.mailauth.Stats(), s.core.transport.Stats()) })
	s.metrics.set.RegisterMetricsWriter(func(w io.Writer) { writeRules(w, s.core.transport.RuleStats()) })
	s.metrics.set.RegisterMetricsWriter(func(w io.Writer) { writeMessages(w, s.core.transport.Stats()) })
	s.metrics.set.RegisterMetricsWriter(func(w io.Writer) { writeHygiene(w, s.core.spam.Stats(), s.core.scanner.Stats()) })
	s.metrics.countSigning(s.core.signing)
	s.metrics.set.RegisterMetricsWriter(s.writeCertificates)
	s.metrics.countFlow(s.core)
	s.metrics.set.RegisterMetricsWriter(func(w io.Writer) { writeReports(w, s.core.reports.Stats()) })
	s.metrics.set.RegisterMetricsWriter(func(w io.Writer) {
		writeGates(w, map[string]gate.Stats{"smtp": s.core.strangers.Stats(), "submission": s.core.users.Stats()}, s.core.greylist.Stats())
	})
	if s.core.traces != nil {
		s.metrics.set.RegisterMetricsWriter(func(w io.Writer) { writeTraces(w, s.core.traces) })
	}
	if s.core.ses.On() {
		s.metrics.set.RegisterMetricsWriter(func(w io.Writer) { writeSES(w, s.core.ses.Stats()) })
	}
	if o := s.core.outbound; o.courier != nil {
		s.metrics.set.RegisterMetricsWriter(func(w io.Writer) { writeOutbound(w, o.queue.Stats(), o.courier.Stats()) })
	}
	if s.faces, err = s.newFaces(); err != nil {
		return nil, err
	}
	if s.control, err = listenControl(ctx, c.Data); err != nil {
		return nil, err
	}
	return s, nil
}

// takeDir makes the data directory if need be, and locks it.
func (s *Server) takeDir() (err error) {
	if err := os.MkdirAll(s.config.Data, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	s.lock, err = lockDir(s.config.Data)
	if errors.Is(err, ErrHeld) {
		return fmt.Errorf("%w: stop it, or give this server another directory with --data", err)
	}
	return err
}

// takeTemporaryDir makes a private directory for the store, and one for what env reads where none is named.
func (s *Server) takeTemporaryDir() error {
	dir, err := os.MkdirTemp("", "pennypost-")
	if err != nil {
		return fmt.Errorf("temporary directory: %w", err)
	}
	s.temporary, s.store = append(s.temporary, dir), dir
	if s.config.Data == "" {
		s.config.Data = dir
	}
	// A server that keeps its database, key and bodies elsewhere still has its spool here.
	for _, name := range []string{"pennypost.db", "secret.key", spoolName} {
		path := filepath.Join(s.config.Data, name)
		if _, err := os.Stat(path); err == nil {
			return fmt.Errorf("%s exists: a server that keeps nothing must not work in the directory of one that does; "+
				"give --memory another --data, or none", path)
		}
	}
	return s.takeDir()
}

// FirstStart reports whether this server made the administrator's access key.
func (s *Server) FirstStart() bool { return s.first }

// Run serves until ctx ends or a part breaks, then stops cleanly and closes the server. ready is called once all listeners
// accept. The faces stop first, and what they stand on after them.
func (s *Server) Run(ctx context.Context, ready func()) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	ctx, stopFaces := context.WithCancel(ctx)
	defer stopFaces()
	below, stopBelow := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBelow()

	core := parts{new(errgroup.Group)}
	core.Go(func() error {
		defer stopFaces() // without the core no face is of use
		return s.core.run(below)
	})
	faces, ctx := newParts(ctx)
	s.serve(ctx, faces)
	s.ready.Store(true)
	ready()
	err = faces.Wait()
	stopBelow()
	return errors.Join(err, core.Wait())
}

// close ends what is open, in the reverse order of its making. It may be called on a server that New did not finish.
func (s *Server) close() error {
	var errs []error
	if s.control != nil {
		_ = s.control.Close() // serveHTTP has closed it where it ran
		errs = append(errs, removeSocket(s.config.Data))
	}
	closeAll(s.listeners)
	if s.core != nil {
		errs = append(errs, s.core.close())
	}
	if s.options.Memory && s.lock != nil {
		if err := os.Remove(filepath.Join(s.config.Data, adminKeyName)); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		if s.certs != nil {
			errs = append(errs, s.certs.RemoveDevelopment())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.release())
	}
	for _, dir := range s.temporary {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}
