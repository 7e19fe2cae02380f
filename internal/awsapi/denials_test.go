package awsapi_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/smithy-go"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/policy/iam"
)

// TestTheAuditTrailHasChangesAndDenials creates a user, lists users and is denied: the trail has the change and the denial.
func TestTheAuditTrailHasChangesAndDenials(t *testing.T) {
	inBoth(t, func(w *world) {
		org := w.organization("audited")
		user := &workmail.CreateUserInput{OrganizationId: &org, Name: str("ann"), DisplayName: str("Ann")}
		id := must(w, w.CreateUser, user).UserId
		must(w, w.ListUsers, &workmail.ListUsersInput{OrganizationId: &org})
		w.keys["READER"] = iam.WorkMailReadOnly
		_, err := w.clientOf("READER").CreateUser(w.ctx, user)
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != "AccessDeniedException" {
			w.t.Fatalf("got %v", err)
		}
		records, err := w.audit.Read(w.ctx, audit.Query{Organization: org})
		if err != nil {
			w.t.Fatal(err)
		}
		var created, denied []audit.Record
		for _, r := range records {
			switch {
			case r.Operation == "CreateUser" && r.Outcome == audit.Done:
				created = append(created, r)
			case r.Operation == "CreateUser":
				denied = append(denied, r)
			case r.Operation == "ListUsers":
				w.t.Errorf("reading changes nothing: %+v", r)
			}
		}
		if len(created) != 1 || created[0].Subject != *id || created[0].Actor.ID != "ADMIN" || created[0].Actor.RequestID == "" {
			w.t.Errorf("the records of the change are %+v", created)
		}
		if len(denied) != 1 || denied[0].Actor.ID != "READER" || denied[0].Outcome != "denied: policy" || denied[0].Actor.Address.String() != "192.0.2.1" {
			w.t.Errorf("the records of the denial are %+v", denied)
		}
	})
}
