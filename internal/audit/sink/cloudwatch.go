package sink

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
)

// CloudWatch puts records into Amazon CloudWatch Logs. The log group must exist; its log streams have the names of ours and are
// made when they are missing. Two operations of the service's JSON API do, signed by the SDK's signer.
type CloudWatch struct {
	client      *http.Client
	clock       clock.Clock
	endpoint    string
	region      string
	group       string // its name
	credentials *credentials.Credentials
	signer      *v4.Signer

	mu      sync.Mutex
	streams map[audit.Stream]bool // that exist; guarded by mu
}

// NewCloudWatch returns the sink of a log group ("arn:aws:logs:<region>:<account>:log-group:<name>:*"). An empty endpoint
// means Amazon's in that region. Credentials come from the standard AWS environment variables, files and roles.
func NewCloudWatch(c *http.Client, now clock.Clock, arn, endpoint string) (*CloudWatch, error) {
	parts := strings.Split(arn, ":")
	if len(parts) < 7 {
		return nil, fmt.Errorf("%q is not the ARN of a log group", arn)
	}
	region, name := parts[3], parts[6]
	return &CloudWatch{
		client: c, clock: now, endpoint: cmp.Or(endpoint, "https://logs."+region+".amazonaws.com"), region: region, group: name,
		credentials: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
		}),
		signer: v4.NewSigner(), streams: map[audit.Stream]bool{},
	}, nil
}

// The service's bounds of one PutLogEvents.
const (
	maxPutEvents  = 10_000
	maxPutBytes   = 1 << 20
	eventOverhead = 26
	maxPutSpan    = 23 * time.Hour // its bound is 24
)

type logEvent struct {
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
}

// Send puts the records, stream by stream.
func (c *CloudWatch) Send(ctx context.Context, records []audit.LogRecord) error {
	byStream := map[audit.Stream][]logEvent{}
	for _, r := range records {
		byStream[r.Stream] = append(byStream[r.Stream], logEvent{r.Time.UnixMilli(), string(r.JSON)})
	}
	lost := &audit.Rejected{Why: "CloudWatch found them too old, too new or expired"}
	for stream, events := range byStream {
		if err := c.ensure(ctx, stream); err != nil {
			return err
		}
		slices.SortStableFunc(events, func(a, b logEvent) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
		for len(events) > 0 {
			n := fits(events)
			rejected, err := c.put(ctx, stream, events[:n])
			if err != nil {
				return err
			}
			lost.Records += rejected
			events = events[n:]
		}
	}
	if lost.Records > 0 {
		return lost
	}
	return nil
}

// fits is how many of the events, which are sorted, one PutLogEvents takes.
func fits(events []logEvent) int {
	size := 0
	for i, e := range events {
		size += len(e.Message) + eventOverhead
		late := e.Timestamp-events[0].Timestamp > maxPutSpan.Milliseconds()
		if i > 0 && (i == maxPutEvents || size > maxPutBytes || late) {
			return i
		}
	}
	return len(events)
}

// ensure makes the log stream unless it is known to exist.
func (c *CloudWatch) ensure(ctx context.Context, stream audit.Stream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[stream] {
		return nil
	}
	_, err := c.call(ctx, "CreateLogStream", map[string]any{"logGroupName": c.group, "logStreamName": stream})
	if err != nil && !is(err, "ResourceAlreadyExistsException") {
		return err
	}
	c.streams[stream] = true
	return nil
}

func (c *CloudWatch) put(ctx context.Context, stream audit.Stream, events []logEvent) (rejected int64, err error) {
	answer, err := c.call(ctx, "PutLogEvents", map[string]any{"logGroupName": c.group, "logStreamName": stream, "logEvents": events})
	switch {
	case is(err, "ResourceNotFoundException"): // somebody deleted the stream, or the group
		c.mu.Lock()
		delete(c.streams, stream)
		c.mu.Unlock()
		return 0, err
	case is(err, "InvalidParameterException"):
		return 0, fmt.Errorf("%w: %w", audit.ErrRefused, err)
	case err != nil:
		return 0, err
	}
	var a struct {
		Rejected struct {
			TooNew  *int `json:"tooNewLogEventStartIndex"`
			TooOld  *int `json:"tooOldLogEventEndIndex"`
			Expired *int `json:"expiredLogEventEndIndex"`
		} `json:"rejectedLogEventsInfo"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return 0, fmt.Errorf("CloudWatch Logs: its answer can't be read: %w", err)
	}
	// The end of those too old is exclusive, so 0 (which moto gives) can mean no less than one; the start of those too new is
	// inclusive.
	first, end := 0, len(events)
	for _, old := range []*int{a.Rejected.TooOld, a.Rejected.Expired} {
		if old != nil {
			first = max(first, min(max(*old, 1), end))
		}
	}
	if a.Rejected.TooNew != nil {
		end = max(first, min(*a.Rejected.TooNew, end))
	}
	return int64(len(events) - (end - first)), nil
}

// serviceError is an exception of CloudWatch Logs.
type serviceError struct {
	operation, code string
	status          int
}

func (e *serviceError) Error() string {
	return fmt.Sprintf("CloudWatch Logs: %s answered %d %s", e.operation, e.status, e.code)
}

func is(err error, code string) bool {
	e, ok := err.(*serviceError)
	return ok && e.code == code
}

func (c *CloudWatch) call(ctx context.Context, operation string, input any) ([]byte, error) {
	body, err := json.Marshal(input)
	if err != nil {
		return nil, fmt.Errorf("CloudWatch Logs: %w", err)
	}
	key, err := c.credentials.GetWithContext(&credentials.CredContext{Context: ctx})
	if err != nil {
		return nil, fmt.Errorf("CloudWatch Logs: no credentials: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("CloudWatch Logs: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Logs_20140328."+operation)
	sum := sha256.Sum256(body)
	err = c.signer.SignHTTP(ctx, aws.Credentials{
		AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey, SessionToken: key.SessionToken,
	}, r, hex.EncodeToString(sum[:]), "logs", c.region, c.clock.Now())
	if err != nil {
		return nil, fmt.Errorf("CloudWatch Logs: %w", err)
	}
	status, answer, err := do(c.client, r)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		var exception struct {
			Type string `json:"__type"`
		}
		_ = json.Unmarshal(answer, &exception) // what is no JSON has no type
		_, code, namespaced := strings.Cut(exception.Type, "#")
		if !namespaced {
			code = exception.Type
		}
		return nil, &serviceError{operation, code, status}
	}
	return answer, nil
}
