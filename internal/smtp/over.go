package smtp

import (
	"context"
	"net/netip"

	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/gate"
)

// Over makes Config.Begin of a transport.
func Over(t *transport.Transport) func(context.Context, Sender) (Transaction, error) {
	return func(ctx context.Context, s Sender) (Transaction, error) {
		return t.Begin(ctx, transport.Sender{
			Principal: s.Principal, Submitted: s.Submitted, From: s.From, Hello: s.Hello, Listed: s.Listed, Size: s.Size,
			EnvelopeID: s.EnvelopeID, Return: s.Return, RequireTLS: s.RequireTLS, SMTPUTF8: s.SMTPUTF8,
		})
	}
}

// Through makes Config.Authenticate of the door.
func Through(d *identity.Door) func(ctx context.Context, username, password string, from netip.Addr, session string) (*SignIn, error) {
	return func(ctx context.Context, username, password string, from netip.Addr, session string) (*SignIn, error) {
		s, err := d.Authenticate(ctx, identity.Credentials{Username: username, Password: password},
			identity.Circumstances{Protocol: "SMTP", Address: from, RequestID: session})
		if err != nil {
			return nil, err
		}
		return &SignIn{Principal: s.Principal, Done: s.Done(), Close: s.Close}, nil
	}
}

// Past makes Config.Admit of a gate.
func Past(g *gate.Gate) func(ctx context.Context, from netip.Addr) (Visit, error) {
	return func(ctx context.Context, from netip.Addr) (Visit, error) {
		v, err := g.Admit(ctx, from)
		if err != nil {
			return nil, err
		}
		return v, nil
	}
}
