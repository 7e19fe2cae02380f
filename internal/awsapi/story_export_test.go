package awsapi_test

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
)

// exportInput asks for an export to a bucket that works.
func exportInput(org, entity string) *workmail.StartMailboxExportJobInput {
	return &workmail.StartMailboxExportJobInput{
		OrganizationId: &org, EntityId: &entity, Description: str("for the auditor"), S3BucketName: str("bucket"), S3Prefix: str("exports/2026"),
		RoleArn: str("arn:aws:iam::111122223333:role/Export"), KmsKeyArn: str("arn:aws:kms:eu-west-1:111122223333:key/1"),
	}
}

func (s *story) exports() {
	w := s.world
	id := *must(w, w.StartMailboxExportJob, exportInput(s.org, "ann")).JobId
	w.settle()
	refused[*types.LimitExceededException](w, w.StartMailboxExportJob, exportInput(s.org, s.ann))
	refused[*types.EntityNotFoundException](w, w.StartMailboxExportJob, exportInput(s.org, nobody))
	unknown := exportInput(s.org, s.bob)
	unknown.S3BucketName = str("nowhere")
	refused[*types.InvalidParameterException](w, w.StartMailboxExportJob, unknown)
	describe := func(id string) *workmail.DescribeMailboxExportJobOutput {
		return must(w, w.DescribeMailboxExportJob, &workmail.DescribeMailboxExportJobInput{OrganizationId: &s.org, JobId: &id})
	}
	j := describe(id)
	if *j.EntityId != s.ann || *j.Description != "for the auditor" || *j.RoleArn != *unknown.RoleArn || *j.KmsKeyArn != *unknown.KmsKeyArn || *j.S3BucketName != "bucket" ||
		*j.S3Prefix != "exports/2026" || *j.S3Path != "exports/2026/"+id+".zip" || j.EstimatedProgress != 100 || j.State != types.MailboxExportJobStateCompleted ||
		j.ErrorInfo != nil || j.StartTime == nil || j.EndTime == nil {
		w.t.Errorf("the completed job is %+v", j)
	}
	cancel := func(id string) *workmail.CancelMailboxExportJobInput {
		return &workmail.CancelMailboxExportJobInput{OrganizationId: &s.org, JobId: &id}
	}
	refused[*types.InvalidParameterException](w, w.CancelMailboxExportJob, cancel(id))
	refused[*types.EntityNotFoundException](w, w.CancelMailboxExportJob, cancel(nobody))
	refused[*types.EntityNotFoundException](w, w.DescribeMailboxExportJob, &workmail.DescribeMailboxExportJobInput{OrganizationId: &s.org, JobId: str(nobody)})

	waiting := exportInput(s.org, s.bob)
	waiting.S3BucketName = str("unmounted")
	gone := *must(w, w.StartMailboxExportJob, waiting).JobId
	w.settle()
	if j = describe(gone); j.State != types.MailboxExportJobStateRunning || j.EndTime != nil {
		w.t.Errorf("the job whose bucket isn't there is %+v", j)
	}
	must(w, w.CancelMailboxExportJob, cancel(gone))
	if j = describe(gone); j.State != types.MailboxExportJobStateCancelled {
		w.t.Errorf("the cancelled job is %+v", j)
	}
	waiting.ClientToken = nil // the SDK has put one in
	failing := *must(w, w.StartMailboxExportJob, waiting).JobId
	w.pass(7 * time.Hour)
	if j = describe(failing); j.State != types.MailboxExportJobStateFailed || j.ErrorInfo == nil || *j.ErrorInfo == "" {
		w.t.Errorf("the failed job is %+v", j)
	}

	var listed []types.MailboxExportJob
	pages := workmail.NewListMailboxExportJobsPaginator(w, &workmail.ListMailboxExportJobsInput{OrganizationId: &s.org, MaxResults: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(w.ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		listed = append(listed, page.Jobs...)
	}
	if len(listed) != 3 || *listed[0].JobId != failing || *listed[2].JobId != id || *listed[2].EntityId != s.ann || *listed[2].S3Path != "exports/2026/"+id+".zip" {
		w.t.Errorf("listed are %+v", listed)
	}
	refused[*types.InvalidParameterException](w, w.ListMailboxExportJobs, &workmail.ListMailboxExportJobsInput{OrganizationId: &s.org, NextToken: str("x")})
}
