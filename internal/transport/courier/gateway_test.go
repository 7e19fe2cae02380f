package courier

import (
	"context"
	"errors"
	"testing"

	"github.com/pennypost/pennypost/internal/smtpclient/smtptest"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

const signIn = "C= AUTH PLAIN AGFubgBzZWNyZXQ=\nS: 235 2.7.0 welcome\n"

// through delivers a message by the gateway "relay".
func (w *world) through() queue.Outcome {
	m := newMessage("one")
	m.Recipients[0].Route = "relay"
	return w.courier.Deliver(w.t.Context(), queue.Destination{Route: "relay"}, m)[0]
}

// gateway makes a world with one gateway, ann's.
func gateway(t *testing.T, g Gateway, certificate string, scripts ...string) *world {
	a := smtptest.NewAuthority(t)
	w := newWorld(t, func(o *Options) { o.Roots, o.Gateways = a.Pool, map[string]Gateway{"relay": g} })
	s := smtptest.Serve(t, a.Server(false, certificate), scripts...)
	t.Cleanup(w.courier.Close)
	w.listeners[joinPort(g.Host, g.Port)] = s.Addr
	return w
}

var relay = Gateway{Host: "relay.test", Port: 587, Username: "ann", Secret: "secret"}

const relayTLS = "TLS\nC= EHLO out.test\nS: 250-relay.test\nS: 250-8BITMIME\nS: 250-AUTH PLAIN\nS: 250 PIPELINING\n"

func TestGatewayWithSTARTTLS(t *testing.T) {
	w := gateway(t, relay, "relay.test", startTLS+relayTLS+signIn+accepts+again+quit)
	for range 2 { // the second over the same connection
		want(t, w.through(), queue.Delivered, "2.0.0", "relay.test", "TLSv1.3 verified", false, "taken")
	}
	w.wantReports()
}

func TestGatewayWithImplicitTLS(t *testing.T) {
	g := relay
	g.Security, g.Port = ImplicitTLS, 465
	w := gateway(t, g, "relay.test", "TLS\n"+hello+"S: 250-x\nS: 250-8BITMIME\nS: 250-AUTH PLAIN\nS: 250 PIPELINING\n"+signIn+accepts+quit)
	want(t, w.through(), queue.Delivered, "2.0.0", "relay.test", "TLSv1.3 verified", false, "taken")
}

func TestGatewayByItsAddress(t *testing.T) {
	g := relay
	g.Host = "192.0.2.9"
	w := gateway(t, g, "192.0.2.9", startTLS+relayTLS+signIn+accepts+quit)
	want(t, w.through(), queue.Delivered, "2.0.0", "192.0.2.9", "TLSv1.3 verified", false, "taken")
}

func TestGatewayInTheClearOnLoopback(t *testing.T) {
	w := gateway(t, Gateway{Host: "localhost", Port: 25, Security: Cleartext}, "", offers+accepts+quit)
	want(t, w.through(), queue.Delivered, "2.0.0", "localhost", "", false, "taken")
	m := newMessage("one")
	m.RequireTLS = true
	o := w.courier.Deliver(t.Context(), queue.Destination{Route: "relay"}, m)[0]
	want(t, o, queue.Failed, "5.7.30", "", "", false, "requires TLS")
}

// What is wrong between us and a gateway waits for somebody to set it right.
func TestGatewayThatDoesNotLetUsIn(t *testing.T) {
	for name, c := range map[string]struct{ certificate, script, status, text string }{
		"554 greeting":       {"relay.test", "S: 554 5.7.1 blocked", "4.7.1", "554 5.7.1 blocked"},
		"no STARTTLS":        {"relay.test", offers + "END", "4.7.4", "STARTTLS is not offered"},
		"another name":       {"other.test", startTLS + "REFUSES", "4.7.5", "x509"},
		"the wrong password": {"relay.test", startTLS + relayTLS + "C: AUTH PLAIN\nS: 535 5.7.8 no\nEND", "4.7.8", "535 5.7.8 no"},
		"no AUTH":            {"relay.test", startTLS + underTLS + "END", "4.7.4", "no way to sign in"},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, gateway(t, relay, c.certificate, c.script).through(), queue.Deferred, c.status, "relay.test", "", true, c.text)
		})
	}
	w := gateway(t, relay, "relay.test", startTLS+relayTLS+signIn+mail+"S: 530 5.7.0 sign in first\nS: 503\nS: 503\n"+quit)
	want(t, w.through(), queue.Deferred, "4.7.0", "relay.test", "TLSv1.3 verified", false, "530")
	w = newWorld(t, func(o *Options) { o.Gateways = map[string]Gateway{"relay": relay} })
	want(t, w.through(), queue.Deferred, "4.4.1", "", "", true, "relay.test")
	w = newWorld(t, nil)
	want(t, w.through(), queue.Deferred, "4.3.5", "", "", true, "the gateway relay is not set up")
}

// What a gateway says of the message is as final as from anybody.
func TestGatewayThatRefusesAMessage(t *testing.T) {
	w := gateway(t, relay, "relay.test", startTLS+relayTLS+signIn+mail+"S: 250\nS: 250\nS: 354\nMESSAGE\nS: 554 Message rejected: Email address is not verified\n"+quit)
	want(t, w.through(), queue.Failed, "5.0.0", "relay.test", "TLSv1.3 verified", false, "not verified")
	w = gateway(t, relay, "relay.test", startTLS+relayTLS+signIn+mail+"S: 250\nS: 250\nS: 354\nMESSAGE\nS: 454 Throttling failure: Maximum sending rate exceeded.\n"+quit)
	want(t, w.through(), queue.Deferred, "4.7.0", "relay.test", "TLSv1.3 verified", false, "Throttling")
}

// The dialer that guards the server's own network stands before a gateway, unless the gateway has one of its own.
func TestGatewayInAPrivateNetwork(t *testing.T) {
	g := relay
	g.Host = "10.0.0.1"
	w := gateway(t, g, "10.0.0.1", startTLS+relayTLS+signIn+accepts+quit)
	want(t, w.through(), queue.Failed, "5.4.4", "", "", false, "10.0.0.1")
	g.Dialer = direct{w}
	w.courier.o.Gateways = map[string]Gateway{"relay": g}
	want(t, w.through(), queue.Delivered, "2.0.0", "10.0.0.1", "TLSv1.3 verified", false, "taken")
}

func TestGatewaysThatCannotBe(t *testing.T) {
	for _, g := range []Gateway{
		{},
		{Host: "relay.test"},
		{Port: 25},
		{Host: "relay.test", Port: 25, Username: "ann"},
		{Host: "relay.test", Port: 25, Secret: "x"},
		{Host: "relay.test", Port: 25, Username: "a\x00b", Secret: "x"},
		{Host: "relay.test", Port: 25, Security: 3},
		{Host: "relay.test", Port: 25, Security: Cleartext},
		{Host: "192.0.2.1", Port: 25, Security: Cleartext},
		{Host: "localhost", Port: 25, Security: Cleartext, Username: "ann", Secret: "x"},
	} {
		if _, err := New(Options{Gateways: map[string]Gateway{"g": g}}); err == nil {
			t.Errorf("%+v is a gateway", g)
		}
	}
}

// TestGatewaysThatAreLookedUp: a connection is kept for what a gateway is, and not for what it becomes.
func TestGatewaysThatAreLookedUp(t *testing.T) {
	a := smtptest.NewAuthority(t)
	g, name := &Gateway{Host: "relay.test", Port: 587, Username: "ann", Secret: "secret"}, "relay#1"
	var fails error
	w := newWorld(t, func(o *Options) {
		o.Roots = a.Pool
		o.Find = func(_ context.Context, route string) (*Gateway, string, error) {
			if route != "relay" {
				t.Errorf("asked for %s", route)
			}
			return g, name, fails
		}
	})
	one := startTLS + relayTLS + signIn + accepts
	s := smtptest.Serve(t, a.Server(false, "relay.test"), one+again+quit, one+quit)
	t.Cleanup(w.courier.Close)
	w.listeners[joinPort(g.Host, g.Port)] = s.Addr
	for range 2 {
		want(t, w.through(), queue.Delivered, "2.0.0", "relay.test", "TLSv1.3 verified", false, "taken")
	}
	name = "relay#2"
	want(t, w.through(), queue.Delivered, "2.0.0", "relay.test", "TLSv1.3 verified", false, "taken")
	if n := w.courier.Stats().Connections; n != 2 {
		t.Errorf("%d connections", n)
	}
	g = nil
	want(t, w.through(), queue.Deferred, "4.3.5", "", "", true, "the gateway relay is not set up")
	fails = errors.New("the database is away")
	want(t, w.through(), queue.Deferred, "4.3.0", "", "", false, "could not find out")
}
