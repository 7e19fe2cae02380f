package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/pennypost/pennypost/internal/audit"
)

// CloudWatch puts records into Amazon CloudWatch Logs. The log group must exist; its log streams have the names of ours and are
// made when they are missing.
type CloudWatch struct {
	api   *cloudwatchlogs.Client
	group string // its name

	mu      sync.Mutex
	streams map[audit.Stream]bool // that exist; guarded by mu
}

// NewCloudWatch returns the sink of a log group ("arn:aws:logs:<region>:<account>:log-group:<name>:*"). An empty endpoint
// means Amazon's in that region. Credentials come from the standard AWS environment variables, files and roles.
func NewCloudWatch(c *http.Client, arn, endpoint string) (*CloudWatch, error) {
	parts := strings.Split(arn, ":")
	if len(parts) < 7 {
		return nil, fmt.Errorf("%q is not the ARN of a log group", arn)
	}
	region, name := parts[3], parts[6]
	// As the blob store finds them: the SDK's own config package would make the program megabytes larger.
	chain := credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
	})
	options := cloudwatchlogs.Options{
		Region: region, HTTPClient: c,
		Credentials: aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			key, err := chain.GetWithContext(&credentials.CredContext{Context: ctx})
			if err != nil {
				return aws.Credentials{}, err
			}
			return aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey, SessionToken: key.SessionToken}, nil
		}),
		Retryer: aws.NopRetryer{}, // who sends tries again
	}
	if endpoint != "" {
		options.BaseEndpoint = &endpoint
	}
	return &CloudWatch{api: cloudwatchlogs.New(options), group: name, streams: map[audit.Stream]bool{}}, nil
}

// The service's bounds of one PutLogEvents.
const (
	maxPutEvents  = 10_000
	maxPutBytes   = 1 << 20
	eventOverhead = 26
	maxPutSpan    = 23 * time.Hour // its bound is 24
)

// Send puts the records, stream by stream.
func (c *CloudWatch) Send(ctx context.Context, records []audit.LogRecord) error {
	byStream := map[audit.Stream][]types.InputLogEvent{}
	for _, r := range records {
		byStream[r.Stream] = append(byStream[r.Stream], types.InputLogEvent{Timestamp: aws.Int64(r.Time.UnixMilli()), Message: aws.String(string(r.JSON))})
	}
	lost := &audit.Rejected{Why: "CloudWatch found them too old, too new or expired"}
	for stream, events := range byStream {
		if err := c.ensure(ctx, stream); err != nil {
			return err
		}
		slices.SortStableFunc(events, func(a, b types.InputLogEvent) int { return cmp.Compare(*a.Timestamp, *b.Timestamp) })
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
func fits(events []types.InputLogEvent) int {
	size := 0
	for i, e := range events {
		size += len(*e.Message) + eventOverhead
		late := *e.Timestamp-*events[0].Timestamp > maxPutSpan.Milliseconds()
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
	_, err := c.api.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &c.group, LogStreamName: aws.String(string(stream))})
	if _, exists := errors.AsType[*types.ResourceAlreadyExistsException](err); err != nil && !exists {
		return fmt.Errorf("CloudWatch Logs: %w", err)
	}
	c.streams[stream] = true
	return nil
}

func (c *CloudWatch) put(ctx context.Context, stream audit.Stream, events []types.InputLogEvent) (rejected int64, err error) {
	answer, err := c.api.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: &c.group, LogStreamName: aws.String(string(stream)), LogEvents: events})
	if _, gone := errors.AsType[*types.ResourceNotFoundException](err); gone { // somebody deleted the stream, or the group
		c.mu.Lock()
		delete(c.streams, stream)
		c.mu.Unlock()
	}
	if _, refused := errors.AsType[*types.InvalidParameterException](err); refused {
		return 0, fmt.Errorf("CloudWatch Logs: %w: %w", audit.ErrRefused, err)
	}
	if err != nil {
		return 0, fmt.Errorf("CloudWatch Logs: %w", err)
	}
	info := answer.RejectedLogEventsInfo
	if info == nil {
		return 0, nil
	}
	// The end of those too old is exclusive, so 0 (which moto gives) can mean no less than one; the start of those too new is
	// inclusive.
	first, end := 0, len(events)
	for _, old := range []*int32{info.TooOldLogEventEndIndex, info.ExpiredLogEventEndIndex} {
		if old != nil {
			first = max(first, min(max(int(*old), 1), end))
		}
	}
	if info.TooNewLogEventStartIndex != nil {
		end = max(first, min(int(*info.TooNewLogEventStartIndex), end))
	}
	return int64(len(events) - (end - first)), nil
}
