package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/pennypost/pennypost/internal/awsapi"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
)

// faces are the protocols that programs and people reach the core by.
type faces struct {
	api http.Handler
	// mail is by the setting of the listener.
	mail map[string]mailListener
}

// mailListener is the face of a mail port.
type mailListener struct {
	face     mailFace
	implicit bool // TLS from the first byte
}

// mailFace is what smtp and imap servers are to the wiring.
type mailFace interface {
	Serve(l net.Listener, implicitTLS bool) error
	// Shutdown ends Serve, lets what runs finish until ctx ends, and then cuts it off.
	Shutdown(ctx context.Context) error
}

// newFaces makes the faces on the core.
func (s *Server) newFaces() faces {
	api := awsapi.New(awsapi.Options{
		Keys: s.core.keys, OrganizationARN: s.core.organizationARN,
		Account: s.config.AccountID, Region: s.config.Region,
		Clock: s.core.clock, Log: s.log, Metrics: s.metrics.registry,
	})
	return faces{api: api, mail: map[string]mailListener{}}
}

// organizationARN names an organisation in policies; it is asked before the organisation's state matters.
func (c *core) organizationARN(ctx context.Context, id string) (arn string, err error) {
	err = c.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := c.directory.OrganizationTx(ctx, tx, directory.OrgID(id))
		if err == nil {
			arn = o.ARN()
		}
		return err
	})
	return arn, err
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

	running := map[mailFace]struct{}{}
	for key, m := range s.faces.mail {
		l, on := s.listeners[key]
		if !on {
			continue
		}
		running[m.face] = struct{}{}
		g.Go(func() error { return m.face.Serve(s.metrics.count(key, l), m.implicit) })
	}
	for face := range running {
		g.Go(func() error {
			<-ctx.Done()
			grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			if err := face.Shutdown(grace); !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return nil // who was still busy was cut off
		})
	}
}

// verbs are those of the operator, and what the server says of itself.
func (s *Server) verbs() map[string]verb {
	verbs := s.core.operatorVerbs()
	verbs["state"] = typed(func(context.Context, nothing) (state, error) {
		addresses := map[string]string{}
		for key, l := range s.listeners {
			if key != "metrics" {
				addresses[key] = dialable(l.Addr())
			}
		}
		return state{Ready: s.ready.Load(), Addresses: addresses, CAFile: s.certs.CAFile(), Region: s.config.Region}, nil
	})
	return verbs
}
