package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// The bounds of one HTTP connection: who is slower or bigger is cut off.
const (
	headerTimeout  = 10 * time.Second
	requestTimeout = time.Minute
	answerTimeout  = 2 * time.Minute // as requestTimeout from the headers on, and longer, so that a slow body is told of its end
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// serveHTTP serves until ctx ends, then lets requests that run finish within stopTimeout. A nil tlsConfig is plain HTTP.
func serveHTTP(ctx context.Context, l net.Listener, tlsConfig *tls.Config, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler:           h,
		ConnContext:       withPeer,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // broken handshakes and the like: noise from outside
	}
	if tlsConfig == nil { // HTTP/2 is for TLS alone, and need not be made ready
		s.Protocols = new(http.Protocols)
		s.Protocols.SetHTTP1(true)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err := s.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = s.Close()
		}
		stopped <- err
	}()
	var err error
	if tlsConfig != nil {
		err = s.ServeTLS(l, "", "")
	} else {
		err = s.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return <-stopped
	}
	end() // the listener broke
	return errors.Join(err, <-stopped)
}
