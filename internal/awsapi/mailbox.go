package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) mailboxHandlers() []contract.Handler {
	return []contract.Handler{
		contract.RegisterToWorkMail.Handle(a.registerToWorkMail),
		contract.DeregisterFromWorkMail.Handle(a.deregisterFromWorkMail),
		contract.GetMailboxDetails.Handle(a.getMailboxDetails),
		contract.UpdateMailboxQuota.Handle(a.updateMailboxQuota),
	}
}

func (a *API) registerToWorkMail(ctx context.Context, p principal.Principal, in *contract.RegisterToWorkMailInput) (*contract.RegisterToWorkMailOutput, error) {
	return &contract.RegisterToWorkMailOutput{}, a.Organizations.Register(ctx, p, directory.OrgID(in.OrganizationId), in.EntityId, in.Email)
}

func (a *API) deregisterFromWorkMail(ctx context.Context, p principal.Principal, in *contract.DeregisterFromWorkMailInput) (*contract.DeregisterFromWorkMailOutput, error) {
	return &contract.DeregisterFromWorkMailOutput{}, a.Organizations.Deregister(ctx, p, directory.OrgID(in.OrganizationId), in.EntityId)
}

// megabyte is the unit of the API's quotas and sizes.
const megabyte = 1 << 20

func (a *API) getMailboxDetails(ctx context.Context, p principal.Principal, in *contract.GetMailboxDetailsInput) (*contract.GetMailboxDetailsOutput, error) {
	d, err := a.Organizations.MailboxDetails(ctx, p, directory.OrgID(in.OrganizationId), in.UserId)
	if err != nil {
		return nil, err
	}
	quota := int32(d.QuotaMB) // limit_mailbox_mb is at most 1 << 30
	return &contract.GetMailboxDetailsOutput{MailboxQuota: &quota, MailboxSize: float64(d.Bytes) / megabyte}, nil
}

func (a *API) updateMailboxQuota(ctx context.Context, p principal.Principal, in *contract.UpdateMailboxQuotaInput) (*contract.UpdateMailboxQuotaOutput, error) {
	return &contract.UpdateMailboxQuotaOutput{}, a.Organizations.SetQuota(ctx, p, directory.OrgID(in.OrganizationId), in.UserId, int64(in.MailboxQuota))
}
