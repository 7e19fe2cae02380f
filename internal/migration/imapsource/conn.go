package imapsource

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// Server is where the mail is.
type Server struct {
	Address  string // host:port
	TLS      *tls.Config
	StartTLS bool // the connection begins in plain text, which nothing but STARTTLS is said in
	// Patience is how long the server may be silent; 0 means two minutes.
	Patience time.Duration
}

const (
	connectTime     = 30 * time.Second
	defaultPatience = 2 * time.Minute
)

// lostError says that the connection is of no use any more: another one may be.
type lostError struct{ cause error }

func (e lostError) Error() string { return e.cause.Error() }
func (e lostError) Unwrap() error { return e.cause }

// refusedError says that the source refused something, and would again.
type refusedError struct{ cause error }

func (e refusedError) Error() string { return e.cause.Error() }
func (e refusedError) Unwrap() error { return e.cause }

// judge sorts an error of the client: what the server said, or the loss of the connection.
func judge(what string, err error) error {
	if err == nil {
		return nil
	}
	var said *imap.Error
	busy := []imap.ResponseCode{imap.ResponseCodeUnavailable, imap.ResponseCodeInUse, imap.ResponseCodeLimit}
	if errors.As(err, &said) && said.Type != imap.StatusResponseTypeBye && !slices.Contains(busy, said.Code) {
		return refusedError{fmt.Errorf("%s: the source says: %s", what, short(said.Text))}
	}
	return lostError{fmt.Errorf("%s: %s", what, short(err.Error()))}
}

// short cuts what a server says, and the stack of a panic within the client.
func short(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// guarded runs fn, and makes a panic of the client a lost connection.
func guarded(what string, fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = lostError{fmt.Errorf("%s: the IMAP client panicked: %v at %s", what, v, short(string(debug.Stack())))}
		}
	}()
	return fn()
}

// patient is a connection whose reads and writes may be silent for so long. The client's own deadlines leave out the time until an
// answer begins.
type patient struct {
	net.Conn
	silence time.Duration
}

func (c patient) Read(b []byte) (int, error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c patient) Write(b []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (patient) SetDeadline(time.Time) error      { return nil }
func (patient) SetReadDeadline(time.Time) error  { return nil }
func (patient) SetWriteDeadline(time.Time) error { return nil }

// conn is a signed-in connection.
type conn struct {
	client *imapclient.Client
	raw    net.Conn
	stop   func() bool // ends the watch over the context
	caps   imap.CapSet
}

// connect dials and signs in. The error is a refusedError where the account may not.
func (s *Server) connect(ctx context.Context, a Account) (_ *conn, err error) {
	silence := s.Patience
	if silence == 0 {
		silence = defaultPatience
	}
	dialing, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	var d net.Dialer
	plain, err := d.DialContext(dialing, "tcp", s.Address)
	if err != nil {
		return nil, lostError{fmt.Errorf("connect to %s: %w", s.Address, err)}
	}
	c := &conn{raw: plain}
	// Whoever waits for the server hears of the end.
	c.stop = context.AfterFunc(ctx, func() { _ = plain.Close() })
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	return c, guarded("sign in", func() error { return c.greet(dialing, s, a, patient{plain, silence}) })
}

func (c *conn) greet(ctx context.Context, s *Server, a Account, p patient) (err error) {
	if s.StartTLS {
		if c.client, err = imapclient.NewStartTLS(p, &imapclient.Options{TLSConfig: s.TLS}); err != nil {
			return noTLS("STARTTLS", s.Address, err)
		}
	} else {
		secure := tls.Client(p, s.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			return noTLS("TLS", s.Address, err)
		}
		c.client = imapclient.New(secure, nil)
	}
	if err := c.client.WaitGreeting(); err != nil {
		return lostError{fmt.Errorf("%s greets: %s", s.Address, short(err.Error()))}
	}
	signIn := func() error { return c.client.Login(a.User, a.Password).Wait() }
	if caps := c.client.Caps(); caps.Has(imap.CapLoginDisabled) && caps.Has(imap.AuthCap("PLAIN")) {
		signIn = func() error { return c.client.Authenticate(&plain{a: a}) }
	}
	if err := signIn(); err != nil {
		err = judge("sign in as "+a.User, err)
		if strings.Contains(err.Error(), a.Password) { // some servers repeat what they refuse
			return refusedError{fmt.Errorf("sign in as %s: the source refuses it", a.User)}
		}
		return err
	}
	// The client's own memory of them is of before the sign-in for a moment.
	c.caps, err = c.client.Capability().Wait()
	return judge("ask what the source can", err)
}

// plain is the SASL mechanism PLAIN (RFC 4616).
type plain struct{ a Account }

func (p *plain) Start() (mechanism string, first []byte, err error) {
	return "PLAIN", []byte("\x00" + p.a.User + "\x00" + p.a.Password), nil
}

func (p *plain) Next([]byte) ([]byte, error) { return nil, errors.New("PLAIN has one step") }

// noTLS tells a certificate that nobody vouches for, which another attempt won't change, from a connection that broke.
func noTLS(how, address string, err error) error {
	told := fmt.Errorf("%s with %s: %s", how, address, short(err.Error()))
	var said *imap.Error
	if errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, &said) {
		return refusedError{told}
	}
	return lostError{told}
}

// names makes the client write names as they are without ENABLE: it takes them as UTF-8 as soon as IMAP4rev2 is announced.
func (c *conn) names() {
	if caps := c.client.Caps(); caps.Has(imap.CapIMAP4rev2) {
		delete(caps, imap.CapIMAP4rev2)
	}
}

// close ends the connection. What its client's goroutine may wait for is given up first.
func (c *conn) close() {
	c.stop()
	_ = c.raw.Close()
	if c.client != nil {
		_ = c.client.Close() // waits for that goroutine
	}
}

// quit ends the connection with good manners.
func (c *conn) quit() {
	_ = guarded("sign out", func() error { return c.client.Logout().Wait() })
	c.close()
}
