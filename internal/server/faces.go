package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"

	"github.com/pennypost/pennypost/internal/awsapi"
	"github.com/pennypost/pennypost/internal/imap"
	"github.com/pennypost/pennypost/internal/managesieve"
	"github.com/pennypost/pennypost/internal/smtp"
	"github.com/pennypost/pennypost/internal/web"
)

// faces are the protocols that programs and people reach the core by.
type faces struct {
	api        http.Handler
	inbound    *smtp.Server
	submission *smtp.Server
	imap       *imap.Server
	sieve      *managesieve.Server
	web        *web.Handler
}

// newFaces makes the faces on the core.
func (s *Server) newFaces() (faces, error) {
	c := s.core
	api := &awsapi.API{
		Directory: c.directory, Organizations: c.organizations, Policy: c.policy, Exports: c.exports, Impersonation: c.impersonation, Center: c.center, Availability: c.availability,
		Domains: c.domains, Flow: c.flow, Replies: c.replies, Journal: c.journal, Contents: c.contents, Queue: c.managed(), Reports: c.reports, Pages: awsapi.NewPages(c.root.Derive("page tokens")),
	}
	mail := smtp.Config{
		Hostname: s.config.Hostname, Begin: smtp.Over(c.transport), TLS: s.certs.Config(), Clock: c.clock, Log: s.log, SpoolDir: c.spool,
		Limits: smtp.Limits{Message: s.config.MaxMessage()}, Admit: smtp.Past(c.strangers),
	}
	submission := mail
	submission.Authenticate, submission.Admit = smtp.Through(c.door), smtp.Past(c.users)
	page, err := s.newWeb()
	if err != nil {
		return faces{}, err
	}
	return faces{
		web: page,
		api: awsapi.New(awsapi.Options{
			Keys: c.keys, Handlers: api.Handlers(), OrganizationARN: api.OrganizationARN, MessageARN: api.MessageARN,
			Account: s.config.AccountID, Region: s.config.Region,
			Clock: c.clock, Log: s.log, Metrics: s.metrics.set, Audit: awsapi.Denials(c.audit, s.log),
		}),
		inbound:    smtp.New(mail),
		submission: smtp.New(submission),
		imap: imap.New(imap.Config{
			Mailboxes: c.mailboxes, Feed: c.feed, Audit: c.audit, SignIn: imap.Through(c.door), TLS: s.certs.Config("imap"), Log: s.log, Spool: c.spool,
			MaxMessage: s.config.MaxMessage(),
		}),
		sieve: managesieve.New(managesieve.Config{
			Scripts: c.scripts, SignIn: managesieve.Through(c.door), TLS: s.certs.Config("managesieve"), Log: s.log,
		}),
	}, nil
}

// serve serves each listener by its face until ctx ends.
func (s *Server) serve(ctx context.Context, g parts) {
	g.Go(func() error { return serveHTTP(ctx, s.control, nil, controlHandler(s.verbs(), s.log), s.log) })

	api := s.answering(beside(s.metrics.countRequests(s.faces.api), s.metrics.countPages(s.faces.web)))
	trusted := proxies(s.config.TrustedProxies)
	web := func(key string, tlsConfig *tls.Config, h http.Handler) {
		if l, on := s.listeners[key]; on {
			l = s.metrics.count(key, l, s.log)
			if key != "metrics" {
				l = behind(l, trusted, true, s.log)
			}
			g.Go(func() error { return serveHTTP(ctx, l, tlsConfig, h, s.log) })
		}
	}
	web("http", nil, behindProxies(api, trusted, true))
	web("https", s.certs.Config("h2", "http/1.1"), behindProxies(api, trusted, false))
	if _, on := s.listeners["metrics"]; on {
		web("metrics", nil, s.metrics.handler(s.core.db))
	}
	web("acme_http", nil, s.answering(http.NotFoundHandler()))

	s.serveSMTP(ctx, g, s.faces.inbound, map[string]bool{"smtp": false})
	s.serveSMTP(ctx, g, s.faces.submission, map[string]bool{"submission": false, "submissions": true})
	if l, on := s.listeners["imap"]; on {
		g.Go(func() error { return s.faces.imap.Serve(ctx, s.mail("imap", l)) })
	}
	if l, on := s.listeners["imaps"]; on {
		secure := tls.NewListener(s.mail("imaps", l), s.certs.Config("imap"))
		g.Go(func() error { return s.faces.imap.Serve(ctx, secure) })
	}
	if l, on := s.listeners["managesieve"]; on {
		g.Go(func() error { return s.faces.sieve.Serve(ctx, s.mail("managesieve", l)) })
	}
}

// mail is a listener for mail whose connections are counted and have their clients' addresses.
func (s *Server) mail(key string, l net.Listener) net.Listener {
	return behind(s.metrics.count(key, l, s.log), s.config.TrustedProxies, false, s.log)
}

// serveSMTP serves the listeners by one server until ctx ends; implicit says which of them speak TLS from the first byte.
func (s *Server) serveSMTP(ctx context.Context, g parts, face *smtp.Server, implicit map[string]bool) {
	for key, withTLS := range implicit {
		if l, on := s.listeners[key]; on {
			g.Go(func() error { return face.Serve(s.mail(key, l), withTLS) })
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
		return state{Ready: s.ready.Load(), Addresses: addresses, CAFile: s.certs.CAFile(), Region: s.config.Region, Hostname: s.config.Hostname}, nil
	})
	return verbs
}
