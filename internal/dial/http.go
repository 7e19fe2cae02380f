package dial

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxRedirects is how many redirects one request follows.
const maxRedirects = 5

// HTTPOptions bound the requests of a client.
type HTTPOptions struct {
	// Timeout bounds a request from its connection to the end of its answer's body. Required.
	Timeout time.Duration
	// MaxBody is how many bytes an answer's body may have; reading more gives ErrTooLarge. Required.
	MaxBody int64
	// TLS, where it is not nil, is what the client trusts and shows. It is copied: net/http adds to what it is given.
	TLS *tls.Config
	// AllowHTTP lets URLs without TLS through. Without it they are refused, in redirects too.
	AllowHTTP bool
}

// ErrTooLarge says that an answer is larger than the client takes.
var ErrTooLarge = errors.New("the answer is too large")

// Client returns an HTTP client whose connections are the dialer's. It uses no proxy and keeps no cookies.
func (d *Dialer) Client(o HTTPOptions) *http.Client {
	t := &http.Transport{
		DialContext: d.DialContext, TLSClientConfig: o.TLS.Clone(), ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: connectTimeout, ResponseHeaderTimeout: o.Timeout, MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns: 16, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
	}
	return &http.Client{
		Transport: bounded{t, o}, Timeout: o.Timeout,
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			return nil
		},
	}
}

// bounded holds every request, and so every redirect, to the options.
type bounded struct {
	next    *http.Transport
	options HTTPOptions
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !b.options.AllowHTTP {
		return nil, fmt.Errorf("%s is not an https URL", r.URL.Redacted())
	}
	response, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response.Body = &boundedBody{response.Body, b.options.MaxBody}
	return response, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the connections.
func (b bounded) CloseIdleConnections() { b.next.CloseIdleConnections() }

// boundedBody is a body of which at most left more bytes may be read.
type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var one [1]byte
		n, err := b.ReadCloser.Read(one[:])
		if n > 0 {
			err = ErrTooLarge
		}
		return 0, err
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
