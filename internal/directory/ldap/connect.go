package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/pennypost/pennypost/internal/fault"
)

// startTLS is the request to go on with TLS (RFC 4511 section 4.14), as message 1.
const startTLS = "\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"

// connect makes a connection over which nothing goes without TLS, signed in as nobody.
func (d *Directory) connect(ctx context.Context) (*connection, error) {
	raw, err := d.config.Dial(ctx, "tcp", d.host)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	if d.start {
		if err := askForTLS(raw); err != nil {
			_ = raw.Close()
			return nil, err
		}
	}
	secured := tls.Client(raw, d.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	conn := ldap.NewConn(&bounded{Conn: secured, timeout: d.config.Timeout}, true)
	conn.Start()
	return &connection{conn, raw}, nil
}

// askForTLS asks an LDAP server to go on with TLS, and reads no byte further than its answer.
func askForTLS(raw net.Conn) error {
	if _, err := raw.Write([]byte(startTLS)); err != nil {
		return err
	}
	answer, err := ber.ReadPacket(&bounded{Conn: raw})
	if err != nil {
		return fmt.Errorf("StartTLS: %w", err)
	}
	if err := ldap.GetLDAPError(answer); err != nil {
		return fmt.Errorf("StartTLS: %s", err) // whatever its code, it says nothing of the account
	}
	return nil
}

// connectAsOurselves makes a connection that is signed in as the server's own account.
func (d *Directory) connectAsOurselves(ctx context.Context) (*connection, error) {
	c, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, c.kill)
	defer stop()
	if err := c.Bind(d.config.BindDN, d.config.BindPassword); err != nil {
		c.kill()
		if refused(err) {
			return nil, fault.Wrap(err, fault.DirectoryRefusedUs, fault.Directory, "the external directory refused this server's account")
		}
		return nil, err
	}
	return c, nil
}

// refused reports whether err says that a name or password is wrong, or that its holder may not sign in.
func refused(err error) bool {
	return ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication,
		ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultConstraintViolation,
		ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultAuthorizationDenied, ldap.LDAPResultInvalidDNSyntax)
}

// connection is one to the directory. The library's own Close waits for the other side; kill does not.
type connection struct {
	*ldap.Conn
	raw net.Conn
}

func (c *connection) kill() {
	_ = c.raw.Close()
	_ = c.Close()
}

// The most connections of a pool, and how long an idle one is kept: shorter than servers and firewalls do.
const (
	poolSize = 8
	poolIdle = time.Minute
)

// pool keeps connections that are not in use.
type pool struct {
	open func(context.Context) (*connection, error)
	free chan struct{}

	mu   sync.Mutex
	idle []idleConnection // guarded by mu, the last used at the end
}

type idleConnection struct {
	*connection
	timer *time.Timer
}

func newPool(open func(context.Context) (*connection, error)) *pool {
	return &pool{open: open, free: make(chan struct{}, poolSize)}
}

// use lends fn a connection. When ctx ends before fn does, the connection is closed, which ends what fn waits for.
func (p *pool) use(ctx context.Context, fn func(*ldap.Conn) error) error {
	select {
	case p.free <- struct{}{}:
		defer func() { <-p.free }()
	case <-ctx.Done():
		return fmt.Errorf("all %d connections are in use: %w", poolSize, ctx.Err())
	}
	c := p.take()
	if c == nil {
		var err error
		if c, err = p.open(ctx); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, c.kill)
	err := fn(c.Conn)
	if !stop() || broken(err) {
		c.kill()
		return err
	}
	p.put(c)
	return err
}

// broken reports whether a connection is of no use after err.
func broken(err error) bool {
	var e *ldap.Error
	switch {
	case err == nil:
		return false
	case errors.As(err, &e):
		return e.ResultCode >= ldap.ErrorNetwork
	}
	return fault.As(err) == nil
}

func (p *pool) take() *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		last := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if last.timer.Stop() && !last.IsClosing() {
			return last.connection
		}
		last.kill()
	}
	return nil
}

func (p *pool) put(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, idleConnection{c, time.AfterFunc(poolIdle, c.kill)})
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.timer.Stop()
		c.kill()
	}
	p.idle = nil
}

// messageLimit is the largest message of a directory that is read: one entry, or an answer without any.
const messageLimit = 64 << 20

// bounded is a connection on which no message is longer than messageLimit, and no write takes longer than timeout. The library
// would make room for whatever length a message claims.
type bounded struct {
	net.Conn
	timeout time.Duration

	header []byte // of the message that begins
	left   int    // of the message that is read
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.timeout > 0 {
		if err := b.SetWriteDeadline(time.Now().Add(b.timeout)); err != nil {
			return 0, err
		}
	}
	return b.Conn.Write(p)
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if tooLong := b.follow(p[:n]); tooLong != nil {
		return 0, tooLong
	}
	return n, err
}

var errMessage = errors.New("the directory sent what is no LDAP message, or too long a one")

// follow keeps track of where messages end: each is a tag, a length (X.690 section 8.1.3, in at most four octets) and so much.
func (b *bounded) follow(p []byte) error {
	for len(p) > 0 {
		if b.left > 0 {
			n := min(b.left, len(p))
			b.left -= n
			p = p[n:]
			continue
		}
		b.header = append(b.header, p[0])
		p = p[1:]
		if len(b.header) < 2 {
			continue
		}
		length := int(b.header[1])
		if octets := length & 0x7f; length&0x80 != 0 {
			if octets == 0 || octets > 4 {
				return errMessage
			}
			if len(b.header) < 2+octets {
				continue
			}
			length = 0
			for _, octet := range b.header[2:] {
				length = length<<8 | int(octet)
			}
		}
		if length > messageLimit {
			return errMessage
		}
		b.left, b.header = length, b.header[:0]
	}
	return nil
}
