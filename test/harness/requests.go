package harness

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Signed sends a request with the first administrator's key, and returns the status and the body of the answer. A target makes it one of the
// JSON protocol.
func (s *Server) Signed(method, path, service, target string, body []byte) (status int, said []byte) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.Env["AWS_ENDPOINT_URL_WORKMAIL"]+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	}
	hash := sha256.Sum256(body)
	key := aws.Credentials{AccessKeyID: s.Env["AWS_ACCESS_KEY_ID"], SecretAccessKey: s.Env["AWS_SECRET_ACCESS_KEY"]}
	if err := v4.NewSigner().SignHTTP(s.t.Context(), key, r, hex.EncodeToString(hash[:]), service, s.Env["AWS_REGION"], time.Now()); err != nil {
		s.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	if said, err = io.ReadAll(answer.Body); err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, said
}

// Own calls one of Pennypost's own operations.
func (s *Server) Own(operation string, in map[string]any) {
	s.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		s.t.Fatal(err)
	}
	if status, said := s.Signed(http.MethodPost, "/", "workmail", "PennypostService."+operation, body); status != http.StatusOK {
		s.t.Fatalf("%s: %d %s", operation, status, said)
	}
}

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
