package drive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The signature must be the one the SDK's own signer gives the same request.
func TestRequestIsSignedAsTheSDKSigns(t *testing.T) {
	api := API{Address: "127.0.0.1:8480", KeyID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Region: "us-east-1"}
	c := &APIConn{api: api}
	for _, now := range []time.Time{
		time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC),
		time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), // the key of another day
	} {
		for _, body := range []string{"{}", `{"OrganizationId":"m-1","Name":"ä"}`} {
			c.request("DescribeUser", []byte(body), now)
			got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(c.out)))
			if err != nil {
				t.Fatal(err)
			}
			want, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+api.Address+"/", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			want.Header.Set("Content-Type", "application/x-amz-json-1.1")
			want.Header.Set("X-Amz-Target", "WorkMailService.DescribeUser")
			sum := sha256.Sum256([]byte(body))
			err = signer.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: api.KeyID, SecretAccessKey: api.Secret},
				want, hex.EncodeToString(sum[:]), "workmail", api.Region, now)
			if err != nil {
				t.Fatal(err)
			}
			if g, w := got.Header.Get("Authorization"), want.Header.Get("Authorization"); g != w {
				t.Errorf("%s at %s:\ngot  %s\nwant %s", body, now, g, w)
			}
		}
	}
}

func TestCallReadsAnyBody(t *testing.T) {
	long := strings.Repeat("x", 100_000) // is sent in chunks
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "WorkMailService.") {
		case "Long":
			_, _ = io.WriteString(w, long)
		case "Echo":
			_, _ = io.Copy(w, r.Body)
		default:
			http.Error(w, `{"__type":"EntityNotFoundException"}`, http.StatusBadRequest)
		}
	}))
	defer server.Close()
	c, err := DialAPI(context.Background(), API{Address: server.Listener.Addr().String(), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	if answer, err := c.Call("Long", nil); err != nil || string(answer) != long {
		t.Errorf("long answer: %d bytes, %v", len(answer), err)
	}
	var refusal *RefusedError
	if _, err := c.Call("Other", nil); !errors.As(err, &refusal) || !strings.Contains(refusal.Answer, "EntityNotFound") {
		t.Errorf("a refusal gave %v", err)
	}
	var out struct{ Name string }
	if err := c.Make("Echo", map[string]string{"Name": "n"}, &out); err != nil || out.Name != "n" {
		t.Errorf("echo gave %+v, %v: the connection must go on after a refusal", out, err)
	}
}
