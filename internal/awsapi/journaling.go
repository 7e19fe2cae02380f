package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/journal"
)

// journalingHandlers are our own operations on journaling.
func (a *API) journalingHandlers() []contract.Handler {
	return []contract.Handler{
		contract.GetJournalingRules.Handle(a.getJournalingRules),
		contract.SetJournalingRules.Handle(a.setJournalingRules),
	}
}

func (a *API) getJournalingRules(ctx context.Context, p principal.Principal, in *contract.GetJournalingRulesInput) (*contract.GetJournalingRulesOutput, error) {
	r, err := a.Journal.Rules(ctx, p, directory.OrgID(in.OrganizationId))
	if err != nil {
		return nil, err
	}
	return &contract.GetJournalingRulesOutput{
		Enabled: r.Enabled, JournalingAddress: some(r.Address), ReportAddress: some(r.ReportAddress), DateModified: when(r.Modified),
	}, nil
}

func (a *API) setJournalingRules(ctx context.Context, p principal.Principal, in *contract.SetJournalingRulesInput) (*contract.SetJournalingRulesOutput, error) {
	return &contract.SetJournalingRulesOutput{}, a.Journal.SetRules(ctx, p, directory.OrgID(in.OrganizationId),
		journal.Settings{Enabled: in.Enabled, Address: text(in.JournalingAddress), ReportAddress: text(in.ReportAddress)})
}
