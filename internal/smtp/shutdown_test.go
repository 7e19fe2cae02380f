package smtp

import (
	"context"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"
)

func TestShutdownTellsIdleClients(t *testing.T) {
	ts := serve(t, nil)
	idle, begunMail := ts.play("S: 220"), ts.play(begun)
	if err := ts.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{idle, begunMail} {
		c.play("S: 421 4.3.2 mail.test is shutting down\nEND")
	}
	if _, err := net.Dial("tcp", ts.addr); err == nil {
		t.Error("a connection was made after the shutdown")
	}
	if err := ts.Shutdown(t.Context()); err != nil {
		t.Errorf("second shutdown: %v", err)
	}
}

func TestShutdownWaitsForAMessage(t *testing.T) {
	ts := serve(t, nil)
	ts.core.inside = make(chan struct{})
	c := ts.play(begun + "C: DATA\nS: 354\nC: half")
	done := make(chan error, 1)
	go func() { done <- ts.Shutdown(context.Background()) }()
	for !ts.isDraining() {
		runtime.Gosched()
	}
	c.play("C: rest\nC: .")
	select {
	case <-done:
		t.Error("the server shut down over a message")
	case ts.core.inside <- struct{}{}:
	}
	c.play("S: 250 2.0.0\nS: 421 4.3.2\nEND")
	if err := <-done; err != nil {
		t.Error(err)
	}
	ts.wantBodies("half\r\nrest\r\n")
}

func TestShutdownGivesUpWaiting(t *testing.T) {
	ts := serve(t, nil)
	ts.core.inside = make(chan struct{})
	c := ts.play(begun + "C: DATA\nS: 354\nC: .")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := ts.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	ts.wantBodies()
	if line, err := c.in.ReadString('\n'); err == nil && line[0] == '2' {
		t.Errorf("the message was not stored, the server said %q", line)
	}
}

func TestImplicitTLS(t *testing.T) {
	ts := submission(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- ts.Serve(l, true) }()
	ts.addr = l.Addr().String()
	c := ts.dial()
	c.play("TLS\nS: 220\nC: EHLO a\nS* 250\nC: STARTTLS\nS: 503\nC: AUTH PLAIN " + annPlain + "\nS: 235\nC: QUIT\nS: 221\nEND")
	// What is no handshake gets no greeting.
	ts.play("C: EHLO a\nC: QUIT")
	if err := ts.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestServeNeedsWhatItPromises(t *testing.T) {
	ts := serve(t, func(c *Config) { c.TLS = nil })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := ts.Serve(l, true); err == nil {
		t.Error("implicit TLS was served without a certificate")
	}
}
