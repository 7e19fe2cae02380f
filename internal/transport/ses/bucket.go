package ses

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/pennypost/pennypost/internal/blob"
	"github.com/pennypost/pennypost/internal/dial"
)

const (
	patience = 5 * time.Minute // bounds one request
	setupKey = "AMAZON_SES_SETUP_NOTIFICATION"
)

// errGone says that an object is not there any more, or is another one by now.
var errGone = errors.New("it is not there")

// Source is a bucket into which SES puts mail, and what tells of it.
type Source struct {
	// URL is s3://bucket/prefix, as blob.S3Client takes it.
	URL string
	// AccessKeyID and SecretAccessKeyFile are the credentials; without them they come from the AWS environment.
	AccessKeyID, SecretAccessKeyFile string
	// QueueURL is the SQS queue of the bucket's notifications, QueueEndpoint a server in place of Amazon's. Without a queue the bucket is listed.
	QueueURL, QueueEndpoint string
	// Poll is the pause between two listings; 0 means a minute.
	Poll time.Duration
	// Delete removes objects whose message is delivered; otherwise they are moved to DonePrefix. AsidePrefix is where those go that can't be.
	Delete                  bool
	DonePrefix, AsidePrefix string
}

// source is a Source that is open.
type source struct {
	Source
	name           string
	client         *minio.Core
	bucket, prefix string
	queue          *queue // nil for none
	// drained is when the last look at the queue began that found it empty; nil for none since it failed, or more waits than may.
	drained atomic.Pointer[time.Time]
}

// open asks nobody.
func open(name string, s Source, o *Options) (*source, error) {
	s.Poll = cmp.Or(s.Poll, time.Minute)
	s.DonePrefix, s.AsidePrefix = cmp.Or(s.DonePrefix, "delivered/"), cmp.Or(s.AsidePrefix, "aside/")
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	creds := credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{}})
	if s.AccessKeyID != "" {
		secret, err := os.ReadFile(s.SecretAccessKeyFile)
		if err != nil {
			return nil, fmt.Errorf("secret_access_key_file: %w", err)
		}
		creds = credentials.NewStaticV4(s.AccessKeyID, strings.TrimSpace(string(secret)), "")
	}
	requests := o.Dialer.Client(dial.HTTPOptions{Timeout: patience, MaxBody: max(o.MaxMessage+maxHeader, maxAnswer), AllowHTTP: true})
	client, prefix, err := blob.S3Client(u, blob.S3Options{Credentials: creds, Transport: requests.Transport, Attempts: 1})
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	opened := &source{Source: s, name: name, client: client, bucket: u.Host, prefix: prefix}
	for _, p := range []string{s.DonePrefix, s.AsidePrefix} {
		if p == prefix {
			return nil, fmt.Errorf("objects can't be moved to %q, where they are", p)
		}
	}
	if s.QueueURL != "" {
		if opened.queue, err = openQueue(s.QueueURL, s.QueueEndpoint, cmp.Or(u.Query().Get("region"), os.Getenv("AWS_REGION"), "us-east-1"), requests, creds, o.Clock.Now); err != nil {
			return nil, fmt.Errorf("queue_url: %w", err)
		}
	}
	return opened, nil
}

// holds reports whether the object with a key is one that SES put there, and not one that was moved.
func (s *source) holds(key string) bool {
	return strings.HasPrefix(key, s.prefix) && !strings.HasPrefix(key, s.DonePrefix) && !strings.HasPrefix(key, s.AsidePrefix) && !strings.HasSuffix(key, "/")
}

// stat returns the object's ETag and size. errGone says that it is not there.
func (s *source) stat(ctx context.Context, key string) (etag string, size int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o, err := s.client.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	return o.ETag, o.Size, toldOf(err)
}

// get begins to fetch an object. encrypted says that its writer encrypted it by a key that the store does not have.
func (s *source) get(ctx context.Context, o *object) (body io.ReadCloser, encrypted bool, err error) {
	var options minio.GetObjectOptions
	if err := options.SetMatchETag(o.ETag); err != nil {
		return nil, false, err
	}
	body, _, header, err := s.client.GetObject(ctx, s.bucket, o.Key, options)
	if err != nil {
		return nil, false, toldOf(err)
	}
	encrypted = header.Get("X-Amz-Meta-X-Amz-Key-V2") != "" || header.Get("X-Amz-Meta-X-Amz-Key") != ""
	return body, encrypted, nil
}

// settle removes an object, or moves it to a prefix. It may be done again.
func (s *source) settle(ctx context.Context, o *object, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if prefix != "" {
		to := minio.CopyDestOptions{Bucket: s.bucket, Object: prefix + strings.TrimPrefix(o.Key, s.prefix)}
		_, err := s.client.Client.CopyObject(ctx, to, minio.CopySrcOptions{Bucket: s.bucket, Object: o.Key, MatchETag: o.ETag})
		switch err = toldOf(err); {
		case errors.Is(err, errGone): // it was moved, or is another one
			return nil
		case err != nil:
			return fmt.Errorf("move %s to %s: %w", o.Key, to.Object, err)
		}
	} else if etag, _, err := s.stat(ctx, o.Key); errors.Is(err, errGone) || err == nil && etag != o.ETag {
		return nil
	} else if err != nil {
		return err
	}
	if err := toldOf(s.client.RemoveObject(ctx, s.bucket, o.Key, minio.RemoveObjectOptions{})); err != nil && !errors.Is(err, errGone) {
		return fmt.Errorf("remove %s: %w", o.Key, err)
	}
	return nil
}

// toldOf sorts the failures of S3: what is gone, and what may pass.
func toldOf(err error) error {
	said, ok := errors.AsType[minio.ErrorResponse](err)
	if ok && (said.Code == minio.NoSuchKey || said.StatusCode == http.StatusNotFound && said.Code != minio.NoSuchBucket || said.StatusCode == http.StatusPreconditionFailed) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

// isSetup reports whether an object is the one that SES puts into a bucket to see whether it may.
func isSetup(key string) bool { return path.Base(key) == setupKey }
