package tls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
)

// handshake connects to a server with s's settings and returns the certificate it showed, verified for host by the CA file.
func handshake(t *testing.T, s *Source, caFile, host string, now time.Time) (*x509.Certificate, error) {
	t.Helper()
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", caFile)
	}
	left, right := net.Pipe()
	served := make(chan error, 1)
	go func() {
		defer left.Close()
		served <- tls.Server(left, s.Config()).Handshake()
	}()
	client := tls.Client(right, &tls.Config{RootCAs: roots, ServerName: host, Time: func() time.Time { return now }})
	err = client.Handshake()
	right.Close()
	<-served
	if err != nil {
		return nil, err
	}
	return client.ConnectionState().PeerCertificates[0], nil
}

func options(t *testing.T, c clock.Clock) (Options, *bytes.Buffer) {
	var log bytes.Buffer
	return Options{Dir: filepath.Join(t.TempDir(), "tls"), Hostname: "mail.example", Clock: c, Log: slog.New(slog.NewTextHandler(&log, nil))}, &log
}

func TestDevelopmentCertificate(t *testing.T) {
	fake := clock.NewFake(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	o, _ := options(t, fake)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "mail.example"} {
		if _, err := handshake(t, s, s.CAFile(), host, fake.Now()); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := handshake(t, s, s.CAFile(), "elsewhere.example", fake.Now()); err == nil {
		t.Error("the certificate is good for a name it was not made for")
	}
	info, err := os.Stat(filepath.Join(o.Dir, "key.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v (%v)", info.Mode(), err)
	}
	files, _ := filepath.Glob(filepath.Join(o.Dir, "*"))
	if len(files) != 3 {
		t.Errorf("the directory holds %v: the authority's key must not be kept", files)
	}
}

func TestDevelopmentCertificateIsKept(t *testing.T) {
	fake := clock.NewFake(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	o, _ := options(t, fake)
	read := func() string {
		t.Helper()
		if _, err := New(o); err != nil {
			t.Fatal(err)
		}
		pem, err := os.ReadFile(filepath.Join(o.Dir, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		return string(pem)
	}
	first := read()
	if read() != first {
		t.Error("a second start makes another certificate")
	}
	o.Hostname = "other.example"
	second := read()
	if second == first {
		t.Error("another host name keeps the certificate")
	}
	fake.Advance(validFor - renewBefore + time.Hour)
	third := read()
	if third == second {
		t.Error("a certificate about to expire is kept")
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "key.pem"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if read() == third {
		t.Error("a certificate whose key is damaged is kept")
	}
}

func TestDevelopmentCertificateIsRenewedWhileServing(t *testing.T) {
	fake := clock.NewFake(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	o, _ := options(t, fake)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(kept, old, 0o600); err != nil {
		t.Fatal(err)
	}
	fake.Advance(validFor - renewBefore + time.Hour)
	// This handshake finds the certificate about to expire. Who trusts the old authority alone must fetch the new one.
	if _, err := handshake(t, s, kept, "localhost", fake.Now()); err == nil {
		t.Error("the certificate is not renewed before it expires")
	}
	if _, err := handshake(t, s, s.CAFile(), "localhost", fake.Now()); err != nil {
		t.Errorf("long after the start: %v", err)
	}
}

// pair makes a self-signed certificate by way of a development source, as files of an operator's own.
func pair(t *testing.T, dir, host string, now time.Time) (cert, key []byte) {
	t.Helper()
	o := Options{Dir: dir, Hostname: host, Clock: clock.NewFake(now), Log: slog.New(slog.DiscardHandler)}
	if _, err := New(o); err != nil {
		t.Fatal(err)
	}
	leaf, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err = os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return append(leaf, ca...), key
}

func TestOwnCertificateIsReadAgain(t *testing.T) {
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	fake := clock.NewFake(now)
	dir := t.TempDir()
	o, log := options(t, fake)
	o.CertFile, o.KeyFile = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	version := now
	write := func(cert, key []byte) {
		t.Helper()
		version = version.Add(time.Minute)
		for path, content := range map[string][]byte{o.CertFile: cert, o.KeyFile: key} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, version, version); err != nil { // two writes may fall in one tick of the file system's clock
				t.Fatal(err)
			}
		}
		fake.Advance(recheck)
	}
	write(pair(t, filepath.Join(dir, "a"), "a.example", now))
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if s.CAFile() != o.CertFile {
		t.Errorf("a chain that ends in a self-signed certificate: CA file %q", s.CAFile())
	}
	if _, err := handshake(t, s, o.CertFile, "a.example", now); err != nil {
		t.Fatal(err)
	}
	write(pair(t, filepath.Join(dir, "b"), "b.example", now))
	if _, err := handshake(t, s, o.CertFile, "b.example", now); err != nil {
		t.Errorf("after the change: %v", err)
	}
	good, err := os.ReadFile(o.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(dir, "kept")
	if err := os.WriteFile(kept, good, 0o600); err != nil {
		t.Fatal(err)
	}
	write([]byte("half a certi"), []byte("ficate"))
	for range 3 {
		if _, err := handshake(t, s, kept, "b.example", now); err != nil {
			t.Errorf("a damaged pair ends the service: %v", err)
		}
		fake.Advance(recheck)
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("the damaged pair is logged %d times:\n%s", n, log)
	}
	if err := os.Remove(o.CertFile); err != nil {
		t.Fatal(err)
	}
	fake.Advance(recheck)
	if _, err := handshake(t, s, kept, "b.example", now); err != nil {
		t.Errorf("a missing file ends the service: %v", err)
	}
}

func TestOwnCertificateOfAnotherIssuer(t *testing.T) {
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	pair(t, dir, "a.example", now)
	o, _ := options(t, clock.NewFake(now))
	o.CertFile, o.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if s.CAFile() != "" {
		t.Errorf("the CA file of a certificate without its issuer is %q", s.CAFile())
	}
	o.KeyFile = filepath.Join(dir, "none")
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), o.KeyFile) {
		t.Errorf("a missing key: %v", err)
	}
	o.KeyFile = o.CertFile
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), o.CertFile) {
		t.Errorf("a certificate as key: %v", err)
	}
}

func TestOldProtocolsAreRefused(t *testing.T) {
	o, _ := options(t, clock.System{})
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	left, right := net.Pipe()
	served := make(chan error, 1)
	go func() {
		defer left.Close()
		served <- tls.Server(left, s.Config()).Handshake()
	}()
	err = tls.Client(right, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}).Handshake()
	right.Close()
	<-served
	if err == nil {
		t.Error("TLS 1.1 is accepted")
	}
}

func TestTheCAFileCanBeReadFromAnywhere(t *testing.T) {
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	t.Chdir(dir)
	o, _ := options(t, clock.NewFake(now))
	o.CertFile, o.KeyFile = "cert", "key"
	cert, key := pair(t, filepath.Join(dir, "a"), "a.example", now)
	for path, content := range map[string][]byte{o.CertFile: cert, o.KeyFile: key} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.CAFile(), filepath.Join(dir, "cert"); got != want {
		t.Errorf("CA file %q, want %q", got, want)
	}
}

// TestOwnCertificateInThePlaceOfTheDevelopmentOne: tls/cert.pem in the data directory may be the operator's.
func TestOwnCertificateInThePlaceOfTheDevelopmentOne(t *testing.T) {
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	fake := clock.NewFake(now)
	o, _ := options(t, fake)
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	o.CertFile, o.KeyFile = filepath.Join(o.Dir, "cert.pem"), filepath.Join(o.Dir, "key.pem")
	cert, key := pair(t, filepath.Join(t.TempDir(), "a"), "a.example", now)
	for path, content := range map[string][]byte{o.CertFile: cert, o.KeyFile: key} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if s.CAFile() != o.CertFile {
		t.Errorf("CA file %q, want %q", s.CAFile(), o.CertFile)
	}
	fake.Advance(20 * 365 * 24 * time.Hour)
	s.certificate()
	if err := s.RemoveDevelopment(); err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(o.CertFile); err != nil || !bytes.Equal(kept, cert) {
		t.Errorf("the operator's certificate was replaced or removed (%v)", err)
	}
}

// issued stands for certificates by ACME.
type issued struct {
	by        *Source
	none      bool
	challenge *tls.Config
}

func (i *issued) Certificate(*tls.ClientHelloInfo) *tls.Certificate {
	if i.none {
		return nil
	}
	return i.by.certificate()
}

func (i *issued) Challenge(*tls.ClientHelloInfo) *tls.Config { return i.challenge }

// TestIssuedCertificates: the development certificate answers until there is another, and afterwards to who asks for localhost.
func TestIssuedCertificates(t *testing.T) {
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	o, _ := options(t, clock.NewFake(now))
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	development := s.CAFile()
	other, _ := options(t, clock.NewFake(now))
	by, err := New(other)
	if err != nil {
		t.Fatal(err)
	}
	i := &issued{by: by, none: true}
	s.Use(i)
	good := func(file, host string) bool { _, err := handshake(t, s, file, host, now); return err == nil }
	if !good(development, "mail.example") || s.CAFile() != development {
		t.Error("without an issued certificate the development one is not shown")
	}
	i.none = false
	if !good(by.CAFile(), "mail.example") || good(development, "mail.example") || !good(development, "localhost") || s.CAFile() != "" {
		t.Error("the wrong certificate is shown")
	}
	if !s.NotAfter().Equal(now.Add(validFor)) {
		t.Errorf("the development certificate is valid until %v", s.NotAfter())
	}
	third, _ := options(t, clock.NewFake(now))
	challenge, err := New(third)
	if err != nil {
		t.Fatal(err)
	}
	i.challenge = challenge.Config()
	if !good(challenge.CAFile(), "mail.example") {
		t.Error("the CA's handshake has no settings of its own")
	}
}
