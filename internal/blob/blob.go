// Package blob keeps bodies that are too large for a row: as files below the data directory, or in an S3 bucket. A blob is
// written once, whole, under a name that is never used again, and is on disk (or accepted by S3) when Put returns. The database
// says which blobs exist: they are put before the row that names them and deleted after it, so that what a crash leaves is a
// blob that nobody names, never a name without a blob.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
)

// Store keeps blobs. It is safe for concurrent use. A blob that is not there gives an error that is fs.ErrNotExist; a store
// that can't do its work now gives a fault of kind Temporary.
type Store interface {
	// Put stores body, from its start to its end, and returns once it is durable. Either all of it is stored or nothing. A
	// name that is taken is replaced, so that a Put whose outcome is unknown may be repeated.
	Put(ctx context.Context, name string, body io.ReadSeeker) error
	// Open reads length bytes from offset; a negative length reads to the end. Beyond the end there is nothing to read, which
	// is no error. The caller must Close the reader.
	Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	// Stat says how large a blob is, and since when it is there.
	Stat(ctx context.Context, name string) (Info, error)
	// Delete removes a blob. One that is not there is no error. After a crash a deleted blob may be there again.
	Delete(ctx context.Context, name string) error
	// List gives every blob whose name begins with prefix, in no order. It ends after an error.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
}

// Info is what a store knows of a blob.
type Info struct {
	Name string
	Size int64
	// Modified tells blobs that are being written, whose row is yet to come, from those that nobody will ever name.
	Modified time.Time
}

// Names are one to three segments of 1 to 64 characters, divided by "/".
const (
	maxSegments = 3
	maxSegment  = 64
)

// CheckName says what is wrong with a name: segments hold lower-case letters, digits, "-" and "_" only, so that a name is a
// path, a URL and a key everywhere.
func CheckName(name string) error {
	segments := strings.Split(name, "/")
	if len(segments) > maxSegments {
		return fmt.Errorf("blob name %q has more than %d segments", name, maxSegments)
	}
	for _, s := range segments {
		if s == "" || len(s) > maxSegment || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return fmt.Errorf("blob name %q: segment %q must be 1 to %d of a-z, 0-9, - and _", name, s, maxSegment)
		}
	}
	return nil
}

// Options says where blobs are kept.
type Options struct {
	// URL is the setting blob_url: s3://bucket/prefix?… (see NewS3), or empty for files in Dir.
	URL string
	// Dir is the directory for files; it is made where it is missing.
	Dir string
	// NoSync gives durability up for speed, for servers that keep nothing.
	NoSync bool
}

// New returns the store that the options describe.
func New(ctx context.Context, o Options) (Store, error) {
	if o.URL == "" {
		return NewFiles(o.Dir, o.NoSync)
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("blob_url: %w", err)
	}
	if u.Scheme != "s3" {
		return nil, fmt.Errorf("blob_url %q: only s3://bucket/prefix is supported; leave it empty for files", o.URL)
	}
	return NewS3(ctx, u)
}

// unavailable makes a failure of the store a fault that says to try again; what is not there, and a caller that gave up, stay
// what they are.
func unavailable(err error, verb, name string) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s blob %s: %w", verb, name, err)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fault.Wrap(err, fault.Temporary, fault.None, "the store of message bodies is not available now; try again later")
}
