package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
)

// TestABodyThatDoesNotArriveIsAnswered holds a body back: the handler's refusal must still reach the client.
func TestABodyThatDoesNotArriveIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		in := &pipes{peer: &net.TCPAddr{}, come: make(chan net.Conn), closed: make(chan struct{})}
		served := make(chan error, 1)
		go func() {
			served <- serveHTTP(ctx, in, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.ReadAll(r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the body ended with %v", err)
				}
				w.WriteHeader(http.StatusRequestTimeout)
			}), quiet)
		}()
		client := in.dial()
		if _, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Error(err)
		} else if answer.StatusCode != http.StatusRequestTimeout {
			t.Errorf("the answer is %s", answer.Status)
		}
		_ = client.Close()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
