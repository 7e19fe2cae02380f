package awsapi_test

import (
	"testing"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
)

// scene is what the inputs of a test name.
type scene struct {
	org, arn                     string
	user, other, group, resource string // ids
	domain                       string // verified
}

// inputs makes an input with the required members of an operation, which name what is in the scene.
func inputs(t *testing.T, op *contract.Op, s scene) map[string]any {
	t.Helper()
	if s.domain == "" {
		s.domain = "elsewhere.example"
	}
	known := map[string]any{
		"OrganizationId": s.org, "ResourceARN": s.arn, "UserId": s.user, "EntityId": s.user, "MemberId": s.other, "GranteeId": s.other,
		"GroupId": s.group, "ResourceId": s.resource, "Email": "fresh@" + s.domain, "DomainName": s.domain, "Password": "TestTest1234!",
		"Name": "fresh", "DisplayName": "Fresh", "Type": "ROOM", "PermissionValues": []string{"SEND_AS"}, "MailboxQuota": 7,
		"Tags": []map[string]string{{"Key": "k", "Value": "v"}}, "TagKeys": []string{"k"}, "DeleteDirectory": true, "Alias": "fresh@" + s.domain,
	}
	if op.Name == "CreateOrganization" {
		known["Alias"] = "fresh"
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
