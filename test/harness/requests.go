package harness

import (
	"bytes"
	"io"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// steady is the SDK's HTTP client with one difference: the body of a request stays readable. The SDK closes it when the answer
// begins. A server on the same machine can answer before net/http has looked whether the body it just sent has an end; that look
// then fails, and net/http breaks off the connection in the middle of a good answer.
type steady struct{ client *awshttp.BuildableClient }

// Do sends a request.
func (s steady) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return s.client.Do(r)
}
