// Package peer runs the servers that are measured, ours and the others, each with its data in a directory of its own, on
// loopback, under the same certificate.
package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
)

// Users is how many mailboxes every server has, beside Big.
const Users = 50

// Big is the local part of the mailbox with many messages.
const Big = "big"

// Password is everybody's.
const Password = "Bench-only-7392"

// Server is one server under measurement. Not safe for concurrent use, but for the addresses.
type Server interface {
	Name() string
	// Version says which program is measured, and how it was set up where that is not how it comes.
	Version() string
	// Setup makes the accounts in an empty data directory, and leaves the server running.
	Setup(ctx context.Context) error
	// Start starts the server again on its data, and says how long it took from then to the first IMAP greeting over TLS.
	Start(ctx context.Context) (time.Duration, error)
	// Stop ends it and waits for that. A server that does not run is already stopped.
	Stop(ctx context.Context) error
	// Memory is the memory of all its processes in bytes, each page they share counted once (PSS).
	Memory() (int64, error)
	Endpoint() Endpoint
	// NewUsers opens a client that makes users with the given local parts and everybody's password, who can sign in and
	// receive mail: by what the server offers an administrator, beside the running server.
	NewUsers(ctx context.Context, name func(i int) string) (drive.Worker, error)
}

// Relay is a server that keeps mail for other servers and passes it on to one place.
type Relay interface {
	Server
	// Submit connects as the n-th client of a sender to hand in mail for others, over TLS.
	Submit(ctx context.Context, n int) (*drive.Delivery, error)
	// From is the sender.
	From() string
	// Next is where the mail goes, a port of loopback that nobody listens on unless a load does.
	Next() string
	// Flush has all that waits tried at once. Clear takes it away.
	Flush(ctx context.Context) error
	Clear(ctx context.Context) error
	// Roots are the processes that, with their descendants, write what is kept.
	Roots() []int
}

// Descendants are the processes and all their descendants.
func Descendants(roots []int) ([]int, error) {
	children, err := processTree()
	if err != nil {
		return nil, err
	}
	all := slices.Clone(roots)
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all, nil
}

// Endpoint is where a server is spoken to.
type Endpoint struct {
	IMAPS    string // host:port of IMAP over implicit TLS
	Delivery string // host:port of SMTP, or LMTP, in the clear
	LMTP     bool
	Domain   string
	TLS      *tls.Config
}

// User is the local part of mailbox i.
func User(i int) string { return fmt.Sprintf("u%02d", i%Users) }

// setupName is the local part of the i-th account that Setup makes, of setupUsers.
func setupName(i int) string {
	if i == Users {
		return Big
	}
	return User(i)
}

const setupUsers = Users + 1

// makeUsers makes the accounts of Setup by n clients of NewUsers.
func makeUsers(ctx context.Context, s Server, n int) error {
	out, err := drive.Closed(ctx, n, setupUsers, time.Hour, func(ctx context.Context, _ int) (drive.Worker, error) {
		return s.NewUsers(ctx, setupName)
	})
	if err == nil && out.Done != setupUsers {
		err = fmt.Errorf("%d accounts were made of %d: %w", out.Done, setupUsers, out.FirstFail)
	}
	return err
}

// Address is a user's mail address, which is also the name to sign in with.
func (e Endpoint) Address(user string) string { return user + "@" + e.Domain }

// IMAP connects and signs in. buffer is as for drive.DialIMAP.
func (e Endpoint) IMAP(ctx context.Context, user string, buffer int) (*drive.IMAP, error) {
	m, err := drive.DialIMAP(ctx, e.IMAPS, e.TLS, buffer)
	if err != nil {
		return nil, err
	}
	if err := m.Login(e.Address(user), Password); err != nil {
		_ = m.Close() // the refusal says more
		return nil, fmt.Errorf("sign in as %s: %w", e.Address(user), err)
	}
	return m, nil
}

// Deliver connects to hand in messages.
func (e Endpoint) Deliver(ctx context.Context) (*drive.Delivery, error) {
	return drive.DialDelivery(ctx, e.Delivery, e.LMTP)
}

// trust is a client's configuration that knows the certificate. Sessions are not resumed: a client that signs in for the
// first time can't either.
func trust(cert *x509.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

// awaitGreeting asks every millisecond whether the server greets.
func awaitGreeting(ctx context.Context, e Endpoint, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		m, err := drive.DialIMAP(ctx, e.IMAPS, e.TLS, 4096)
		if err == nil {
			return m.Close()
		}
		select {
		case <-p.ended:
			return fmt.Errorf("it ended instead of greeting (%w); its last words:\n%s", p.err, p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("no greeting on %s (%w); its last words:\n%s", e.IMAPS, err, p.lastWords())
		case <-time.After(time.Millisecond):
		}
	}
}
