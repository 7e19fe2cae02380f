package sink

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/pennypost/pennypost/internal/audit"
)

// HTTP posts records as JSON lines (application/x-ndjson) to a URL, which takes them by answering 2xx.
type HTTP struct {
	Client *http.Client
	URL    string
	// Token, where there is one, is sent as a bearer token.
	Token string
}

// Send posts the records.
func (h HTTP) Send(ctx context.Context, records []audit.LogRecord) error {
	_, err := h.post(ctx, "application/x-ndjson", lines(records))
	return err
}

// post returns the answer's body. That of an error says nothing: it may repeat what was sent.
func (h HTTP) post(ctx context.Context, contentType string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("log endpoint: %w", err)
	}
	r.Header.Set("Content-Type", contentType)
	if h.Token != "" {
		r.Header.Set("Authorization", "Bearer "+h.Token)
	}
	status, answer, err := do(h.Client, r)
	switch {
	case err != nil:
		return nil, err
	case status/100 == 2:
		return answer, nil
	case status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge || status == http.StatusUnprocessableEntity:
		return nil, fmt.Errorf("log endpoint: it answered %d: %w", status, audit.ErrRefused)
	}
	return nil, fmt.Errorf("log endpoint: it answered %d", status)
}

// maxAnswer is how many bytes of an answer are read.
const maxAnswer = 64 << 10

func do(c *http.Client, r *http.Request) (status int, body []byte, err error) {
	response, err := c.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("log endpoint: %w", err)
	}
	defer response.Body.Close() // read to its end, or given up
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("log endpoint: %w", err)
	}
	return response.StatusCode, body, nil
}
