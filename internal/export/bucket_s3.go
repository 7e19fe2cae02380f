package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/pennypost/pennypost/internal/blob"
	"github.com/pennypost/pennypost/internal/dial"
)

const (
	// s3Patience bounds one request. The connection of a store that says nothing must not hold a job, and with it its place among
	// those that run, for longer.
	s3Patience = 5 * time.Minute
	s3Answer   = 1 << 20 // bytes of an answer
)

// s3Bucket is a bucket of an S3-compatible store.
type s3Bucket struct {
	client *minio.Core
	reader *minio.Core // whose answers may be as large as an object
	name   string
	prefix string
	kms    bool
}

func newS3(u *url.URL, creds *credentials.Credentials, d *dial.Dialer, kms bool, most int64) (bucket, error) {
	client := func(answer int64) (*minio.Core, string, error) {
		transport := d.Client(dial.HTTPOptions{Timeout: s3Patience, MaxBody: answer, AllowHTTP: true}).Transport
		return blob.S3Client(u, blob.S3Options{Credentials: creds, Transport: transport, Attempts: 1})
	}
	b := &s3Bucket{name: u.Host, kms: kms}
	var err error
	if b.client, b.prefix, err = client(s3Answer); err == nil {
		b.reader, _, err = client(max(most+1, s3Answer)) // one more shows that it is larger
	}
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	return b, nil
}

func (b *s3Bucket) begin(ctx context.Context, path, kmsKey string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s3Patience)
	defer cancel()
	o := minio.PutObjectOptions{ContentType: "application/zip"}
	if b.kms {
		sse, err := encrypt.NewSSEKMS(kmsKey, nil)
		if err != nil {
			return "", err
		}
		o.ServerSideEncryption = sse
	}
	upload, err := b.client.NewMultipartUpload(ctx, b.name, b.prefix+path, o)
	return upload, b.told(err)
}

func (b *s3Bucket) put(ctx context.Context, path, upload string, part int, _ int64, body io.ReadSeeker, size int64) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s3Patience)
	defer cancel()
	// The digest is signed and checked by the store. The client's own way, a signature per chunk, is not understood by all stores.
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return "", err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	o := minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum.Sum(nil)), DisableContentSha256: true}
	put, err := b.client.PutObjectPart(ctx, b.name, b.prefix+path, upload, part, body, size, o)
	return put.ETag, b.told(err)
}

func (b *s3Bucket) complete(ctx context.Context, path, upload string, etags []string, _ int64) error {
	ctx, cancel := context.WithTimeout(ctx, s3Patience)
	defer cancel()
	parts := make([]minio.CompletePart, len(etags))
	for i, etag := range etags {
		parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: etag}
	}
	_, err := b.client.CompleteMultipartUpload(ctx, b.name, b.prefix+path, upload, parts, minio.PutObjectOptions{})
	return b.told(err)
}

func (b *s3Bucket) size(ctx context.Context, path string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s3Patience)
	defer cancel()
	o, err := b.client.StatObject(ctx, b.name, b.prefix+path, minio.StatObjectOptions{})
	return o.Size, b.told(err)
}

func (b *s3Bucket) abort(ctx context.Context, path, upload string) error {
	ctx, cancel := context.WithTimeout(ctx, s3Patience)
	defer cancel()
	if upload != "" {
		err := b.told(b.client.AbortMultipartUpload(ctx, b.name, b.prefix+path, upload))
		if err != nil && !errors.Is(err, errGone) {
			return err
		}
	}
	// One that was begun by a server that was killed before it could note it. Not all credentials may look, and then nobody can know.
	uploads, err := b.client.ListMultipartUploads(ctx, b.name, b.prefix+path, "", "", "", 100)
	if err != nil {
		return nil
	}
	for _, left := range uploads.Uploads {
		if left.Key != b.prefix+path {
			continue
		}
		err := b.told(b.client.AbortMultipartUpload(ctx, b.name, left.Key, left.UploadID))
		if err != nil && !errors.Is(err, errGone) {
			return err
		}
	}
	return nil
}

func (b *s3Bucket) remove(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, s3Patience)
	defer cancel()
	err := b.told(b.client.RemoveObject(ctx, b.name, b.prefix+path, minio.RemoveObjectOptions{}))
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

func (b *s3Bucket) get(ctx context.Context, path, version string) (io.ReadCloser, error) {
	body, _, _, err := b.reader.GetObject(ctx, b.name, b.prefix+path, minio.GetObjectOptions{VersionID: version})
	return body, b.told(err)
}

// told sorts the failures of S3: what is gone, what it refuses, and what may pass.
func (b *s3Bucket) told(err error) error {
	if err == nil {
		return nil
	}
	if refused, ok := errors.AsType[*dial.Refused](err); ok {
		return &refusal{refused.Error(), err}
	}
	said, ok := errors.AsType[minio.ErrorResponse](err)
	switch {
	case !ok || said.StatusCode >= http.StatusInternalServerError:
		return err
	case said.Code == minio.NoSuchUpload || said.Code == minio.NoSuchKey || said.Code == minio.NoSuchVersion:
		return fmt.Errorf("%w: %w", errGone, err)
	}
	switch said.StatusCode {
	case 0, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return err
	}
	return &refusal{fmt.Sprintf("the bucket refused it: %s (HTTP status %d)", said.Code, said.StatusCode), err}
}
