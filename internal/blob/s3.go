package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// S3 keeps each blob in an object of a bucket.
type S3 struct {
	client *s3.Client
	bucket string
	prefix string // empty, or ends with "/"
}

// NewS3 opens the bucket that a URL names: s3://bucket/prefix, with the optional parameters
//
//	region      the bucket's region (default: as the AWS environment says, else us-east-1)
//	endpoint    the address of another server that speaks S3, such as http://127.0.0.1:9000
//	path_style  true puts the bucket into the path, as most other servers want it
//
// Credentials come from the standard AWS environment variables, files and roles. The bucket must exist.
func NewS3(ctx context.Context, u *url.URL) (*S3, error) {
	q := u.Query()
	for key := range q {
		if key != "region" && key != "endpoint" && key != "path_style" {
			return nil, fmt.Errorf("blob_url: unknown parameter %q; there are region, endpoint and path_style", key)
		}
	}
	if style := q.Get("path_style"); style != "" && style != "true" && style != "false" {
		return nil, fmt.Errorf("blob_url: path_style is %q: it must be true or false", style)
	}
	if u.Host == "" || u.User != nil {
		return nil, errors.New("blob_url: it must be s3://bucket/prefix; credentials come from the environment")
	}
	var options []func(*config.LoadOptions) error
	if region := q.Get("region"); region != "" {
		options = append(options, config.WithRegion(region))
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("blob_url: %w", err)
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	client := s3.NewFromConfig(c, func(o *s3.Options) {
		// Other servers than Amazon's refuse the newer checksums; the signature covers the body all the same.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.UsePathStyle = q.Get("path_style") == "true"
		// The endpoint of the environment may be this very server's; only blob_url counts here.
		o.BaseEndpoint = nil
		if endpoint := q.Get("endpoint"); endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
	})
	s := &S3{client: client, bucket: u.Host, prefix: strings.Trim(u.Path, "/")}
	if s.prefix != "" {
		s.prefix += "/"
	}
	if _, err := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.bucket}); err != nil {
		return nil, fmt.Errorf("blob_url: bucket %s can't be used: %w", s.bucket, err)
	}
	return s, nil
}

func (s *S3) key(name string) (*string, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return aws.String(s.prefix + name), nil
}

// Put stores the object in one request: S3 shows all of it or nothing.
func (s *S3) Put(ctx context.Context, name string, body io.ReadSeeker) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	size, err := body.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = body.Seek(0, io.SeekStart)
	}
	if err != nil {
		return unavailable(err, "store", name)
	}
	_, err = s.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.bucket, Key: key, Body: body, ContentLength: &size})
	return unavailable(err, "store", name)
}

// Open begins to fetch the object.
func (s *S3) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	key, err := s.key(name)
	if err != nil {
		return nil, err
	}
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: key}
	switch {
	case length > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case length < 0 && offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	case length == 0: // a range can't be empty (RFC 9110 section 14.1.2); ask only whether the object is there
		_, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: key})
		return http.NoBody, unavailable(missing(err), "open", name)
	}
	out, err := s.client.GetObject(ctx, in)
	if status(err) == http.StatusRequestedRangeNotSatisfiable { // beyond the end
		return http.NoBody, nil
	}
	if err != nil {
		return nil, unavailable(missing(err), "open", name)
	}
	return out.Body, nil
}

// Delete removes the object; S3 does not say whether there was one.
func (s *S3) Delete(ctx context.Context, name string) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	_, err = s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: key})
	return unavailable(err, "delete", name)
}

// List asks for the objects page by page.
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: aws.String(s.prefix + prefix)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Info{}, unavailable(err, "list", path.Join(s.prefix, prefix)))
				return
			}
			for _, o := range page.Contents {
				info := Info{Name: strings.TrimPrefix(aws.ToString(o.Key), s.prefix), Size: aws.ToInt64(o.Size)}
				info.Modified = aws.ToTime(o.LastModified).UTC()
				if !yield(info, nil) {
					return
				}
			}
		}
	}
}

// missing makes S3's words for a missing object fs.ErrNotExist.
func missing(err error) error {
	if _, ok := errors.AsType[*types.NoSuchKey](err); ok {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "NotFound" { // HEAD has no body to say more
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// status returns the HTTP status of a failed request, 0 where there was no answer.
func status(err error) int {
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return r.HTTPStatusCode()
	}
	return 0
}
