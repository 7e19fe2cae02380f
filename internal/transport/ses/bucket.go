package ses

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
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

	leftKey     = "Pennypost-Left" // metadata of an object that was moved aside: an envelope, JSON in Base64
	maxMetadata = 2000             // bytes; S3 takes 2 KB
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
	flat           bool   // the list leaves out what lies deeper, with all that was moved
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
		if strings.HasPrefix(prefix, p) {
			return nil, fmt.Errorf("what is below %q, where objects are moved to, is not looked at, and %q is", p, prefix)
		}
		opened.flat = opened.flat || strings.HasPrefix(p, prefix)
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

// get begins to fetch an object. encrypted says that its writer encrypted it by a key that the store does not have; left is what settle
// noted in one that was moved back.
func (s *source) get(ctx context.Context, o *object) (body io.ReadCloser, encrypted bool, left *envelope, err error) {
	var options minio.GetObjectOptions
	if err := options.SetMatchETag(o.ETag); err != nil {
		return nil, false, nil, err
	}
	body, _, header, err := s.client.GetObject(ctx, s.bucket, o.Key, options)
	if err != nil {
		return nil, false, nil, toldOf(err)
	}
	if text, err := base64.StdEncoding.DecodeString(header.Get("X-Amz-Meta-" + leftKey)); err == nil && len(text) > 0 {
		if left = new(envelope); json.Unmarshal(text, left) != nil {
			left = nil
		}
	}
	encrypted = header.Get("X-Amz-Meta-X-Amz-Key-V2") != "" || header.Get("X-Amz-Meta-X-Amz-Key") != ""
	return body, encrypted, left, nil
}

// note returns metadata of an object with who has yet to get it; ok says that there is room for that.
func note(have map[string]string, left *envelope) (metadata map[string]string, ok bool) {
	text, err := json.Marshal(left)
	if err != nil {
		return nil, false
	}
	metadata = map[string]string{leftKey: base64.StdEncoding.EncodeToString(text)}
	for key, value := range have {
		if !strings.EqualFold(key, leftKey) {
			metadata[key] = value
		}
	}
	size := 0
	for key, value := range metadata {
		size += len(key) + len(value)
	}
	return metadata, size <= maxMetadata
}

// settle removes an object, or moves it to a prefix and notes in its metadata who is left to get it, unless that is nil. It may be done again.
func (s *source) settle(ctx context.Context, o *object, prefix string, left *envelope) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if prefix != "" {
		to := minio.CopyDestOptions{Bucket: s.bucket, Object: prefix + strings.TrimPrefix(o.Key, s.prefix)}
		var err error
		if left != nil {
			var have minio.ObjectInfo
			if have, err = s.client.StatObject(ctx, s.bucket, o.Key, minio.StatObjectOptions{}); err == nil {
				to.UserMetadata, to.ReplaceMetadata = note(have.UserMetadata, left)
				to.ContentType = have.ContentType
			}
		}
		if err == nil {
			_, err = s.client.Client.CopyObject(ctx, to, minio.CopySrcOptions{Bucket: s.bucket, Object: o.Key, MatchETag: o.ETag})
		}
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
