package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/web"
)

// newWeb makes the sign-in page on the core.
func (s *Server) newWeb() (*web.Handler, error) {
	providers := map[string]web.Provider{}
	for arn, i := range s.config.IdentityCenter {
		p, err := openProvider(i)
		if err != nil {
			return nil, fmt.Errorf("identity_center.%q: %w", arn, err)
		}
		providers[arn] = p
	}
	return web.New(web.Config{
		Door: s.core.door, Center: s.core.center, Directory: s.core.directory, Domains: s.core.domains, Providers: providers,
		Dialer: s.core.dialer, Root: s.core.root, Clock: s.core.clock, Log: s.log,
	}), nil
}

func openProvider(i config.IdentityCenter) (web.Provider, error) {
	p := web.Provider{Issuer: i.Issuer, ClientID: i.ClientID}
	var err error
	if p.ClientSecret, err = i.ClientSecret(); err != nil || i.CAFile == "" {
		return p, err
	}
	pem, err := os.ReadFile(i.CAFile)
	if err != nil {
		return p, fmt.Errorf("ca_file: %w", err)
	}
	p.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !p.TLS.RootCAs.AppendCertsFromPEM(pem) {
		return p, fmt.Errorf("ca_file: %s holds no certificate in PEM", i.CAFile)
	}
	return p, nil
}

// beside serves the pages for people beside the API, whose routes stay as they are.
func beside(api, page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if web.Serves(r) {
			page.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}
