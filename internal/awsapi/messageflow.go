package awsapi

import (
	"context"
	"io"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/flow"
)

// messageFlowHandlers are the operations of the service that functions read and change messages with.
func (a *API) messageFlowHandlers() []contract.Handler {
	return []contract.Handler{
		contract.GetRawMessageContent.HandleRaw(a.getRawMessageContent),
		contract.PutRawMessageContent.Handle(a.putRawMessageContent),
	}
}

// MessageARN is what Options.MessageARN asks for.
func (a *API) MessageARN(ctx context.Context, id string) (string, error) {
	return a.Contents.ARN(ctx, id)
}

func (a *API) getRawMessageContent(ctx context.Context, p principal.Principal, in *contract.GetRawMessageContentInput) (*contract.Raw, error) {
	c, err := a.Contents.Get(ctx, p, in.MessageId)
	if err != nil {
		return nil, err
	}
	return &contract.Raw{Size: c.Size, Open: func(ctx context.Context) (io.ReadCloser, error) {
		r, err := c.Open(ctx)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.NewSectionReader(r, 0, c.Size), r}, nil
	}}, nil
}

func (a *API) putRawMessageContent(ctx context.Context, p principal.Principal, in *contract.PutRawMessageContentInput) (*contract.PutRawMessageContentOutput, error) {
	from := in.Content.S3Reference
	return &contract.PutRawMessageContentOutput{}, a.Contents.Put(ctx, p, in.MessageId, flow.Object{Bucket: from.Bucket, Key: from.Key, Version: text(from.ObjectVersion)})
}
