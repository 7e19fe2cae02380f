package server

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipe is a listener with one connection, which heeds the time of a bubble.
type pipe struct {
	conns chan net.Conn
	ended chan struct{}
}

func (p pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p pipe) Close() error {
	close(p.ended)
	return nil
}

func (pipe) Addr() net.Addr { return &net.UnixAddr{} }

// TestVerbsTakeTheirTime lets a verb work for longer than the server gives a request.
func TestVerbsTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = time.Second
		l := pipe{make(chan net.Conn, 1), make(chan struct{})}
		here, there := net.Pipe()
		l.conns <- there
		s := &http.Server{ReadTimeout: bound, WriteTimeout: bound, Handler: controlHandler(map[string]verb{
			"slow": typed(func(context.Context, nothing) (string, error) {
				<-time.After(5 * bound)
				return "done", nil
			}),
		}, quiet)}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return here, nil }}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://control/slow", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatalf("a verb that takes longer than a request: %v", err)
		}
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s", response.Status)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		client.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
}
