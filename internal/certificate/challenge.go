package certificate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/pennypost/pennypost/internal/clock"
)

// Record is a TXT record.
type Record struct{ Zone, Name, Text string }

// TXT writes DNS records.
type TXT interface {
	// Place finds where a record for a name is to be written.
	Place(ctx context.Context, name string) (zone, at string, err error)
	// Add adds a record, and returns once it can be seen, or ctx ended.
	Add(ctx context.Context, r Record) error
	// Remove removes it. One that is not there is no error.
	Remove(ctx context.Context, r Record) error
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
		return byTXT{o.TXT, store{o.DB, o.Root}, o.Clock}
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

// byTXT solves DNS01. What it writes is in the table acme_record until it is removed: by the name alone it might not be found again.
type byTXT struct {
	TXT
	store store
	clock clock.Clock
}

const (
	// cleanUpTime bounds the removal of records, which is tried even where the order was given up, as when the server stops.
	cleanUpTime = 10 * time.Second
	// leftAfter is when a record that can't be removed is given up.
	leftAfter = 24 * time.Hour
)

func (b byTXT) Present(ctx context.Context, c acme.Challenge) error {
	r := Record{Text: c.DNS01KeyAuthorization()}
	var err error
	if r.Zone, r.Name, err = b.Place(ctx, c.DNS01TXTRecordName()); err != nil {
		return unwritten{err}
	}
	if err := b.store.addRecord(ctx, r, b.clock.Now()); err != nil {
		return err
	}
	if err := b.Add(ctx, r); err != nil {
		return unwritten{err}
	}
	return nil
}

// CleanUp removes all records: orders are made one after the other.
func (b byTXT) CleanUp(ctx context.Context, _ acme.Challenge) error {
	return b.tidy(context.WithoutCancel(ctx))
}

func (b byTXT) tidy(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, cleanUpTime)
	defer cancel()
	records, err := b.store.records(limited)
	for r, made := range records {
		failure := b.Remove(limited, r)
		if failure == nil || b.clock.Now().Sub(made) >= leftAfter {
			failure = errors.Join(failure, b.store.removeRecord(ctx, r))
		}
		if failure != nil {
			err = errors.Join(err, fmt.Errorf("the record %s of the zone %s is left there: %w", r.Name, r.Zone, failure))
		}
	}
	return err
}
