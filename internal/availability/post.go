package availability

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"

	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
)

// post sends a request to a provider. The caller must close the body of the response.
func post(ctx context.Context, client *http.Client, to, contentType string, body []byte, authorize func(*http.Request)) (*http.Response, *failure) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, failed(GenerationFailed, "the endpoint is not a URL that can be asked")
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("User-Agent", "Pennypost")
	authorize(r)
	response, err := client.Do(r)
	if err != nil {
		return nil, explain(err)
	}
	return response, nil
}

// explain says why there is no answer. It tells nothing of the answer itself and nothing of the server's own network.
func explain(err error) *failure {
	var refused *dial.Refused
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	var timeout net.Error
	var where *url.Error
	switch {
	case errors.As(err, &refused):
		return failed(GenerationFailed, "%v", refused)
	case errors.Is(err, dial.ErrTooLarge):
		return failed(SchemaValidation, "the answer is larger than %d bytes", maxAnswer)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &timeout) && timeout.Timeout():
		return failed(TimeoutExpired, "there was no whole answer in time")
	case errors.As(err, &certificate):
		return failed(GenerationFailed, "the certificate is not valid: %v", certificate.Err)
	case errors.As(err, &name):
		return failed(GenerationFailed, "the name %s can't be looked up", name.Name)
	case errors.As(err, &where):
		return failed(GenerationFailed, "there is no connection: %v", where.Err)
	}
	return failed(GenerationFailed, "the connection broke: %v", err)
}

// status says what an HTTP status other than 200 means.
func status(code int) *failure {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return failed(GenerationFailed, "the endpoint refused the credentials (HTTP %d)", code)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return failed(ServerBusy, "the endpoint is busy (HTTP %d)", code)
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return failed(TimeoutExpired, "the endpoint gave up (HTTP %d)", code)
	}
	return failed(GenerationFailed, "the endpoint answered HTTP %d", code)
}

// attributes are what the log tells of a failure.
func attributes(org directory.OrgID, r *row, f *failure) []slog.Attr {
	return []slog.Attr{
		slog.String("organization", string(org)), slog.String("domain", r.domain), slog.String("error", string(f.word)),
		slog.String("reason", f.reason),
	}
}
