package awsapi_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/pennypost/pennypost/internal/awsapi"
	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/policy/iam"
	"github.com/pennypost/pennypost/internal/principal"
)

type oneKey struct{}

func (oneKey) Lookup(_ context.Context, id string) (identity.Credential, error) {
	return identity.Credential{AccessKey: identity.AccessKey{ID: id, Policy: iam.WorkMailFullAccess}, Secret: id}, nil
}

// BenchmarkFront measures what the face itself costs: an operation whose handler does nothing.
func BenchmarkFront(b *testing.B) {
	h := contract.DescribeUser.Handle(func(context.Context, principal.Principal, *contract.DescribeUserInput) (*contract.DescribeUserOutput, error) {
		return &contract.DescribeUserOutput{UserId: aws.String(nobody), Name: aws.String("ann"), State: contract.EntityStateEnabled}, nil
	})
	f := awsapi.New(awsapi.Options{
		Keys: oneKey{}, Handlers: []contract.Handler{h}, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
		OrganizationARN: func(context.Context, string) (string, error) { return "arn:aws:workmail:x:y:organization/z", nil },
	})
	body := []byte(`{"OrganizationId":"` + nowhere + `","UserId":"ann"}`)
	r := httptest.NewRequest(http.MethodPost, "http://localhost/", nil)
	r.Header.Set("X-Amz-Target", contract.DescribeUser.Op.Target())
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.ContentLength = int64(len(body))
	sign(b, r, body, "AKID")
	b.ReportAllocs()
	for b.Loop() {
		again := r.Clone(context.Background())
		again.Body = io.NopCloser(bytes.NewReader(body))
		w := httptest.NewRecorder()
		f.ServeHTTP(w, again)
		if w.Code != http.StatusOK {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}
