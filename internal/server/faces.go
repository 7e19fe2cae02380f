package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/pennypost/pennypost/internal/awsapi"
	"github.com/pennypost/pennypost/internal/imap"
	"github.com/pennypost/pennypost/internal/smtp"
)

// faces are the protocols that programs and people reach the core by.
type faces struct {
	api        http.Handler
	inbound    *smtp.Server
	submission *smtp.Server
	imap       *imap.Server
}

// newFaces makes the faces on the core.
func (s *Server) newFaces() faces {
	c := s.core
	api := &awsapi.API{
		Directory: c.directory, Organizations: c.organizations, Policy: c.policy, Availability: c.availability,
		Pages: awsapi.NewPages(c.root.Derive("page tokens")),
	}
	mail := smtp.Config{
		Hostname: s.config.Hostname, Begin: smtp.Over(c.transport), TLS: s.certs.Config(), Clock: c.clock, Log: s.log, SpoolDir: c.spool,
		Limits: smtp.Limits{Message: s.config.MaxMessage()},
	}
	submission := mail
	submission.Authenticate = smtp.Through(c.door)
	return faces{
		api: awsapi.New(awsapi.Options{
			Keys: c.keys, Handlers: api.Handlers(), OrganizationARN: api.OrganizationARN,
			Account: s.config.AccountID, Region: s.config.Region,
			Clock: c.clock, Log: s.log, Metrics: s.metrics.registry, Audit: awsapi.Denials(c.audit, s.log),
		}),
		inbound:    smtp.New(mail),
		submission: smtp.New(submission),
		imap: imap.New(imap.Config{
			Mailboxes: c.mailboxes, Feed: c.feed, SignIn: imap.Through(c.door), TLS: s.certs.Config("imap"), Log: s.log, Spool: c.spool,
			MaxMessage: s.config.MaxMessage(),
		}),
	}
}

// serve serves each listener by its face until ctx ends.
func (s *Server) serve(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return serveHTTP(ctx, s.control, nil, controlHandler(s.verbs(), s.log), s.log) })

	api := s.metrics.countRequests(s.faces.api)
	web := func(key string, tlsConfig *tls.Config, h http.Handler) {
		if l, on := s.listeners[key]; on {
			g.Go(func() error { return serveHTTP(ctx, s.metrics.count(key, l), tlsConfig, h, s.log) })
		}
	}
	web("http", nil, behindProxies(api, s.config.TrustedProxies, true))
	web("https", s.certs.Config("h2", "http/1.1"), behindProxies(api, s.config.TrustedProxies, false))
	web("metrics", nil, s.metrics.handler(s.core.db))

	s.serveSMTP(ctx, g, s.faces.inbound, map[string]bool{"smtp": false})
	s.serveSMTP(ctx, g, s.faces.submission, map[string]bool{"submission": false, "submissions": true})
	if l, on := s.listeners["imap"]; on {
		g.Go(func() error { return s.faces.imap.Serve(ctx, s.metrics.count("imap", l)) })
	}
	if l, on := s.listeners["imaps"]; on {
		secure := tls.NewListener(s.metrics.count("imaps", l), s.certs.Config("imap"))
		g.Go(func() error { return s.faces.imap.Serve(ctx, secure) })
	}
}

// serveSMTP serves the listeners by one server until ctx ends; implicit says which of them speak TLS from the first byte.
func (s *Server) serveSMTP(ctx context.Context, g *errgroup.Group, face *smtp.Server, implicit map[string]bool) {
	for key, withTLS := range implicit {
		if l, on := s.listeners[key]; on {
			g.Go(func() error { return face.Serve(s.metrics.count(key, l), withTLS) })
		}
	}
	g.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := face.Shutdown(grace); !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return nil // who was still busy was cut off, and not told that his mail was taken
	})
}

// verbs are those of the operator, and what the server says of itself.
func (s *Server) verbs() map[string]verb {
	verbs := s.core.operatorVerbs()
	verbs["state"] = typed(func(context.Context, nothing) (state, error) {
		addresses := map[string]string{}
		for key, l := range s.listeners {
			addresses[key] = dialable(l.Addr())
		}
		return state{Ready: s.ready.Load(), Addresses: addresses, CAFile: s.certs.CAFile(), Region: s.config.Region}, nil
	})
	return verbs
}
