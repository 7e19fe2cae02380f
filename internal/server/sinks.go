package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/audit/sink"
	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/dial"
)

// Bounds of one request to a log group.
const (
	sinkTimeout = 30 * time.Second
	sinkAnswer  = 1 << 20
)

// linger is how long what is told waits for more to be sent with it.
const linger = 250 * time.Millisecond

// logGroups makes the log groups of the configuration.
func logGroups(c *config.Config, d *dial.Dialer) (map[string]audit.Group, error) {
	groups := map[string]audit.Group{}
	for arn, g := range c.LogGroups {
		s, err := newSink(arn, g, d)
		if err != nil {
			return nil, fmt.Errorf("log_group.%q: %w", arn, err)
		}
		group := audit.Group{Sink: s, Organizations: g.Organizations}
		for _, name := range g.AuditLogs {
			group.AuditLogs = append(group.AuditLogs, audit.Stream(name))
		}
		groups[arn] = group
	}
	return groups, nil
}

func newSink(arn string, g config.LogGroup, d *dial.Dialer) (audit.Sink, error) {
	if g.Kind == "file" {
		return sink.File{Path: g.Path}, nil
	}
	trust, err := trusted(g.CAFile)
	if err != nil {
		return nil, err
	}
	token := ""
	if g.TokenFile != "" {
		text, err := os.ReadFile(g.TokenFile)
		if err != nil {
			return nil, err
		}
		token = strings.TrimSpace(string(text))
	}
	client := d.Client(dial.HTTPOptions{
		Timeout: sinkTimeout, MaxBody: sinkAnswer, TLS: trust, AllowHTTP: strings.HasPrefix(g.URL, "http://"),
	})
	post := sink.HTTP{Client: client, URL: g.URL, Token: token}
	switch g.Kind {
	case "https":
		return post, nil
	case "otlp":
		return sink.OTLP{HTTP: post, LogGroup: arn}, nil
	case "cloudwatch":
		return sink.NewCloudWatch(client, arn, g.URL)
	}
	return nil, fmt.Errorf("kind %q is unknown", g.Kind)
}

// trusted returns what a client trusts that trusts the certificates in a file alone; nil, which is the system's, for no file.
func trusted(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
