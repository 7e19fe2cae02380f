package managesieve

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/script"
)

// store is what the servers under test stand on.
type store struct {
	db        *db.DB
	mailboxes *mailbox.Store
	scripts   *script.Service
	users     int
}

func newStore(t *testing.T) *store {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	d := dbtest.SQLite(t, slices.Concat(audit.Migrations(), mailbox.Migrations(), script.Migrations()))
	mailboxes := mailbox.New(mailbox.Options{DB: d, Feed: feed.New(), Clock: clock.System{}, Log: log})
	return &store{db: d, mailboxes: mailboxes, scripts: script.New(script.Options{
		DB: d, Mailboxes: mailboxes, Audit: audit.New(d, clock.System{}, audit.Config{}), Clock: clock.System{}, Log: log, Key: []byte("key"),
		Limits: script.Limits{Scripts: 3},
	})}
}

// rig is a server under test with one user: ann, whose password is "sesame".
type rig struct {
	*Server
	t       *testing.T
	address string
	user    string // ann's id
	box     mailbox.ID
	stop    func() // and waits

	mu     sync.Mutex
	ended  chan struct{} // the Done of the last session
	closed int           // how often sessions were closed
}

func newRig(t *testing.T, at *store, change ...func(*Config)) *rig {
	t.Helper()
	at.users++
	r := &rig{t: t, user: fmt.Sprintf("ann%d", at.users)}
	r.must(at.db.Write(t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
		r.box, err = at.mailboxes.CreateTx(ctx, tx, mailbox.Owner{Org: 1, Entity: r.user}, 1<<20)
		return err
	}))
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	c := Config{Scripts: at.scripts, SignIn: r.signIn, TLS: testTLS(t), Log: log}
	for _, change := range change {
		change(&c)
	}
	r.Server = New(c)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	r.must(err)
	r.address = l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() {
		if err := r.Serve(ctx, l); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	r.stop = sync.OnceFunc(func() {
		stop()
		served.Wait()
		if n := r.places.Taken(); n != 0 {
			t.Errorf("%d connections are left behind Serve", n)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// signIn is a door that knows ann.
func (r *rig) signIn(_ context.Context, c Credentials) (*SignedIn, error) {
	if c.Username != "ann" || c.Password != "sesame" {
		return nil, fault.New(fault.Unauthenticated, fault.None, "the user name or the password is wrong, or this user may not sign in")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ended := make(chan struct{})
	r.ended = ended
	return &SignedIn{
		Principal: principal.Principal{Kind: principal.User, ID: r.user, Organization: "m-1"}, Owner: "ann@acme.example", Mailbox: r.box,
		Done: ended,
		Close: sync.OnceFunc(func() {
			close(ended)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.closed++
		}),
	}, nil
}

// client is one connection to the server.
type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// connect makes a connection and takes the greeting.
func (r *rig) connect() *client {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	r.must(err)
	r.t.Cleanup(func() { _ = conn.Close() })
	r.must(conn.SetDeadline(time.Now().Add(time.Minute)))
	c := &client{r.t, conn, bufio.NewReader(conn)}
	c.until(`OK "Pennypost ready"`)
	return c
}

// secure makes a connection under TLS.
func (r *rig) secure() *client {
	r.t.Helper()
	c := r.connect()
	c.talk("STARTTLS", `OK "begin TLS now"`)
	c.handshake()
	c.until(`OK "protected"`)
	return c
}

// signedIn makes one of ann.
func (r *rig) signedIn() *client {
	r.t.Helper()
	c := r.secure()
	c.talk(`AUTHENTICATE "PLAIN" "`+plain("", "ann", "sesame")+`"`, `OK "welcome"`)
	return c
}

func plain(fields ...string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Join(fields, "\x00")))
}

func (c *client) handshake() {
	c.t.Helper()
	t := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true}) // the server's certificate is made by the test, and not what is tested
	if err := t.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.in = t, bufio.NewReader(t)
}

// say sends a line.
func (c *client) say(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

// line reads a line, with the literal that it ends in.
func (c *client) line() string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%q: %v", line, err)
	}
	line = strings.TrimSuffix(line, "\r\n")
	if _, size, found := strings.Cut(line, "{"); found {
		n, err := strconv.Atoi(strings.TrimSuffix(size, "}"))
		if err != nil {
			return line
		}
		literal := make([]byte, n)
		if _, err := io.ReadFull(c.in, literal); err != nil {
			c.t.Fatal(err)
		}
		return line + "\n" + string(literal) + c.line()
	}
	return line
}

// hear wants lines. One that ends in * is only begun like that.
func (c *client) hear(want ...string) {
	c.t.Helper()
	for _, w := range want {
		got := c.line()
		if begin, some := strings.CutSuffix(w, "*"); got != w && !(some && strings.HasPrefix(got, begin)) {
			c.t.Fatalf("heard %q, want %q", got, w)
		}
	}
}

// talk says a line and wants the answer.
func (c *client) talk(say string, want ...string) {
	c.t.Helper()
	c.say(say)
	c.hear(want...)
}

// until reads on to a line and returns those before it.
func (c *client) until(last string) (lines []string) {
	c.t.Helper()
	for {
		line := c.line()
		if line == last {
			return lines
		}
		lines = append(lines, line)
		if strings.HasPrefix(line, "NO") || strings.HasPrefix(line, "BYE") || strings.HasPrefix(line, "OK") {
			c.t.Fatalf("heard %q, want %q", lines, last)
		}
	}
}

// over wants the connection to have ended.
func (c *client) over() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil && isTimeout(err) {
		c.t.Errorf("the connection goes on: %q, %v", rest, err)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

func testTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
