package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3Attempts is how often a request is made before its failure is told.
const s3Attempts = 3

// S3 keeps each blob in an object of a bucket.
type S3 struct {
	client minio.Core
	bucket string
	prefix string // empty, or ends with "/"
}

// NewS3 opens the bucket that a URL names: s3://bucket/prefix, with the optional parameters
//
//	region      the bucket's region (default: AWS_REGION, AWS_DEFAULT_REGION, else us-east-1)
//	endpoint    the address of another server that speaks S3, such as http://127.0.0.1:9000
//	path_style  true puts the bucket into the path, as most other servers want it
//
// Credentials come from the standard AWS environment variables, files and roles. The bucket must exist.
func NewS3(ctx context.Context, u *url.URL) (*S3, error) {
	client, prefix, err := S3Client(u, S3Options{})
	if err != nil {
		return nil, fmt.Errorf("blob_url: %w", err)
	}
	s := &S3{client: *client, bucket: u.Host, prefix: prefix}
	there, err := client.BucketExists(ctx, s.bucket)
	if err == nil && !there {
		err = errors.New("it does not exist")
	}
	if err != nil {
		return nil, fmt.Errorf("blob_url: bucket %s can't be used: %w", s.bucket, err)
	}
	return s, nil
}

// S3Options are what a client of S3 is made of beside its URL.
type S3Options struct {
	// Credentials are those of the AWS environment where it is nil.
	Credentials *credentials.Credentials
	// Transport makes the requests; nil is the client's own.
	Transport http.RoundTripper
	// Attempts is how often a request is made before its failure is told; 0 means 3.
	Attempts int
}

// S3Client makes a client for the bucket (the host) that a URL of the form of NewS3 names, and the prefix in front of its keys: empty,
// or with a "/" at its end. It asks nobody.
func S3Client(u *url.URL, o S3Options) (client *minio.Core, prefix string, err error) {
	q := u.Query()
	for key := range q {
		if key != "region" && key != "endpoint" && key != "path_style" {
			return nil, "", fmt.Errorf("unknown parameter %q; there are region, endpoint and path_style", key)
		}
	}
	lookup := minio.BucketLookupDNS
	if q.Get("endpoint") == "" {
		lookup = minio.BucketLookupAuto // in the name of the host, unless a dot in the bucket's would break its certificate
	}
	switch style := q.Get("path_style"); style {
	case "true":
		lookup = minio.BucketLookupPath
	case "", "false":
	default:
		return nil, "", fmt.Errorf("path_style is %q: it must be true or false", style)
	}
	if u.Host == "" || u.User != nil {
		return nil, "", errors.New("it must be s3://bucket/prefix; credentials come from the environment")
	}
	region := cmp.Or(q.Get("region"), os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1")
	// AWS_ENDPOINT_URL may be this very server's; only the URL counts here.
	endpoint, err := url.Parse(cmp.Or(q.Get("endpoint"), "https://s3.amazonaws.com")) // of which the client makes the region's
	if err != nil || (endpoint.Scheme != "http" && endpoint.Scheme != "https") || endpoint.Host == "" || strings.Trim(endpoint.Path, "/") != "" {
		return nil, "", fmt.Errorf("endpoint %q must be http://host:port or https://host:port", q.Get("endpoint"))
	}
	creds := o.Credentials
	if creds == nil {
		creds = credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{},
			// The roles of machines are asked at a link-local address, where the transport for the store need not lead.
			&credentials.IAM{Client: &http.Client{Transport: http.DefaultTransport}},
		})
	}
	client, err = minio.NewCore(endpoint.Host, &minio.Options{
		Secure: endpoint.Scheme == "https", Region: region, BucketLookup: lookup, MaxRetries: cmp.Or(o.Attempts, s3Attempts),
		Creds: creds, Transport: o.Transport,
	})
	if err != nil {
		return nil, "", err
	}
	if prefix = strings.Trim(u.Path, "/"); prefix != "" {
		prefix += "/"
	}
	return client, prefix, nil
}

func (s *S3) key(name string) (string, error) { return s.prefix + name, CheckName(name) }

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
	// Content-MD5 has S3 check the body; other servers than Amazon's refuse the newer checksums.
	_, err = s.client.Client.PutObject(ctx, s.bucket, key, body, size, minio.PutObjectOptions{DisableMultipart: true, SendContentMd5: true})
	return unavailable(err, "store", name)
}

// Open begins to fetch the object.
func (s *S3) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	key, err := s.key(name)
	if err != nil {
		return nil, err
	}
	if length == 0 { // a range can't be empty (RFC 9110 section 14.1.2); ask only whether the object is there
		_, err := s.client.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
		return http.NoBody, unavailable(missing(err), "open", name)
	}
	var o minio.GetObjectOptions
	switch {
	case length > 0:
		o.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		o.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	body, _, _, err := s.client.GetObject(ctx, s.bucket, key, o)
	if minio.ToErrorResponse(err).StatusCode == http.StatusRequestedRangeNotSatisfiable { // beyond the end
		return http.NoBody, nil
	}
	if err != nil {
		return nil, unavailable(missing(err), "open", name)
	}
	return body, nil
}

// Stat says how large the object is.
func (s *S3) Stat(ctx context.Context, name string) (Info, error) {
	key, err := s.key(name)
	if err != nil {
		return Info{}, err
	}
	o, err := s.client.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return Info{}, unavailable(missing(err), "look at", name)
	}
	return Info{Name: name, Size: o.Size, Modified: o.LastModified.UTC()}, nil
}

// Delete removes the object; S3 does not say whether there was one.
func (s *S3) Delete(ctx context.Context, name string) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	return unavailable(s.client.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{}), "delete", name)
}

// List asks for the objects page by page.
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for o := range s.client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
			if o.Err != nil {
				yield(Info{}, unavailable(o.Err, "list", path.Join(s.prefix, prefix)))
				return
			}
			if !yield(Info{Name: strings.TrimPrefix(o.Key, s.prefix), Size: o.Size, Modified: o.LastModified.UTC()}, nil) {
				return
			}
		}
	}
}

// missing makes S3's words for a missing object fs.ErrNotExist.
func missing(err error) error {
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}
