// Package pennyposttest starts a Pennypost inside a Go test and hands back an AWS configuration for it:
//
//	s := pennyposttest.Start(t)
//	api := workmail.NewFromConfig(s.AWS())
//	out, err := api.CreateOrganization(ctx, &workmail.CreateOrganizationInput{Alias: aws.String("example")})
//
// It is the whole server, with its API, SMTP, submission and IMAP, on free ports of this machine. It keeps nothing, is ready
// in a moment, and ends with the test.
package pennyposttest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/server"
)

// Server is a running Pennypost.
type Server struct {
	t   testing.TB
	dir string
	env server.Environment
}

// Option changes how a server starts.
type Option func(settings map[string]string)

// Setting gives a setting another value than its default, by its name in the configuration file: "region", "account_id",
// "test_domain_suffix", "dns_resolver" …
func Setting(key, value string) Option {
	return func(settings map[string]string) { settings[key] = value }
}

// Start starts a server, waits until it is ready, and stops it at the end of the test. What it logs at the level of a warning
// or above goes to the test's log.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	dir := t.TempDir()
	settings := map[string]string{"data": dir, "hostname": "localhost"}
	for _, key := range []string{"http", "https", "smtp", "submission", "submissions", "imap", "imaps", "managesieve"} {
		settings[key] = "127.0.0.1:0"
	}
	for _, o := range options {
		o(settings)
	}
	c, err := config.Load(config.Sources{Values: settings})
	if err != nil {
		t.Fatalf("pennyposttest: %v", err)
	}
	log := slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, stop := context.WithCancel(context.Background())
	running, err := server.New(ctx, c, server.Options{Memory: true, Version: "test", Log: log})
	if err != nil {
		stop()
		t.Fatalf("pennyposttest: %v", err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- running.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("pennyposttest: the server stopped with an error: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("pennyposttest: the server did not start: %v", err)
	}
	s := &Server{t: t, dir: dir}
	if s.env, err = server.Inspect(ctx, dir, ""); err != nil {
		t.Fatalf("pennyposttest: %v", err)
	}
	return s
}

// AWS returns a configuration for clients of the AWS SDK for Go v2: WorkMail, and STS to ask who calls. The credentials are
// those of an administrator who may do everything.
func (s *Server) AWS() aws.Config {
	key := s.env.Key
	return aws.Config{
		Region:       s.env.Region,
		BaseEndpoint: aws.String(s.env.Endpoint),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret, Source: "pennyposttest"}, nil
		}),
	}
}

// Addr returns the address, host:port, of a listener: "http", "https", "smtp", "submission", "submissions", "imap",
// "imaps" or "managesieve". It fails the test for one that is off.
func (s *Server) Addr(listener string) string {
	s.t.Helper()
	address := s.env.Addresses[listener]
	if address == "" {
		s.t.Fatalf("pennyposttest: the server does not listen for %q", listener)
	}
	return address
}

// TLS returns settings for a TLS client that trusts the server's certificate, which is good for localhost and 127.0.0.1.
func (s *Server) TLS() *tls.Config {
	s.t.Helper()
	pem, err := os.ReadFile(s.env.CAFile)
	if err != nil {
		s.t.Fatalf("pennyposttest: %v", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		s.t.Fatalf("pennyposttest: %s holds no certificate", s.env.CAFile)
	}
	return &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

// VerifyDomain vouches for a mail domain, which RegisterMailDomain left pending: there is no DNS to ask.
func (s *Server) VerifyDomain(organization, domain string) {
	s.t.Helper()
	if err := server.Beside(s.dir).VerifyDomain(s.t.Context(), server.DomainRef{Organization: organization, Domain: domain}); err != nil {
		s.t.Fatalf("pennyposttest: verify domain %s: %v", domain, err)
	}
}

// testLog writes each record of the log to a test's.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Helper()
	l.t.Logf("%s", p)
	return len(p), nil
}
