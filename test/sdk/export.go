package sdk

// bucket is one of the server's, which TestSDKs configures.
const bucket = "archive"

func exportSteps() []step {
	const role, key = "arn:aws:iam::000000000000:role/Export", "arn:aws:kms:us-east-1:000000000000:key/1"
	start := func(entity, bucket, token string) object {
		return inOrg(object{
			"ClientToken": token, "EntityId": entity, "Description": "all", "RoleArn": role, "KmsKeyArn": key, "S3BucketName": bucket, "S3Prefix": "of",
		})
	}
	job := object{
		"EntityId": "{ann}", "Description": "all", "S3BucketName": bucket, "S3Path": "of/{export}.zip", "EstimatedProgress": 100, "State": "COMPLETED",
		"StartTime": now, "EndTime": now,
	}
	described, listed := object{"RoleArn": role, "KmsKeyArn": key, "S3Prefix": "of"}, object{"JobId": "{export}"}
	for k, v := range job {
		described[k], listed[k] = v, v
	}
	return []step{
		{call: "StartMailboxExportJob", in: start("ann", bucket, "t1"), out: object{"JobId": uuid}, save: map[string]string{"export": "JobId"}},
		{call: "StartMailboxExportJob", in: start("ann", bucket, "t1"), out: object{"JobId": "{export}"}},
		{call: "StartMailboxExportJob", in: start("{ann}", bucket, "t2"), fails: "LimitExceededException"},
		{call: "StartMailboxExportJob", in: start("nobody-here", bucket, "t3"), fails: "EntityNotFoundException"},
		{call: "StartMailboxExportJob", in: start("ann", "no-such-bucket", "t4"), fails: "InvalidParameterException"},
		{call: "DescribeMailboxExportJob", in: inOrg(object{"JobId": "{export}"}), until: object{"State": "COMPLETED"}, out: described},
		{call: "DescribeMailboxExportJob", in: inOrg(object{"JobId": "none"}), fails: "EntityNotFoundException"},
		{call: "ListMailboxExportJobs", in: inOrg(nil), out: object{"Jobs": list{listed}}},
		{call: "CancelMailboxExportJob", in: inOrg(object{"JobId": "{export}", "ClientToken": "c1"}), fails: "InvalidParameterException"},
		// Another's goes to a directory that isn't there, and waits.
		{call: "CreateUser", in: inOrg(object{"Name": "waits", "DisplayName": "W"}), out: object{"UserId": uuid}, save: map[string]string{"waits": "UserId"}},
		{call: "RegisterToWorkMail", in: inOrg(object{"EntityId": "{waits}", "Email": "waits@{alias}.awsapps.com"}), out: done},
		{call: "StartMailboxExportJob", in: start("{waits}", "unmounted", "t5"), out: object{"JobId": uuid}, save: map[string]string{"waiting": "JobId"}},
		{call: "CancelMailboxExportJob", in: inOrg(object{"JobId": "{waiting}", "ClientToken": "c2"}), out: done},
		{call: "CancelMailboxExportJob", in: inOrg(object{"JobId": "{waiting}", "ClientToken": "c2"}), out: done},
		{call: "DeregisterFromWorkMail", in: inOrg(object{"EntityId": "{waits}"}), out: done},
	}
}
