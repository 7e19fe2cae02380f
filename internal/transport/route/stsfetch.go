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

// ErrInvalidSTS says that a policy was served, but is none.
var ErrInvalidSTS = errors.New("the MTA-STS policy is not valid")

// STSFetcher fetches policies: over HTTPS, without following redirects. It is safe for concurrent use.
type STSFetcher struct {
	client *http.Client
	port   uint16
}

// NewSTSFetcher returns a fetcher that trusts roots, nil for the system's, and asks at port, zero for 443.
func NewSTSFetcher(d *dial.Dialer, roots *x509.CertPool, port uint16) *STSFetcher {
	c := d.Client(dial.HTTPOptions{Timeout: fetchTimeout, MaxBody: maxPolicy, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &STSFetcher{c, port}
}

// Fetch gets a domain's policy from its host. The error wraps ErrInvalidSTS or is an STSStatus where something else was served.
func (f *STSFetcher) Fetch(ctx context.Context, domain string) (body string, p *STSPolicy, err error) {
	host := "mta-sts." + domain
	if f.port != 0 && f.port != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(int(f.port)))
	}
	u := url.URL{Scheme: "https", Host: host, Path: "/.well-known/mta-sts.txt"}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", nil, err
	}
	request.Close = true // the next one is for tomorrow
	response, err := f.client.Do(request)
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close() // it was read as far as it counts
	if response.StatusCode != http.StatusOK {
		return "", nil, STSStatus(response.StatusCode)
	}
	// Where users may leave files, only the host's owner chooses this type.
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != "text/plain" {
		return "", nil, fmt.Errorf("%w: it is not text/plain", ErrInvalidSTS)
	}
	text, err := io.ReadAll(response.Body)
	if errors.Is(err, dial.ErrTooLarge) {
		return "", nil, fmt.Errorf("%w: %w", ErrInvalidSTS, err)
	}
	if err != nil {
		return "", nil, fmt.Errorf("read %s: %w", u.String(), err)
	}
	if p, err = parseSTS(string(text)); err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrInvalidSTS, err)
	}
	return string(text), p, nil
}

// STSStatus is the status of an answer that is no policy.
type STSStatus int

// Error names the status.
func (s STSStatus) Error() string {
	return fmt.Sprintf("the host of the policy answers %d %s", int(s), http.StatusText(int(s)))
}

// fetchResult is how TLS reports call a failure of fetch, and what they say of it: nothing of our own network.
func fetchResult(err error) (Result, string) {
	var certificate *tls.CertificateVerificationError
	var status STSStatus
	switch {
	case errors.Is(err, ErrInvalidSTS):
		return STSPolicyInvalid, err.Error()
	case errors.As(err, &certificate):
		return STSWebPKIInvalid, certificate.Err.Error()
	case errors.As(err, &status):
		return STSPolicyFetchError, err.Error()
	}
	return STSPolicyFetchError, "the host of the policy cannot be reached"
}
