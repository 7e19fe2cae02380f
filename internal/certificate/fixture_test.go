package certificate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/secret"
)

// ca issues what it is asked for, without a look at whose the name is.
type ca struct {
	directory string
	clock     clock.Clock
	validity  time.Duration

	mu      sync.Mutex
	key     *ecdsa.PrivateKey
	orders  []Order
	fail    map[string]error // by name, or by "" for all
	replace time.Time        // what Renewal answers
	again   time.Time
	forge   func(*x509.Certificate) // changes what is issued
}

func (c *ca) Directory() string { return c.directory }

func (c *ca) Tidy(context.Context) error { return c.fail["tidy"] }

func (c *ca) Renewal(context.Context, *x509.Certificate) (replace, again time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.replace, c.again, c.fail["renewal"]
}

func (c *ca) Obtain(_ context.Context, o Order) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orders = append(c.orders, o)
	if err := c.fail[o.Name]; err != nil {
		return nil, err
	}
	if err := c.fail[""]; err != nil {
		return nil, err
	}
	now := c.clock.Now()
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(c.orders))), Subject: pkix.Name{CommonName: o.Name}, DNSNames: []string{o.Name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(c.validity), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if c.forge != nil {
		c.forge(leaf)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, o.Key.Public(), c.key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

// ordered are the names that were ordered since it was asked last.
func (c *ca) ordered() (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.orders {
		names = append(names, o.Name)
	}
	c.orders = nil
	return names
}

type house struct {
	*Manager
	t     *testing.T
	ca    *ca
	clock *clock.Fake
	log   *bytes.Buffer
}

const day = 24 * time.Hour

// newHouse makes a manager of the names with a CA whose certificates are good for 90 days.
func newHouse(t *testing.T, d *db.DB, names ...string) *house {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := clock.NewFake(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	h := &house{t: t, clock: c, log: &bytes.Buffer{}, ca: &ca{directory: "https://ca.example/dir", clock: c, validity: 90 * day, key: key, fail: map[string]error{}}}
	h.Manager = New(Options{DB: d, Root: secret.Ephemeral(), Clock: c, Log: slog.New(slog.NewTextHandler(h.log, nil)), Authority: h.ca, Names: names})
	return h
}

// again is the manager after a restart, for which change may set others.
func (h *house) again(change func(*Options)) *house {
	o := h.Options
	if change != nil {
		change(&o)
	}
	next := *h
	next.Manager = New(o)
	if err := next.Load(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	return &next
}

// work does what is due, and returns what was ordered and how long there is nothing to do then.
func (h *house) work() ([]string, time.Duration) {
	h.t.Helper()
	wait, err := h.round(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return h.ca.ordered(), wait
}

// pass lets time pass to the next thing to do, and does it, until something is ordered; it returns how long that took.
func (h *house) pass() (time.Duration, []string) {
	h.t.Helper()
	begun := h.clock.Now()
	for range 2000 {
		names, wait := h.work()
		if len(names) > 0 {
			return h.clock.Now().Sub(begun), names
		}
		h.clock.Advance(wait)
	}
	h.t.Fatal("nothing is ordered")
	return 0, nil
}

// shown is the certificate that a client gets who asks for a name.
func (h *house) shown(name string) *x509.Certificate {
	h.t.Helper()
	var c *tls.Certificate
	greeted(h.t, func(info *tls.ClientHelloInfo) { c = h.Certificate(info) }, name)
	if c == nil {
		return nil
	}
	if public, ok := c.PrivateKey.(crypto.Signer); !ok || !c.Leaf.PublicKey.(*ecdsa.PublicKey).Equal(public.Public()) {
		h.t.Fatalf("%s: the key is of another certificate", name)
	}
	return c.Leaf
}

// greeted hands to use what a client says, while it waits for the answer.
func greeted(t *testing.T, use func(*tls.ClientHelloInfo), name string, protocols ...string) {
	t.Helper()
	left, right := net.Pipe()
	server := tls.Server(left, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		use(h)
		return nil, errors.New("enough")
	}})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.HandshakeContext(context.WithoutCancel(t.Context())) // it fails as said
		left.Close()
	}()
	_ = tls.Client(right, &tls.Config{InsecureSkipVerify: true, ServerName: name, NextProtos: protocols}).Handshake() // which certificate is shown is the caller's to judge
	right.Close()
	<-ended
}

func refused(kind string) error {
	return fmt.Errorf("no: %w", acme.Problem{Type: kind, Detail: "said so"})
}

// check fails for every inconsistency of the store.
func (h *house) check() (faults []string) {
	h.t.Helper()
	err := h.DB.Read(h.t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
		faults, err = h.Check(ctx, tx)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return faults
}
