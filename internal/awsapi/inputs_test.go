package awsapi_test

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
	"github.com/pennypost/pennypost/internal/id"
)

// scene is what the inputs of a test name.
type scene struct {
	org, arn                     string
	user, other, group, resource string // ids
	domain                       string // verified
	role                         string // an impersonation role's id
	application, token           string // an application's ARN; a personal access token's id
	retention                    string // a policy's id
	job                          string // an export
	trace                        string // of a queued message
	report                       string // of another mail system
}

// inputs makes an input with the required members of an operation, which name what is in the scene.
func inputs(t *testing.T, op *contract.Op, s scene) map[string]any {
	t.Helper()
	if s.domain == "" {
		s.domain = "elsewhere.example"
	}
	if s.role == "" {
		s.role = "no-role"
	}
	if s.application == "" {
		s.application = "arn:aws:sso::111122223333:application/ssoins-0123456789abcdef/apl-0000000000000000"
	}
	if s.token == "" {
		s.token = "unknown-token"
	}
	known := map[string]any{
		"OrganizationId": s.org, "ResourceARN": s.arn, "UserId": s.user, "EntityId": s.user, "MemberId": s.other, "GranteeId": s.other,
		"GroupId": s.group, "ResourceId": s.resource, "Email": "fresh@" + s.domain, "DomainName": s.domain, "Password": "TestTest1234!",
		"Name": "fresh", "DisplayName": "Fresh", "Type": "ROOM", "PermissionValues": []string{"SEND_AS"}, "MailboxQuota": 7,
		"Id": "none", "FolderConfigurations": []map[string]any{{"Name": "DRAFTS", "Action": "DELETE", "Period": 30}},
		"Tags": []map[string]string{{"Key": "k", "Value": "v"}}, "TagKeys": []string{"k"}, "DeleteDirectory": true, "Alias": "fresh@" + s.domain,
		"Effect": "ALLOW", "Description": "Big", "Action": "EWS", "IpAddress": "192.0.2.1",
		"MobileDeviceAccessRuleId": "default", "DeviceId": "device1", "Enforced": false, "Enabled": false, "LogGroupArn": logGroup,
		"ImpersonationRoleId": s.role, "TargetUser": s.user, "Rules": []string{},
		"InstanceArn": instanceARN, "ApplicationArn": s.application, "AuthenticationMode": "IDENTITY_PROVIDER_AND_DIRECTORY",
		"IdentityCenterConfiguration":      map[string]string{"InstanceArn": instanceARN, "ApplicationArn": s.application},
		"PersonalAccessTokenConfiguration": map[string]string{"Status": "ACTIVE"}, "PersonalAccessTokenId": s.token,
	}
	if s.retention != "" {
		known["Id"] = s.retention
	}
	known["ClientToken"], known["JobId"] = id.UUID(), "no-such-job"
	known["RoleArn"], known["KmsKeyArn"] = "arn:aws:iam::111122223333:role/Export", "arn:aws:kms:eu-west-1:111122223333:key/1"
	known["S3BucketName"], known["S3Prefix"] = "bucket", "fresh"
	if s.job != "" {
		known["JobId"] = s.job
	}
	if known["ReportId"] = s.report; s.report == "" {
		known["ReportId"] = "7777"
	}
	if known["TraceId"] = s.trace; s.trace == "" {
		known["TraceId"] = "no-such-trace"
	}
	if op.Name == "CreateOrganization" {
		known["Alias"] = "fresh"
	}
	known["SenderPatterns"], known["RecipientPatterns"], known["Sender"], known["Recipient"] = []string{"*"}, []string{"*"}, "x@far.example", "y@"+s.domain
	if known["Host"], known["Port"] = "relay.example", 465; strings.HasSuffix(op.Name, "MailFlowRule") {
		known["Action"] = "DROP"
	}
	known["State"] = "DISABLED" // of an automatic reply
	if op.Input.Member("Rules") >= 0 {
		known["Type"] = "FULL_ACCESS"
	}
	in := map[string]any{}
	for _, m := range op.Input.Members {
		if !m.Required {
			continue
		}
		value, ok := known[m.Name]
		if !ok {
			t.Fatalf("%s: no value for the required member %s", op.Name, m.Name)
		}
		in[m.Name] = value
	}
	// So that there is something to change.
	for name, value := range map[string]any{"City": "Rome", "Description": "Big", "HiddenFromGlobalAddressList": true} {
		if i := op.Input.Member(name); i >= 0 && op.Input.Members[i].Shape.Type != schema.Structure {
			in[name] = value
		}
	}
	if op.Input.Member("LambdaProvider") >= 0 && op.Name != "TestAvailabilityConfiguration" {
		in["LambdaProvider"] = map[string]string{"LambdaArn": noFunction}
	}
	return in
}
