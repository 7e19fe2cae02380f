package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) tagHandlers() []contract.Handler {
	return []contract.Handler{
		contract.TagResource.Handle(a.tagResource),
		contract.UntagResource.Handle(a.untagResource),
		contract.ListTagsForResource.Handle(a.listTagsForResource),
	}
}

func (a *API) tagResource(ctx context.Context, p principal.Principal, in *contract.TagResourceInput) (*contract.TagResourceOutput, error) {
	return &contract.TagResourceOutput{}, a.Directory.Tag(ctx, p, in.ResourceARN, each(in.Tags, func(t *contract.Tag) directory.Tag {
		return directory.Tag{Key: t.Key, Value: t.Value}
	}))
}

func (a *API) untagResource(ctx context.Context, p principal.Principal, in *contract.UntagResourceInput) (*contract.UntagResourceOutput, error) {
	return &contract.UntagResourceOutput{}, a.Directory.Untag(ctx, p, in.ResourceARN, in.TagKeys)
}

func (a *API) listTagsForResource(ctx context.Context, p principal.Principal, in *contract.ListTagsForResourceInput) (*contract.ListTagsForResourceOutput, error) {
	tags, err := a.Directory.Tags(ctx, p, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return &contract.ListTagsForResourceOutput{Tags: each(tags, func(t *directory.Tag) contract.Tag {
		return contract.Tag{Key: t.Key, Value: t.Value}
	})}, nil
}
