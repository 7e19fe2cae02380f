package courier

import (
	"context"
	"errors"
	"net"
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
		if kind, _ := ask("gone"); kind != fault.NotFound {
			t.Errorf("who is not there: %v", kind)
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

// waiting dials nobody, once it is told to.
type waiting struct{ until chan struct{} }

func (w waiting) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	select {
	case <-w.until:
	case <-ctx.Done():
	}
	return nil, errors.New("nobody")
}
