package awsapi

import (
	"cmp"
	"context"
	"time"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/autoreply"
)

// automaticReplyHandlers are our own operations on automatic replies.
func (a *API) automaticReplyHandlers() []contract.Handler {
	return []contract.Handler{
		contract.PutAutomaticReply.Handle(a.putAutomaticReply),
		contract.GetAutomaticReply.Handle(a.getAutomaticReply),
	}
}

func (a *API) putAutomaticReply(ctx context.Context, p principal.Principal, in *contract.PutAutomaticReplyInput) (*contract.PutAutomaticReplyOutput, error) {
	return &contract.PutAutomaticReplyOutput{}, a.Replies.Put(ctx, p, directory.OrgID(in.OrganizationId), in.EntityId, autoreply.Setting{
		State: autoreply.State(in.State), Start: moment(in.StartTime), End: moment(in.EndTime), Internal: text(in.InternalReply), External: text(in.ExternalReply),
		Audience: cmp.Or(autoreply.Audience(in.ExternalAudience), autoreply.All),
	})
}

// moment is a time of an input; zero for none.
func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func (a *API) getAutomaticReply(ctx context.Context, p principal.Principal, in *contract.GetAutomaticReplyInput) (*contract.GetAutomaticReplyOutput, error) {
	r, err := a.Replies.Get(ctx, p, directory.OrgID(in.OrganizationId), in.EntityId)
	if err != nil {
		return nil, err
	}
	return &contract.GetAutomaticReplyOutput{
		State: contract.AutomaticReplyState(r.State), StartTime: when(r.Start), EndTime: when(r.End), InternalReply: always(r.Internal), ExternalReply: always(r.External),
		ExternalAudience: contract.AutomaticReplyAudience(r.Audience),
	}, nil
}
