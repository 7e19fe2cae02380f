package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) retentionHandlers() []contract.Handler {
	return []contract.Handler{
		contract.PutRetentionPolicy.Handle(a.putRetentionPolicy),
		contract.DeleteRetentionPolicy.Handle(a.deleteRetentionPolicy),
		contract.GetDefaultRetentionPolicy.Handle(a.getDefaultRetentionPolicy),
	}
}

func (a *API) putRetentionPolicy(ctx context.Context, p principal.Principal, in *contract.PutRetentionPolicyInput) (*contract.PutRetentionPolicyOutput, error) {
	return &contract.PutRetentionPolicyOutput{}, a.Policy.PutRetentionPolicy(ctx, p, directory.OrgID(in.OrganizationId), policy.RetentionPolicy{
		ID: text(in.Id), Name: in.Name, Description: text(in.Description),
		Folders: each(in.FolderConfigurations, func(f *contract.FolderConfiguration) policy.RetentionFolder {
			folder := policy.RetentionFolder{Folder: string(f.Name), Action: string(f.Action)}
			if f.Period != nil {
				folder.Days = int(*f.Period)
			}
			return folder
		}),
	})
}

func (a *API) deleteRetentionPolicy(ctx context.Context, p principal.Principal, in *contract.DeleteRetentionPolicyInput) (*contract.DeleteRetentionPolicyOutput, error) {
	return &contract.DeleteRetentionPolicyOutput{}, a.Policy.DeleteRetentionPolicy(ctx, p, directory.OrgID(in.OrganizationId), in.Id)
}

func (a *API) getDefaultRetentionPolicy(ctx context.Context, p principal.Principal, in *contract.GetDefaultRetentionPolicyInput) (*contract.GetDefaultRetentionPolicyOutput, error) {
	r, err := a.Policy.RetentionPolicy(ctx, p, directory.OrgID(in.OrganizationId))
	if err != nil {
		return nil, err
	}
	return &contract.GetDefaultRetentionPolicyOutput{
		Id: &r.ID, Name: &r.Name, Description: some(r.Description),
		FolderConfigurations: each(r.Folders, func(f *policy.RetentionFolder) contract.FolderConfiguration {
			folder := contract.FolderConfiguration{Name: contract.FolderName(f.Folder), Action: contract.RetentionAction(f.Action)}
			if days := int32(f.Days); days > 0 {
				folder.Period = &days
			}
			return folder
		}),
	}, nil
}
