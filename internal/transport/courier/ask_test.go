package courier

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
)

func asking(local string) message.Address { return message.Address{Local: local, Domain: "a.test"} }

// TestAsk asks a gateway whom it knows, once, over one connection.
func TestAsk(t *testing.T) {
	const offer = "C= MAIL FROM:<>\nS: 250 2.1.0 ok\nC= RCPT TO:"
	w := gateway(t, relay, "relay.test", startTLS+relayTLS+signIn+
		offer+"<here@a.test>\nS: 250 2.1.5 ok\nC= RSET\nS: 250 ok\n"+
		offer+"<gone@a.test>\nS: 550 5.1.1 who?\nC= RSET\nS: 250 ok\n"+
		offer+"<moved@a.test>\nS: 550 5.4.1 Recipient address rejected: Access denied\nC= RSET\nS: 250 ok\n"+
		offer+"<later@a.test>\nS: 451 4.7.1 greylisted\nC= RSET\nS: 250 ok\n"+
		offer+"<blocked@a.test>\nS: 550 5.7.1 you are listed\nC= RSET\nS: 250 ok\n"+
		"C= MAIL FROM:<>\nS: 501 Invalid MAIL FROM address provided\n"+
		quit)
	ask := func(local string) (fault.Kind, bool) {
		err := w.courier.Ask(t.Context(), "relay", asking(local), false)
		if err != nil && fault.As(err).Subject != fault.Address {
			t.Errorf("%s: %v", local, err)
		}
		return fault.KindOf(err), err == nil
	}
	for range 2 { // what is known is not asked again
		if _, ok := ask("here"); !ok {
			t.Error("who is there is not taken")
		}
		for _, local := range []string{"gone", "moved"} {
			if kind, _ := ask(local); kind != fault.NotFound {
				t.Errorf("%s, who is not there: %v", local, kind)
			}
		}
	}
	for _, local := range []string{"later", "blocked", "odd"} {
		if kind, ok := ask(local); ok || kind != fault.Temporary {
			t.Errorf("%s: %v", local, kind)
		}
	}
	w.courier.pool.dropAll()
	w.listeners = nil
	if _, known := ask("nowhere"); known {
		t.Error("a gateway that is away knows somebody")
	}
	if kind := fault.KindOf(w.courier.Ask(t.Context(), "no such", asking("here"), false)); kind != fault.Temporary {
		t.Errorf("a gateway that is not set up: %v", kind)
	}
}

// TestWhoAsksBack is not held up: the gateway may ask us for the address before it answers, and others wait for that.
func TestWhoAsksBack(t *testing.T) {
	answer := make(chan struct{})
	w := newWorld(t, func(o *Options) {
		o.Gateways = map[string]Gateway{"relay": {Host: "localhost", Port: 25, Security: Cleartext, Dialer: waiting{answer}}}
	})
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- w.courier.Ask(t.Context(), "relay", asking("x"), false) }()
	for open := false; !open; {
		w.courier.asked.mu.Lock()
		open = len(w.courier.asked.open) == 1
		w.courier.asked.mu.Unlock()
	}
	if kind := fault.KindOf(w.courier.Ask(t.Context(), "relay", asking("x"), true)); kind != fault.Temporary {
		t.Errorf("who asks back hears %v", kind)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { second <- w.courier.Ask(ctx, "relay", asking("x"), false) }()
	close(answer)
	for _, c := range []chan error{first, second} {
		if err := <-c; fault.KindOf(err) != fault.Temporary {
			t.Errorf("after all %v", err)
		}
	}
}

// TestManyQuestions come to a gateway that does not answer a few at a time, and one for all who ask the same.
func TestManyQuestions(t *testing.T) {
	var dialed atomic.Int64
	answer := make(chan struct{})
	w := newWorld(t, func(o *Options) {
		o.Gateways = map[string]Gateway{"relay": {Host: "localhost", Port: 25, Security: Cleartext, Dialer: counting{waiting{answer}, &dialed}}}
	})
	const each, different = 3, 3 * maxAsking
	done := make(chan error, each*different)
	for i := range each * different {
		go func() { done <- w.courier.Ask(t.Context(), "relay", asking(fmt.Sprint("x", i%different)), false) }()
	}
	asked := &w.courier.asked
	for full := false; !full; {
		asked.mu.Lock()
		full = len(asked.open) == different
		asked.mu.Unlock()
	}
	for dialed.Load() < maxAsking {
		runtime.Gosched()
	}
	if kind := fault.KindOf(w.courier.Ask(t.Context(), "relay", asking("probe"), true)); kind != fault.Temporary {
		t.Errorf("who probes hears %v", kind)
	}
	if n := dialed.Load(); n != maxAsking {
		t.Errorf("%d connections at once", n)
	}
	close(answer)
	for range each * different {
		if err := <-done; fault.KindOf(err) != fault.Temporary {
			t.Error(err)
		}
	}
	if n := dialed.Load(); n != different {
		t.Errorf("%d connections in all", n)
	}
	w.clock.Advance(unsureFor)
	if _ = w.courier.Ask(t.Context(), "relay", asking("x1"), false); dialed.Load() != different+1 {
		t.Error("it is not asked again")
	}
}

type counting struct {
	waiting
	n *atomic.Int64
}

func (c counting) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c.n.Add(1)
	return c.waiting.DialContext(ctx, network, address)
}

// waiting dials nobody, once it is told to.
type waiting struct{ until chan struct{} }

func (w waiting) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	select {
	case <-w.until:
	case <-ctx.Done():
	}
	return nil, errors.New("nobody")
}
