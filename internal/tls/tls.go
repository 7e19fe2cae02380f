// Package tls keeps the server's certificate: the operator's own, read again when its files change, those that a CA issued, by name, or
// a development certificate that the server makes for itself.
//
// Import it as certs; the name tls stays with the standard library.
package tls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
)

// recheck is how often, at most, a handshake looks whether the certificate's files have changed.
const recheck = time.Second

// Options say which certificate to keep.
type Options struct {
	// CertFile and KeyFile are the operator's own, PEM. Empty means a development certificate.
	CertFile, KeyFile string
	// Dir is where the development certificate lies: ca.pem, cert.pem and key.pem. Created if need be.
	Dir string
	// Hostname is in the development certificate beside localhost, 127.0.0.1 and ::1.
	Hostname string
	Clock    clock.Clock
	Log      *slog.Logger
}

// Issued are certificates that a CA issued.
type Issued interface {
	// Certificate is the one to show in a handshake; nil while there is none at all.
	Certificate(*tls.ClientHelloInfo) *tls.Certificate
	// Challenge is for a handshake in which the CA looks whether a name is ours (RFC 8737); nil for any other.
	Challenge(*tls.ClientHelloInfo) *tls.Config
}

// Source hands the current certificate to every handshake. It is safe for concurrent use.
type Source struct {
	o      Options
	own    bool   // the certificate is the operator's, wherever it lies
	issued Issued // nil for none

	mu      sync.Mutex
	current *tls.Certificate
	seen    [2]stamp  // the files that current was read from, or that could not be used
	looked  time.Time // when they were last compared
}

// stamp tells whether a file is still the one that was read.
type stamp struct {
	modified time.Time
	size     int64
}

// New reads the operator's certificate or makes sure that there is a development certificate.
func New(o Options) (*Source, error) {
	s := &Source{o: o, own: o.CertFile != ""}
	var err error
	// CAFile tells others where the certificate is, and they may stand in another directory.
	if s.o.CertFile, err = filepath.Abs(o.CertFile); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if !s.own {
		s.o.CertFile, s.o.KeyFile = filepath.Join(o.Dir, "cert.pem"), filepath.Join(o.Dir, "key.pem")
		if err := s.ensureDevelopment(); err != nil {
			return nil, err
		}
	}
	stamps, err := s.stat()
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if s.current, err = load(s.o.CertFile, s.o.KeyFile); err != nil {
		return nil, err
	}
	s.seen, s.looked = stamps, o.Clock.Now()
	return s, nil
}

// Use shows certificates that a CA issued as soon as there are some, and the development certificate until then and to who asks for localhost.
// It is called before the first handshake.
func (s *Source) Use(i Issued) { s.issued = i }

// CAFile is the file of the certificate that a client must trust to believe the server's. It is empty where the certificate
// was issued by somebody else: whom to trust is then the client's own affair.
func (s *Source) CAFile() string {
	if s.issued != nil && s.issued.Certificate(&tls.ClientHelloInfo{}) != nil {
		return ""
	}
	if !s.own {
		return filepath.Join(s.o.Dir, "ca.pem")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last, err := x509.ParseCertificate(s.current.Certificate[len(s.current.Certificate)-1])
	if err != nil || last.CheckSignature(last.SignatureAlgorithm, last.RawTBSCertificate, last.Signature) != nil {
		return ""
	}
	return s.o.CertFile
}

// Config returns settings for a server: TLS 1.2 or newer, and the application protocols named, if any.
func (s *Source) Config(protocols ...string) *tls.Config {
	c := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     protocols,
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return s.choose(h), nil },
	}
	if s.issued != nil {
		c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) { return s.issued.Challenge(h), nil }
	}
	return c
}

func (s *Source) choose(h *tls.ClientHelloInfo) *tls.Certificate {
	if s.issued != nil && h.ServerName != "localhost" {
		if c := s.issued.Certificate(h); c != nil {
			return c
		}
	}
	return s.certificate()
}

// NotAfter is until when the certificate of the files is valid, the operator's or the development one.
func (s *Source) NotAfter() time.Time { return s.certificate().Leaf.NotAfter }

// certificate returns the current certificate, after looking whether its files have changed. A changed pair that can't be
// used is logged once, and the one before stays: a half-finished renewal must not end the service.
func (s *Source) certificate() *tls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Clock.Now()
	if now.Sub(s.looked) < recheck {
		return s.current
	}
	s.looked = now
	if !s.own && now.After(s.current.Leaf.NotAfter.Add(-renewBefore)) {
		if err := s.ensureDevelopment(); err != nil {
			s.o.Log.Error("the development certificate could not be renewed", "error", err)
		}
	}
	stamps, err := s.stat()
	if err != nil {
		if s.seen != ([2]stamp{}) {
			s.o.Log.Error("the certificate's files can't be read; the one read before stays in use", "error", err)
			s.seen = [2]stamp{}
		}
		return s.current
	}
	if stamps == s.seen {
		return s.current
	}
	s.seen = stamps
	next, err := load(s.o.CertFile, s.o.KeyFile)
	if err != nil {
		s.o.Log.Error("the changed certificate can't be used; the one read before stays in use", "error", err)
		return s.current
	}
	s.current = next
	s.o.Log.Info("the certificate was read again", "file", s.o.CertFile, "valid_until", next.Leaf.NotAfter)
	return s.current
}

func (s *Source) stat() (stamps [2]stamp, err error) {
	for i, path := range []string{s.o.CertFile, s.o.KeyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return stamps, err
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, nil
}

func load(certFile, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("the certificate %s and the key %s can't be used: %w", certFile, keyFile, err)
	}
	return &pair, nil
}
