package awsapi_test

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
)

func (s *story) retention() {
	w := s.world
	folder := func(name types.FolderName, action types.RetentionAction, days int32) types.FolderConfiguration {
		f := types.FolderConfiguration{Name: name, Action: action}
		if days > 0 {
			f.Period = &days
		}
		return f
	}
	put := func(id *string, name, description string, folders ...types.FolderConfiguration) *workmail.PutRetentionPolicyInput {
		in := &workmail.PutRetentionPolicyInput{OrganizationId: &s.org, Id: id, Name: &name, FolderConfigurations: folders}
		if description != "" {
			in.Description = &description
		}
		if folders == nil {
			in.FolderConfigurations = []types.FolderConfiguration{}
		}
		return in
	}
	get := &workmail.GetDefaultRetentionPolicyInput{OrganizationId: &s.org}
	refused[*types.EntityNotFoundException](w, w.GetDefaultRetentionPolicy, get)
	trash := folder(types.FolderNameDeletedItems, types.RetentionActionPermanentlyDelete, 730)
	for _, bad := range []*workmail.PutRetentionPolicyInput{
		put(str("unknown"), "p", "", trash), put(nil, "p", "", trash, trash), put(nil, "p", "", folder(types.FolderNameInbox, types.RetentionActionDelete, 0)),
		put(nil, "p", "", folder(types.FolderNameInbox, types.RetentionActionDelete, 731)), put(nil, "a name", "", trash), put(nil, "p", strings.Repeat("d", 257), trash),
	} {
		refused[*types.InvalidParameterException](w, w.PutRetentionPolicy, bad)
	}
	must(w, w.PutRetentionPolicy, put(nil, "first", "Ours", trash, folder(types.FolderNameInbox, types.RetentionActionNone, 0)))
	r := must(w, w.GetDefaultRetentionPolicy, get)
	if *r.Id == "" || *r.Name != "first" || *r.Description != "Ours" || len(r.FolderConfigurations) != 2 || *r.FolderConfigurations[0].Period != 730 ||
		r.FolderConfigurations[0].Name != trash.Name || r.FolderConfigurations[0].Action != trash.Action || r.FolderConfigurations[1].Period != nil {
		w.t.Errorf("the policy is %+v", r)
	}
	must(w, w.PutRetentionPolicy, put(r.Id, "second", "", folder(types.FolderNameSentItems, types.RetentionActionDelete, 1)))
	must(w, w.PutRetentionPolicy, put(nil, "third", ""))
	refused[*types.LimitExceededException](w, w.PutRetentionPolicy, put(str("unknown"), "p", "", trash))
	if again := must(w, w.GetDefaultRetentionPolicy, get); *again.Id != *r.Id || *again.Name != "third" || again.Description != nil || len(again.FolderConfigurations) != 0 {
		w.t.Errorf("the changed policy is %+v", again)
	}
	drop := func(id string) *workmail.DeleteRetentionPolicyInput {
		return &workmail.DeleteRetentionPolicyInput{OrganizationId: &s.org, Id: aws.String(id)}
	}
	must(w, w.DeleteRetentionPolicy, drop("unknown"))
	must(w, w.DeleteRetentionPolicy, drop(*r.Id))
	must(w, w.DeleteRetentionPolicy, drop(*r.Id))
	refused[*types.InvalidParameterException](w, w.DeleteRetentionPolicy, drop("not an id"))
	refused[*types.EntityNotFoundException](w, w.GetDefaultRetentionPolicy, get)
}
