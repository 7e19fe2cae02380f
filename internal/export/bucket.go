package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/lazyregexp"
)

// Bucket says where exports to a bucket go.
type Bucket struct {
	// URL is s3://bucket/prefix?region=…&endpoint=…&path_style=… or file:///directory.
	URL string
	// AccessKeyID and SecretAccessKeyFile are the credentials of an S3 bucket; without them they come from the AWS environment.
	AccessKeyID, SecretAccessKeyFile string
	// Encryption is "kms", which is also what empty means: S3 encrypts the object under the key that the caller names; or "none":
	// as the bucket does by itself, for stores without keys.
	Encryption string
	// Organizations are the ids of those that may export to the bucket; nil means all.
	Organizations []string
	// Functions lets functions of all organisations have objects read; those of Organizations may anyhow.
	Functions bool
}

var organizationID = lazyregexp.New(`\Am-[0-9a-f]{32}\z`)

// takes reports whether an organisation may export to the bucket.
func (b *Bucket) takes(org directory.OrgID) bool {
	return b.Organizations == nil || slices.Contains(b.Organizations, string(org))
}

// bucket takes an object in parts, all but the last of equal size. The parts may be put again, in any order, until the upload is
// completed, and nothing is seen of the object before.
type bucket interface {
	// begin begins an upload, encrypted under a KMS key if the bucket encrypts.
	begin(ctx context.Context, path, kmsKey string) (upload string, err error)
	// put stores a part, which lies at offset, and returns its tag.
	put(ctx context.Context, path, upload string, part int, offset int64, body io.ReadSeeker, size int64) (etag string, err error)
	// complete makes the object of the parts with the tags, size bytes in all.
	complete(ctx context.Context, path, upload string, etags []string, size int64) error
	// size returns how long the object is; what is not there gives errGone.
	size(ctx context.Context, path string) (int64, error)
	// abort removes the upload with its parts, and any other that was left for the same path. What is not there is no error.
	abort(ctx context.Context, path, upload string) error
	// remove removes the object. What is not there is no error.
	remove(ctx context.Context, path string) error
	// get opens an object, in a version of it where version is not empty; what is not there gives errGone.
	get(ctx context.Context, path, version string) (io.ReadCloser, error)
}

// errGone says that an upload or an object is not there.
var errGone = errors.New("it is not there")

// refusal is a failure that trying again won't mend. Its text is for the caller; the cause is for the log.
type refusal struct {
	text  string
	cause error
}

func (r *refusal) Error() string { return r.text + ": " + r.cause.Error() }
func (r *refusal) Unwrap() error { return r.cause }

// bucketFault says that a failure is the bucket's, which may pass.
type bucketFault struct {
	doing string
	cause error
}

func (b *bucketFault) Error() string { return b.doing + ": " + b.cause.Error() }
func (b *bucketFault) Unwrap() error { return b.cause }

func ofBucket(doing string, err error) error { return &bucketFault{doing, err} }

func (b Bucket) open(d *dial.Dialer, most int64) (bucket, error) {
	u, err := url.Parse(b.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	for _, org := range b.Organizations {
		if !organizationID.MatchString(org) {
			return nil, fmt.Errorf("organizations has %q, which is not the id of an organization, m-…", org)
		}
	}
	switch b.Encryption {
	case "", "kms", "none":
	default:
		return nil, fmt.Errorf("encryption is %q: it must be kms or none", b.Encryption)
	}
	switch u.Scheme {
	case "s3":
		var creds *credentials.Credentials
		if (b.AccessKeyID == "") != (b.SecretAccessKeyFile == "") {
			return nil, errors.New("access_key_id and secret_access_key_file come together")
		}
		if b.AccessKeyID != "" {
			secret, err := os.ReadFile(b.SecretAccessKeyFile)
			if err != nil {
				return nil, fmt.Errorf("secret_access_key_file: %w", err)
			}
			creds = credentials.NewStaticV4(b.AccessKeyID, strings.TrimSpace(string(secret)), "")
		}
		return newS3(u, creds, d, b.Encryption != "none", most)
	case "file":
		if u.Host != "" || !filepath.IsAbs(u.Path) || u.RawQuery != "" || b.AccessKeyID != "" || b.SecretAccessKeyFile != "" {
			return nil, errors.New("url: it must be file:///directory, without parameters or credentials")
		}
		return directoryBucket{filepath.Clean(u.Path)}, nil
	}
	return nil, fmt.Errorf("url %q is neither s3://bucket/prefix nor file:///directory", u.Redacted())
}
