package imap

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/imap/imaptest"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/mailbox/content"
)

// rig is a server under test, on a store of its own, with one user: ann, whose password is "sesame".
type rig struct {
	*Server
	t            testing.TB
	db           *db.DB
	box          mailbox.ID
	blobs        *memoryBlobs
	plain, tls   net.Listener
	stop         context.CancelFunc
	served       sync.WaitGroup
	mu           sync.Mutex
	sessionEnded chan struct{} // the Done of every session
}

const testQuota = 1 << 30

// onBoth runs fn with a server on each engine.
func onBoth(t *testing.T, fn func(t *testing.T, r *rig), change ...func(*Config)) {
	t.Helper()
	dbtest.Run(t, mailbox.Migrations(), func(t *testing.T, d *db.DB) { fn(t, newRig(t, d, change...)) })
}

// onSQLite is onBoth for what the store has no part in.
func onSQLite(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	return newRig(t, dbtest.SQLite(t, mailbox.Migrations()), change...)
}

func newRig(t testing.TB, d *db.DB, change ...func(*Config)) *rig {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	f := feed.New()
	blobs := &memoryBlobs{m: map[string][]byte{}}
	store := mailbox.New(mailbox.Options{DB: d, Blobs: blobs, Feed: f, Clock: clock.System{}, Log: log, FewItems: 2})
	r := &rig{t: t, db: d, blobs: blobs, sessionEnded: make(chan struct{})}
	err := d.Write(context.Background(), func(ctx context.Context, tx *db.Tx) (err error) {
		r.box, err = store.CreateTx(ctx, tx, mailbox.Owner{Org: 1, Entity: "ann"}, testQuota)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Mailboxes: store, Feed: f, SignIn: r.signIn, TLS: testTLS(), Log: log, Spool: t.TempDir()}
	for _, change := range change {
		change(&c)
	}
	r.Server = New(c)
	r.serve()
	t.Cleanup(func() {
		r.shutDown()
		faults, err := store.Check(context.Background())
		if err != nil || len(faults) > 0 {
			t.Errorf("the store's check: %v %q", err, faults)
		}
	})
	return r
}

func (r *rig) serve() {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			r.t.Fatal(err)
		}
		return l
	}
	r.plain, r.tls = listen(), tls.NewListener(listen(), testTLS())
	for _, l := range []net.Listener{r.plain, r.tls} {
		r.served.Go(func() {
			if err := r.Serve(ctx, l); err != nil {
				r.t.Errorf("Serve: %v", err)
			}
		})
	}
}

func (r *rig) shutDown() {
	r.stop()
	r.served.Wait()
	if n := r.Connections(); n != 0 {
		r.t.Errorf("%d connections are left behind Serve", n)
	}
}

// signIn is a door that knows ann.
func (r *rig) signIn(_ context.Context, c Credentials) (*SignedIn, error) {
	if !strings.EqualFold(c.Username, "ann") || c.Password != "sesame" {
		return nil, fault.New(fault.Unauthenticated, fault.None, "the user name or the password is wrong")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return &SignedIn{User: "ann", Organization: "m-1", Mailbox: r.box, Done: r.sessionEnded, Close: func() {}}, nil
}

// endSessions is what the door does when the password changes.
func (r *rig) endSessions() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.sessionEnded)
	r.sessionEnded = make(chan struct{})
}

// deliver puts a message into a folder as SMTP would.
func (r *rig) deliver(path, text string, flags mailbox.Flags) {
	r.t.Helper()
	f, err := r.Mailboxes.Folder(context.Background(), r.box, path)
	if err != nil {
		r.t.Fatal(err)
	}
	m := content.Message([]byte(text), mailbox.Source{Bytes: []byte(text), Size: int64(len(text))})
	target := mailbox.Target{Mailbox: r.box, Folder: f.ID, Flags: flags, Prefix: []byte("Delivered-To: ann\r\n"), Received: time.Date(2026, 11, 23, 21, 0, 0, 0, time.UTC)}
	if _, err := r.Mailboxes.Deliver(context.Background(), m, target); err != nil {
		r.t.Fatal(err)
	}
}

// client is one connection to the server.
type client struct {
	*imaptest.Conn
	t testing.TB
}

// connect connects, with TLS from the beginning or not.
func (r *rig) connect(protected bool) net.Conn {
	r.t.Helper()
	l := r.plain
	if protected {
		l = r.tls
	}
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	if protected {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	r.t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// dial connects and passes over the greeting.
func (r *rig) dial(protected bool) *client {
	r.t.Helper()
	c := &client{imaptest.NewConn(r.t, r.connect(protected)), r.t}
	if greeting := c.Line(); !strings.HasPrefix(greeting, "* OK [CAPABILITY IMAP4rev1") || !strings.HasSuffix(greeting, "Pennypost ready") {
		r.t.Fatalf("the greeting is %q", greeting)
	}
	return c
}

// login connects and signs in.
func (r *rig) login() *client {
	r.t.Helper()
	c := r.dial(true)
	c.ok("login LOGIN ann sesame")
	return c
}

// readSlowly keeps the kernel from reading ahead for the client.
func (c *client) readSlowly() {
	nc := c.Conn.Conn
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if err := nc.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		c.t.Fatal(err)
	}
}

// ok sends a command, which begins with its tag, and returns the lines before its OK.
func (c *client) ok(command string) []string {
	c.t.Helper()
	lines, answer := c.do(command)
	if !strings.HasPrefix(answer, "OK") {
		c.t.Fatalf("%.100s: %s", command, answer)
	}
	return lines
}

// do sends a command and returns the lines before its answer, and the answer without the tag.
func (c *client) do(command string) (lines []string, answer string) {
	c.t.Helper()
	c.Wait()
	c.Send(command + "\r\n")
	tag, _, _ := strings.Cut(command, " ")
	for {
		line := c.Line()
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return lines, rest
		}
		lines = append(lines, line)
	}
}

// testTLS is a certificate that nobody need trust.
var testTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

type memoryBlobs struct {
	mu     sync.Mutex
	m      map[string][]byte
	broken int64  // where reading a body fails; 0 nowhere
	opened func() // is told of each that is opened, unless nil
}

type memoryBlob struct {
	*bytes.Reader
	broken int64
}

func (b memoryBlob) ReadAt(p []byte, at int64) (int, error) {
	if b.broken > 0 && at+int64(len(p)) > b.broken {
		return 0, errors.New("the disk is broken there")
	}
	return b.Reader.ReadAt(p, at)
}

func (memoryBlob) Close() error { return nil }

func (b *memoryBlobs) Put(_ context.Context, key string, r io.Reader) (int64, error) {
	all, err := io.ReadAll(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.m[key] = all
	return int64(len(all)), err
}

func (b *memoryBlobs) Open(_ context.Context, key string) (mailbox.Blob, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened != nil {
		b.opened()
	}
	return memoryBlob{bytes.NewReader(b.m[key]), b.broken}, nil
}

func (b *memoryBlobs) Delete(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.m, key)
	return nil
}
