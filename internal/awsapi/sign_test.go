package awsapi_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// sign signs a request to WorkMail with a key whose secret is its id.
func sign(t testing.TB, r *http.Request, body []byte, key string) {
	t.Helper()
	signFor(t, r, body, key, "workmail")
}

func signFor(t testing.TB, r *http.Request, body []byte, key, service string) {
	t.Helper()
	hash := sha256.Sum256(body)
	c := aws.Credentials{AccessKeyID: key, SecretAccessKey: key}
	if err := v4.NewSigner().SignHTTP(t.Context(), c, r, hex.EncodeToString(hash[:]), service, "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
}
