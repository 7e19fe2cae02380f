package blob

import (
	"context"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Stat says how large the file is.
func (f *Files) Stat(_ context.Context, name string) (Info, error) {
	_, file, err := f.path(name)
	if err != nil {
		return Info{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return Info{}, unavailable(err, "look at", name)
	}
	return Info{Name: name, Size: info.Size(), Modified: info.ModTime().UTC()}, nil
}

// Stat says how large the object is.
func (s *S3) Stat(ctx context.Context, name string) (Info, error) {
	key, err := s.key(name)
	if err != nil {
		return Info{}, err
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: key})
	if err != nil {
		return Info{}, unavailable(missing(err), "look at", name)
	}
	return Info{Name: name, Size: aws.ToInt64(out.ContentLength), Modified: aws.ToTime(out.LastModified).UTC()}, nil
}
