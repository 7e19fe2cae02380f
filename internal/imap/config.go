package imap

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// Config is what a Server stands on. Mailboxes, Feed, SignIn, TLS and Log are needed; the zero values of the others mean
// what is said beside them.
type Config struct {
	Mailboxes *mailbox.Store
	Feed      *feed.Feed
	// SignIn lets a user in; see Through.
	SignIn func(ctx context.Context, c Credentials) (*SignedIn, error)
	// TLS is used for STARTTLS. A connection from a TLS listener needs none.
	TLS *tls.Config
	Log *slog.Logger
	// Audit takes the mailbox access logs of organisations that want them; nil tells nobody.
	Audit *audit.Log

	// Spool is the directory where a large message lies while it arrives: the system's temporary one where empty.
	Spool string
	// MaxMessage is the largest message taken, in bytes: 40 MB where 0.
	MaxMessage int64

	// MaxConnections is how many connections there may be at once (10,000 where 0), MaxPerAddress how many from one
	// address, or one /64 of IPv6 (1,000 where 0).
	MaxConnections, MaxPerAddress int
	// SignInTime is how long a connection may take to sign in (30 s), AutoLogout how long it may then say nothing (30
	// minutes, RFC 3501 section 5.4), WriteTime how long the client may take to read 64 KB (1 minute), and LiteralTime how
	// long it may pause inside a message (2 minutes).
	SignInTime, AutoLogout, WriteTime, LiteralTime time.Duration
	// IdleNotice is how often an IDLE connection hears that it is still there (4 minutes), which keeps the routers between
	// from forgetting it.
	IdleNotice time.Duration
	// SearchNotice is how often the client of a SEARCH that reads messages hears that it goes on (10 s, as RFC 9585 has it); one that is gone
	// is noticed by that.
	SearchNotice time.Duration
	// Grace is how long a command may still run when the server shuts down (5 s).
	Grace time.Duration
}

// Credentials are what a client presents, and from where.
type Credentials struct {
	Username, Password string
	Address            netip.Addr
	// ConnectionID ties the sign-in to the connection's log lines.
	ConnectionID string
	// UserAgent is what the client calls itself, if it did.
	UserAgent string
}

// SignedIn is a user who was let in.
type SignedIn struct {
	// User and Organization name the user in logs.
	User, Organization string
	Mailbox            mailbox.ID
	// Done is closed when the user's right to be here ends: the connection is closed within a second.
	Done <-chan struct{}
	// Close is called once when the connection ends.
	Close func()
}

func (c *Config) setDefaults() {
	number(&c.MaxConnections, 10_000)
	number(&c.MaxPerAddress, 1000)
	number(&c.MaxMessage, 40<<20)
	number(&c.SignInTime, 30*time.Second)
	number(&c.AutoLogout, 30*time.Minute)
	number(&c.WriteTime, time.Minute)
	number(&c.LiteralTime, 2*time.Minute)
	number(&c.IdleNotice, 4*time.Minute)
	number(&c.SearchNotice, 10*time.Second)
	number(&c.Grace, 5*time.Second)
}

func number[T int | int64 | time.Duration](n *T, otherwise T) {
	if *n == 0 {
		*n = otherwise
	}
}
