package certificate

import (
	"context"
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// TXT writes DNS records.
type TXT interface {
	// Add adds a TXT record, and returns once it can be seen, or ctx ended.
	Add(ctx context.Context, name, text string) error
	// Remove removes it. One that is not there is no error.
	Remove(ctx context.Context, name, text string) error
}

// challengePath is where a CA looks for HTTP01.
const challengePath = "/.well-known/acme-challenge/"

// answers are what a CA finds while it looks whether a name is ours.
type answers struct {
	mu    sync.RWMutex
	files map[string]string           // by path
	certs map[string]*tls.Certificate // by name
}

func (a *answers) solver(o ACMEOptions) acmez.Solver {
	switch o.Challenge {
	case TLSALPN01:
		return byHandshake{a}
	case DNS01:
		return byTXT{o.TXT}
	}
	return byFile{a}
}

// byFile solves HTTP01.
type byFile struct{ *answers }

func (a byFile) Present(_ context.Context, c acme.Challenge) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.files == nil {
		a.files = map[string]string{}
	}
	a.files[c.HTTP01ResourcePath()] = c.KeyAuthorization
	return nil
}

func (a byFile) CleanUp(_ context.Context, c acme.Challenge) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.files, c.HTTP01ResourcePath())
	return nil
}

// Serves reports whether a request is a CA's that looks whether a name is ours.
func (a *answers) Serves(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, challengePath) }

// ServeHTTP answers it, and nothing else.
func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.RLock()
	text, ok := a.files[r.URL.Path]
	a.mu.RUnlock()
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write([]byte(text)) // a client that is gone is no fault
}

// byHandshake solves TLSALPN01.
type byHandshake struct{ *answers }

func (a byHandshake) Present(_ context.Context, c acme.Challenge) error {
	cert, err := acmez.TLSALPN01ChallengeCert(c)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.certs == nil {
		a.certs = map[string]*tls.Certificate{}
	}
	a.certs[c.Identifier.Value] = cert
	return nil
}

func (a byHandshake) CleanUp(_ context.Context, c acme.Challenge) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.certs, c.Identifier.Value)
	return nil
}

// Handshake returns the settings for a handshake in which a CA looks whether a name is ours; nil for any other.
func (a *answers) Handshake(hello *tls.ClientHelloInfo) *tls.Config {
	if !slices.Equal(hello.SupportedProtos, []string{acmez.ACMETLS1Protocol}) {
		return nil
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	cert := a.certs[strings.ToLower(hello.ServerName)]
	if cert == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{acmez.ACMETLS1Protocol}, Certificates: []tls.Certificate{*cert}}
}

// byTXT solves DNS01.
type byTXT struct{ TXT }

// cleanUpTime bounds the removal of a record, which is tried even where the order was given up, as when the server stops.
const cleanUpTime = 10 * time.Second

func (b byTXT) Present(ctx context.Context, c acme.Challenge) error {
	if err := b.Add(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization()); err != nil {
		return unwritten{err}
	}
	return nil
}

func (b byTXT) CleanUp(ctx context.Context, c acme.Challenge) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	return b.Remove(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}
