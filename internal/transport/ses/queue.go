package ses

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// What is asked of SQS at a time.
const (
	waitSeconds = 20 // the longest that it waits for a message
	atOnce      = 10 // the most messages that it gives
	maxAnswer   = atOnce*maxNotification + 1<<20
)

// queue is an SQS queue, by the JSON protocol of the service: two calls of it don't make up for the SDK's tables.
type queue struct {
	client   *http.Client
	creds    *credentials.Credentials
	signer   *v4.Signer
	now      func() time.Time
	endpoint string
	region   string
	url      string
}

// notice is a message of the queue.
type notice struct {
	Body          string
	ReceiptHandle string
}

// openQueue asks nobody. The region is that of Amazon's URL (https://sqs.REGION.amazonaws.com/…), or else the bucket's. An empty endpoint
// means the host of the URL.
func openQueue(queueURL, endpoint, region string, c *http.Client, creds *credentials.Credentials, now func() time.Time) (*queue, error) {
	u, err := url.Parse(queueURL)
	if err != nil {
		return nil, err
	}
	if rest, ok := strings.CutPrefix(u.Hostname(), "sqs."); ok {
		if named, _, ok := strings.Cut(rest, ".amazonaws.com"); ok {
			region = named
		}
	}
	if endpoint == "" {
		endpoint = u.Scheme + "://" + u.Host
	}
	return &queue{c, creds, v4.NewSigner(), now, strings.TrimSuffix(endpoint, "/") + "/", region, queueURL}, nil
}

// receive waits for messages; there may be none.
func (q *queue) receive(ctx context.Context) ([]notice, error) {
	var answer struct{ Messages []notice }
	err := q.call(ctx, "ReceiveMessage", map[string]any{"QueueUrl": q.url, "MaxNumberOfMessages": atOnce, "WaitTimeSeconds": waitSeconds}, &answer)
	return answer.Messages, err
}

// delete removes a message that was received.
func (q *queue) delete(ctx context.Context, n notice) error {
	return q.call(ctx, "DeleteMessage", map[string]any{"QueueUrl": q.url, "ReceiptHandle": n.ReceiptHandle}, nil)
}

// call makes one request, and reads its answer into answer unless that is nil.
func (q *queue) call(ctx context.Context, operation string, input, answer any) error {
	body, err := json.Marshal(input)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, q.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
	key, err := q.creds.GetWithContext(&credentials.CredContext{Context: ctx})
	if err != nil {
		return fmt.Errorf("find credentials: %w", err)
	}
	if key.AccessKeyID == "" {
		return errors.New("there are no credentials for the queue")
	}
	sum := sha256.Sum256(body)
	signed := aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey, SessionToken: key.SessionToken}
	if err := q.signer.SignHTTP(ctx, signed, r, hex.EncodeToString(sum[:]), "sqs", q.region, q.now()); err != nil {
		return err
	}
	response, err := q.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		var said struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		_ = json.Unmarshal(text, &said) // where it is none, the status says what there is to say
		return fmt.Errorf("%s: HTTP status %d %s %s", operation, response.StatusCode, said.Type, said.Message)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}
