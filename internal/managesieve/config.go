package managesieve

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/script"
)

// Config is what a Server stands on. Scripts, SignIn, TLS and Log are needed; the zero values of the others mean what is said beside them.
type Config struct {
	Scripts *script.Service
	// SignIn lets a user in; see Through.
	SignIn func(ctx context.Context, c Credentials) (*SignedIn, error)
	TLS    *tls.Config
	Log    *slog.Logger

	// MaxConnections is how many connections there may be at once (1,000 where 0), MaxPerAddress how many from one address, or one /64 of
	// IPv6 (100 where 0).
	MaxConnections, MaxPerAddress int
	// SignInTime is how long a connection may take to sign in (30 s), AutoLogout how long it may then say nothing (30 minutes, RFC 5804
	// section 1.4), ReadTime how long it may pause inside a command (1 minute), and WriteTime how long the client may take to read 64 KB
	// (1 minute).
	SignInTime, AutoLogout, ReadTime, WriteTime time.Duration
	// Grace is how long a command may still run when the server shuts down (5 s).
	Grace time.Duration
}

// Credentials are what a client presents, and from where.
type Credentials struct {
	Username, Password string
	Address            netip.Addr
	// ConnectionID ties the sign-in to the connection's log lines.
	ConnectionID string
}

// SignedIn is a user who was let in.
type SignedIn struct {
	Principal principal.Principal
	// Owner is what the user is called in the capability OWNER.
	Owner   string
	Mailbox mailbox.ID
	// Done is closed when the user's right to be here ends: the connection is closed within a second.
	Done <-chan struct{}
	// Close is called once when the connection ends, or its user signs out.
	Close func()
}

// Through returns a Config.SignIn that lets users in through the door, each to the scripts of their own mailbox.
func Through(d *identity.Door) func(context.Context, Credentials) (*SignedIn, error) {
	return func(ctx context.Context, c Credentials) (*SignedIn, error) {
		s, err := d.Authenticate(ctx,
			identity.Credentials{Username: c.Username, Password: c.Password},
			identity.Circumstances{Protocol: identity.ManageSieve, Address: c.Address, RequestID: c.ConnectionID})
		if err != nil {
			return nil, err
		}
		return &SignedIn{
			Principal: s.Principal, Owner: s.SignIn.Email, Mailbox: mailbox.ID(s.SignIn.Mailbox), Done: s.Done(), Close: s.Close,
		}, nil
	}
}

func (c *Config) setDefaults() {
	for _, n := range []struct {
		n         *int
		otherwise int
	}{{&c.MaxConnections, 1000}, {&c.MaxPerAddress, 100}} {
		if *n.n == 0 {
			*n.n = n.otherwise
		}
	}
	for _, d := range []struct {
		d         *time.Duration
		otherwise time.Duration
	}{
		{&c.SignInTime, 30 * time.Second},
		{&c.AutoLogout, 30 * time.Minute},
		{&c.ReadTime, time.Minute},
		{&c.WriteTime, time.Minute},
		{&c.Grace, 5 * time.Second},
	} {
		if *d.d == 0 {
			*d.d = d.otherwise
		}
	}
}
