package smtp

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/spool"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// Config is what a Server stands on, and its limits. Begin, Clock and Log are needed; Authenticate makes the server one for
// submission.
type Config struct {
	// Hostname is how the server calls itself.
	Hostname string
	// Begin starts a message: MAIL FROM. See Over.
	Begin func(ctx context.Context, s Sender) (Transaction, error)
	// Authenticate lets a user in, in the session with this id. Where it is nil the server is for mail from other servers and
	// offers no AUTH; where it is set nothing is taken before AUTH, and no secret before TLS. See Through.
	Authenticate func(ctx context.Context, username, password string, from netip.Addr, session string) (*SignIn, error)
	// Admit lets a client in before it is greeted, or says why not; nil lets everybody in. See Past.
	Admit func(ctx context.Context, from netip.Addr) (Visit, error)
	// TLS is for STARTTLS and implicit TLS. Where it is nil neither is offered.
	TLS   *tls.Config
	Clock clock.Clock
	Log   *slog.Logger
	// SpoolDir is where large messages lie while they come in; empty means the system's directory for such files.
	SpoolDir string
	// SpoolMemory is how many bytes of a message stay in memory; 0 means spool.DefaultMemory.
	SpoolMemory int

	Limits   Limits
	Timeouts Timeouts
}

// Limits bound what one client may take. Zero values mean the defaults.
type Limits struct {
	Message     int64 // bytes of a message; 40 MB (41,943,040)
	Connections int   // in all; 1,000
	Errors      int   // commands refused for their form or order before the connection is closed; 20
	Refused     int   // recipients refused before the connection is closed; 500
	SignIns     int   // failed sign-ins before the connection is closed; 3
	Messages    int   // messages in one connection; 1,000
	Commands    int   // commands since the last message, RCPT, DATA and BDAT that bring bytes aside; 500
}

// Timeouts bound how long the server waits. Zero values mean the defaults, those of RFC 5321 section 4.5.3.2 where it has
// one.
type Timeouts struct {
	Command   time.Duration // for a whole command line; 5 minutes
	Data      time.Duration // for the next bytes of a message; 3 minutes
	Message   time.Duration // for a whole message; 1 hour
	Write     time.Duration // for the client to take a reply; 1 minute
	Handshake time.Duration // for the TLS handshake; 30 seconds
	SignIn    time.Duration // for a client of submission to sign in, from its connection on; 1 minute
}

func (c Config) withDefaults() Config {
	setDefault(&c.Hostname, "localhost")
	setDefault(&c.SpoolMemory, spool.DefaultMemory)
	l, t := &c.Limits, &c.Timeouts
	setDefault(&l.Message, 40<<20)
	setDefault(&l.Connections, 1000)
	setDefault(&l.Errors, 20)
	setDefault(&l.Refused, 500)
	setDefault(&l.SignIns, 3)
	setDefault(&l.Messages, 1000)
	setDefault(&l.Commands, 500)
	setDefault(&t.Command, 5*time.Minute)
	setDefault(&t.Data, 3*time.Minute)
	setDefault(&t.Message, time.Hour)
	setDefault(&t.Write, time.Minute)
	setDefault(&t.Handshake, 30*time.Second)
	setDefault(&t.SignIn, time.Minute)
	return c
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Sender is who sends a message, as MAIL FROM has it.
type Sender struct {
	// Principal is the user who submits, or the zero value's kind (the system) for mail from another server.
	Principal principal.Principal
	// Submitted tells the two apart.
	Submitted bool
	// From is the reverse-path; zero for "<>".
	From message.Address
	// Hello is what the client said in EHLO or HELO.
	Hello string
	// Size is what SIZE announced, 0 where it did not.
	Size int64
	// EnvelopeID and Return are ENVID, as it was given, and RET (RFC 3461).
	EnvelopeID string
	Return     queue.Return
	// RequireTLS and SMTPUTF8 are the parameters of these names (RFC 8689, RFC 6531).
	RequireTLS, SMTPUTF8 bool
	// Listed is Visit's.
	Listed []string
}

// Visit is a client that was let in, and is asked about what it does. user is empty for other servers. Expected failures are
// *fault.Error.
type Visit interface {
	// Quiet is how long the client has to wait for its greeting without a word; Spoke returns what one is told that did not.
	Quiet() time.Duration
	Spoke() error
	// Listed are the lists in DNS, named by the operator as reasons for Junk E-mail, that have the client.
	Listed() []string
	// Mail and Recipient let a message and a recipient pass, or not.
	Mail(user string) error
	Recipient(user string) error
	// Answered is told what became of a recipient, before the client is; it may take its time. An error ends the session.
	Answered(ctx context.Context, user string, err error) error
	// Close ends the visit. It is called once.
	Close()
}

// Transaction is one message on its way in. Expected failures are *fault.Error.
type Transaction interface {
	// Add accepts or refuses a recipient: an address, with NOTIFY and ORCPT as they were given. A domain of "" is only given with
	// "postmaster" (RFC 5321 section 4.5.1).
	Add(ctx context.Context, to queue.Recipient) error
	// Store stores the message for all accepted recipients, durably, or for none. m begins with the trace of this server,
	// traceLength bytes.
	Store(ctx context.Context, m *spool.Spool, traceLength int) error
	// Trace is the id by which logs, events and the queue know the message.
	Trace() string
}

// SignIn is a user who was let in.
type SignIn struct {
	Principal principal.Principal
	// Done is closed when the user may not go on: the connection is then closed within a second.
	Done <-chan struct{}
	// Close ends the sign-in. It is called once.
	Close func()
}
