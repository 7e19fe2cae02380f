package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/export"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) exportHandlers() []contract.Handler {
	return []contract.Handler{
		contract.StartMailboxExportJob.Handle(a.startMailboxExportJob),
		contract.CancelMailboxExportJob.Handle(a.cancelMailboxExportJob),
		contract.DescribeMailboxExportJob.Handle(a.describeMailboxExportJob),
		contract.ListMailboxExportJobs.Handle(a.listMailboxExportJobs),
	}
}

func (a *API) startMailboxExportJob(ctx context.Context, p principal.Principal, in *contract.StartMailboxExportJobInput) (*contract.StartMailboxExportJobOutput, error) {
	id, err := a.Exports.Start(ctx, p, directory.OrgID(in.OrganizationId), export.Request{
		Entity: in.EntityId, Description: text(in.Description), Bucket: in.S3BucketName, Prefix: in.S3Prefix,
		RoleARN: in.RoleArn, KMSKeyARN: in.KmsKeyArn, ClientToken: in.ClientToken,
	})
	if err != nil {
		return nil, err
	}
	return &contract.StartMailboxExportJobOutput{JobId: &id}, nil
}

func (a *API) cancelMailboxExportJob(ctx context.Context, p principal.Principal, in *contract.CancelMailboxExportJobInput) (*contract.CancelMailboxExportJobOutput, error) {
	return &contract.CancelMailboxExportJobOutput{}, a.Exports.Cancel(ctx, p, directory.OrgID(in.OrganizationId), in.JobId, in.ClientToken)
}

func (a *API) describeMailboxExportJob(ctx context.Context, p principal.Principal, in *contract.DescribeMailboxExportJobInput) (*contract.DescribeMailboxExportJobOutput, error) {
	j, err := a.Exports.Describe(ctx, p, directory.OrgID(in.OrganizationId), in.JobId)
	if err != nil {
		return nil, err
	}
	return &contract.DescribeMailboxExportJobOutput{
		EntityId: always(j.EntityID), Description: some(j.Description), RoleArn: &j.RoleARN, KmsKeyArn: &j.KMSKeyARN,
		S3BucketName: &j.Bucket, S3Prefix: &j.Prefix, S3Path: &j.Path, EstimatedProgress: int32(j.Progress),
		State: contract.MailboxExportJobState(j.State.String()), ErrorInfo: some(j.Error), StartTime: when(j.Start), EndTime: when(j.End),
	}, nil
}

func (a *API) listMailboxExportJobs(ctx context.Context, p principal.Principal, in *contract.ListMailboxExportJobsInput) (*contract.ListMailboxExportJobsOutput, error) {
	page, err := a.page(ctx, &contract.ListMailboxExportJobs.Op, in)
	if err != nil {
		return nil, err
	}
	jobs, next, err := a.Exports.List(ctx, p, directory.OrgID(in.OrganizationId), page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListMailboxExportJobsOutput{
		Jobs: each(jobs, func(j *export.Job) contract.MailboxExportJob {
			return contract.MailboxExportJob{
				JobId: &j.ID, EntityId: always(j.EntityID), Description: some(j.Description), S3BucketName: &j.Bucket, S3Path: &j.Path,
				EstimatedProgress: int32(j.Progress), State: contract.MailboxExportJobState(j.State.String()), StartTime: when(j.Start), EndTime: when(j.End),
			}
		}),
		NextToken: page.token(next),
	}, nil
}
