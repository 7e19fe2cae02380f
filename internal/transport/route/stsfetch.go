package route

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/pennypost/pennypost/internal/dial"
)

const (
	fetchTimeout = time.Minute // RFC 8461 section 3.3
	maxPolicy    = 64 << 10    // bytes, as there
)

// errInvalid says that a policy was served, but is none.
var errInvalid = errors.New("the MTA-STS policy is not valid")

// policyClient fetches policies: over HTTPS, without following redirects.
func policyClient(d *dial.Dialer, roots *x509.CertPool) *http.Client {
	c := d.Client(dial.HTTPOptions{Timeout: fetchTimeout, MaxBody: maxPolicy, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// fetch gets a domain's policy from its host.
func (r *Router) fetch(ctx context.Context, domain string) (body string, p *stsPolicy, err error) {
	host := "mta-sts." + domain
	if r.PolicyPort != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(int(r.PolicyPort)))
	}
	u := url.URL{Scheme: "https", Host: host, Path: "/.well-known/mta-sts.txt"}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", nil, err
	}
	response, err := r.client.Do(request)
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close() // it was read as far as it counts
	if response.StatusCode != http.StatusOK {
		return "", nil, statusError(response.StatusCode)
	}
	// Where users may leave files, only the host's owner chooses this type.
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != "text/plain" {
		return "", nil, fmt.Errorf("%w: it is not text/plain", errInvalid)
	}
	text, err := io.ReadAll(response.Body)
	if errors.Is(err, dial.ErrTooLarge) {
		return "", nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	if err != nil {
		return "", nil, fmt.Errorf("read %s: %w", u.String(), err)
	}
	if p, err = parseSTS(string(text)); err != nil {
		return "", nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	return string(text), p, nil
}

// statusError is an answer that is no policy.
type statusError int

// Error names the status.
func (s statusError) Error() string {
	return fmt.Sprintf("the host of the policy answers %d %s", int(s), http.StatusText(int(s)))
}

// fetchResult is how TLS reports call a failure of fetch, and what they say of it: nothing of our own network.
func fetchResult(err error) (Result, string) {
	var certificate *tls.CertificateVerificationError
	var status statusError
	switch {
	case errors.Is(err, errInvalid):
		return STSPolicyInvalid, err.Error()
	case errors.As(err, &certificate):
		return STSWebPKIInvalid, certificate.Err.Error()
	case errors.As(err, &status):
		return STSPolicyFetchError, err.Error()
	}
	return STSPolicyFetchError, "the host of the policy cannot be reached"
}
