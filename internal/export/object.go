package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

// objectPatience is how long the reading of an object may take: whoever waits for it has little more time.
const objectPatience = 10 * time.Second

// Object reads an object, in a version of it where version is not empty, from a bucket whose objects the organisation may have read. One of
// more than MaxObject bytes gives TooLarge Location, one that can't be read Invalid Location.
func (s *Service) Object(ctx context.Context, org directory.OrgID, bucket, key, version string) ([]byte, error) {
	b, of := s.bucketOf(org, bucket), s.Buckets[bucket]
	if b == nil || of.Organizations == nil && !of.Functions { // where all may write, they may not read what others wrote
		return nil, fault.New(fault.Invalid, fault.Location, "the bucket %s is none that this server reads for organization %s: it needs "+
			"[export_bucket.%s] in its configuration, with the organization or functions = true", bucket, org, bucket)
	}
	ctx, cancel := context.WithTimeout(ctx, objectPatience)
	defer cancel()
	what := fmt.Sprintf("the object %s of the bucket %s", key, bucket)
	if version != "" {
		what = fmt.Sprintf("the version %.100s of %s", version, what)
	}
	text, err := read(ctx, b, key, version, s.MaxObject)
	if refused, ok := errors.AsType[*refusal](err); ok {
		return nil, fault.Wrap(err, fault.Invalid, fault.Location, "%s can't be read: %s", what, refused.text)
	}
	switch {
	case errors.Is(err, errGone):
		return nil, fault.Wrap(err, fault.Invalid, fault.Location, "%s is not there", what)
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, fault.Location, "%s can't be read now", what)
	case int64(len(text)) > s.MaxObject:
		return nil, fault.New(fault.TooLarge, fault.Location, "%s has more than %d bytes", what, s.MaxObject)
	}
	return text, nil
}

func read(ctx context.Context, b bucket, key, version string, most int64) (text []byte, err error) {
	body, err := b.get(ctx, key, version)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	return io.ReadAll(io.LimitReader(body, most+1))
}
