package courier

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/smtpclient"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/route"
)

// session is a connection on which messages are offered.
type session struct {
	key
	client   *smtpclient.Client
	gateway  *Gateway // nil for a domain's host
	tls      string   // how it is protected, as in Outcome
	messages int
	since    time.Time // when it began to wait
}

// outcome is a recipient's, from the server's answer.
func (s *session) outcome(r smtpclient.Reply) queue.Outcome {
	o := queue.Outcome{Result: queue.Deferred, Status: r.Status, Reply: cut(r.String()), Host: s.host, TLS: s.tls}
	switch {
	case r.Code < 300:
		o.Result, o.Tells = queue.Delivered, s.client.Has("DSN")
	case s.gateway != nil && (r.Code == 530 || r.Code == 534 || r.Code == 535 || r.Code == 538): // RFC 4954 section 6: how we sign in
		o.Status = temporary(r.Status)
	case r.Code >= 500:
		o.Result = queue.Failed
	}
	if s.gateway != nil && s.gateway.SES {
		explainSES(&o, r)
	}
	return o
}

// explainSES adds to an answer of Amazon SES what it means here.
func explainSES(o *queue.Outcome, r smtpclient.Reply) {
	switch text := r.String(); {
	case r.Code == 554 && strings.Contains(text, "is not verified"):
		o.Status = "5.7.1"
		o.Reply = cut("Amazon SES, by which this server sends, has not verified the sender's address or domain (nor, for an account in its sandbox, the recipient's): " + text)
	case r.Code == 454 && strings.Contains(text, "Daily message quota exceeded"): // of all messages
		o.Status, o.Down = "4.7.1", true
	case r.Code == 454 && strings.Contains(text, "Maximum sending rate exceeded"):
		o.Status = "4.7.1"
	}
}

// most is how many recipients go into one transaction.
func (s *session) most() int {
	if s.gateway != nil && s.gateway.SES {
		return maxSESRecipients
	}
	return maxRecipients
}

// trouble is one of the session's that passes, and says nothing of other messages.
func (s *session) trouble(status, text string) *trouble {
	return &trouble{status: status, text: text, host: s.host, tls: s.tls}
}

// kept returns a connection that was kept and is still good, or nil.
func (c *Courier) kept(ctx context.Context, t *target) *session {
	for s := c.pool.take(t.key); s != nil; s = c.pool.take(t.key) {
		if s.client.Reset(ctx) == nil {
			return s
		}
		s.client.Close()
	}
	return nil
}

// connect makes a connection that is protected as t wants it.
func (c *Courier) connect(ctx context.Context, t *target) (*session, *trouble) {
	plain := t.gateway != nil && t.gateway.Security == Cleartext
	for {
		conn, err := c.dial(ctx, t)
		if err != nil {
			return nil, dialTrouble(t, err)
		}
		client, err := smtpclient.New(ctx, conn, smtpclient.Options{Hello: c.o.Hello, Timeouts: c.o.Timeouts})
		if err != nil {
			_ = conn.Close() // it is of no use either way
			return nil, clientTrouble(t, err)
		}
		var why *trouble
		again := false
		if _, secure := client.TLS(); !plain && !secure {
			again, why = c.protect(ctx, t, client, conn)
		}
		if why == nil && !again && t.gateway != nil && t.gateway.Username != "" {
			if err := client.Auth(ctx, t.gateway.Username, t.gateway.Secret); err != nil {
				c.o.Log.Warn("a gateway does not let this server in", "host", t.host, "route", t.route, "error", err)
				why = clientTrouble(t, err)
			}
		}
		switch {
		case why != nil:
			client.Close()
			return nil, why
		case again:
			client.Close()
			plain = true
		default:
			c.stats.connections.Add(1)
			return &session{key: t.key, client: client, gateway: t.gateway, tls: c.protection(t, client)}, nil
		}
	}
}

// dial makes the connection itself, under TLS for a gateway that has it so.
func (c *Courier) dial(ctx context.Context, t *target) (net.Conn, error) {
	d := c.o.Dialer
	if t.gateway != nil && t.gateway.Dialer != nil {
		d = t.gateway.Dialer
	}
	conn, err := d.DialContext(ctx, "tcp", t.address)
	if err != nil || t.gateway == nil {
		return conn, err
	}
	switch t.gateway.Security {
	case ImplicitTLS:
		return tls.Client(conn, c.tlsConfig(&t.tls, t.host)), nil
	case Cleartext:
		if !addrOf(conn.RemoteAddr()).IsLoopback() {
			_ = conn.Close()
			return nil, errors.New("it is not on loopback, and has no TLS")
		}
	}
	return conn, nil
}

// protect goes over to TLS. It reports whether to try again in the clear, on another connection; on this one it goes on in the clear
// where TLS is not offered and need not be.
func (c *Courier) protect(ctx context.Context, t *target, client *smtpclient.Client, conn net.Conn) (again bool, _ *trouble) {
	seen := route.Session{
		Domain: t.domain, Policy: t.tls.Policy, Host: t.host, Address: addrOf(conn.RemoteAddr()), Local: addrOf(conn.LocalAddr()), Helo: client.Name(),
	}
	err := errors.New("STARTTLS is not offered")
	if client.Has("STARTTLS") {
		err = client.StartTLS(ctx, c.tlsConfig(&t.tls, t.host))
	}
	var e *smtpclient.Error
	handshake := errors.As(err, &e) && e.During == smtpclient.Handshake
	_, secure := client.TLS()
	switch {
	case secure:
		judged := error(nil)
		if t.level == route.Opportunistic && t.tls.Source == "MTA-STS" && len(t.tls.Names) > 0 { // a policy that is being tested
			state, _ := client.TLS()
			judged = c.verify(&t.tls, state)
		}
		c.report(ctx, t, seen, judged)
		if err != nil { // EHLO failed
			return false, clientTrouble(t, err)
		}
		return false, nil
	case handshake:
		c.report(ctx, t, seen, e.Err)
	case ctx.Err() != nil:
	case client.Err() == nil:
		seen.Result, seen.Info = route.StartTLSNotSupported, err.Error()
		c.send(ctx, t, seen)
	}
	switch {
	case handshake && t.level == route.Opportunistic && ctx.Err() == nil:
		return true, nil
	case handshake:
		c.stats.tlsFailed.Add(1)
		return false, clientTrouble(t, err)
	case client.Err() != nil: // lost, 421, or injected
		return false, clientTrouble(t, err)
	case t.level == route.Opportunistic:
		return false, nil
	}
	c.stats.tlsFailed.Add(1)
	return false, &trouble{status: "4.7.4", text: fmt.Sprintf("TLS is required with %s: %s", t.host, err), host: t.host, down: true}
}

// report tells of a handshake, and of what was found wrong with it.
func (c *Courier) report(ctx context.Context, t *target, s route.Session, err error) {
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		s.Result, s.Info = resultOf(err), err.Error()
	}
	c.send(ctx, t, s)
}

func (c *Courier) send(ctx context.Context, t *target, s route.Session) {
	if c.o.Report != nil && t.gateway == nil {
		c.o.Report(ctx, s)
	}
}

// protection says how a connection is protected, as Outcome has it.
func (c *Courier) protection(t *target, client *smtpclient.Client) string {
	state, secure := client.TLS()
	if !secure {
		return ""
	}
	c.stats.tls.Add(1)
	text := strings.Replace(tls.VersionName(state.Version), " ", "v", 1)
	if t.level != route.Verified {
		return text
	}
	c.stats.verified.Add(1)
	if t.tls.Source == "" {
		return text + " verified"
	}
	return text + " verified by " + t.tls.Source
}

func addrOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
