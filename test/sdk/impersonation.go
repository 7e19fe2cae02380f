package sdk

import "fmt"

// impersonationSteps leave an organisation without roles.
func impersonationSteps() []step {
	create := func(name string, rules ...any) object {
		return inOrg(object{"Name": name, "Type": "READ_ONLY", "Description": "Reads", "Rules": append(list{}, rules...)})
	}
	rule := func(id, effect string, targets ...any) object {
		r := object{"ImpersonationRuleId": id, "Effect": effect}
		if len(targets) > 0 {
			r["TargetUsers"] = append(list{}, targets...)
		}
		return r
	}
	ofRole := func(members object) object {
		in := inOrg(object{"ImpersonationRoleId": "{role}"})
		for k, v := range members {
			in[k] = v
		}
		return in
	}
	named := rule("all", "ALLOW")
	named["Name"], named["Description"], named["NotTargetUsers"] = "All", "All but one", list{"a@{alias}.awsapps.com"}
	kept := rule("all", "ALLOW")
	kept["Name"], kept["Description"], kept["NotTargetUsers"] = "All", "All but one", list{"{ann}"}
	token := object{"ClientToken": "role-{alias}"}
	for k, v := range create("importer", named, rule("ann", "ALLOW", "ann")) {
		token[k] = v
	}
	steps := []step{
		{call: "CreateImpersonationRole", in: token, out: object{"ImpersonationRoleId": uuid}, save: map[string]string{"role": "ImpersonationRoleId"}},
		{call: "CreateImpersonationRole", in: token, out: object{"ImpersonationRoleId": "{role}"}},
		{call: "GetImpersonationRole", in: ofRole(nil), out: object{
			"ImpersonationRoleId": "{role}", "Name": "importer", "Type": "READ_ONLY", "Description": "Reads", "DateCreated": now, "DateModified": now,
			"Rules": list{kept, rule("ann", "ALLOW", "{ann}")},
		}},
		{call: "ListImpersonationRoles", in: inOrg(nil), out: object{"Roles": list{object{
			"ImpersonationRoleId": "{role}", "Name": "importer", "Type": "READ_ONLY", "DateCreated": now, "DateModified": now,
		}}}},
		{call: "GetImpersonationRoleEffect", in: ofRole(object{"TargetUser": "a@{alias}.awsapps.com"}), out: object{
			"Type": "READ_ONLY", "Effect": "ALLOW", "MatchedRules": list{object{"ImpersonationRuleId": "ann"}},
		}},
		{call: "AssumeImpersonationRole", in: ofRole(nil), out: object{"Token": "~^[!-~]{1,256}$", "ExpiresIn": 900}},
		{call: "PutAccessControlRule", in: inOrg(object{
			"Name": "no-role", "Effect": "DENY", "Description": "No role", "ImpersonationRoleIds": list{"{role}"},
		}), out: done},
		{
			call: "GetAccessControlEffect", in: ofRole(object{"Action": "EWS", "IpAddress": "192.0.2.1"}),
			out: object{"Effect": "DENY", "MatchedRules": list{"no-role"}},
		},
		{call: "DeleteAccessControlRule", in: inOrg(object{"Name": "no-role"}), out: done},
		{call: "UpdateImpersonationRole", in: ofRole(object{
			"Name": "writer", "Type": "FULL_ACCESS", "Rules": list{rule("all", "ALLOW"), rule("not-ann", "DENY", "{ann}")},
		}), out: done},
		{call: "GetImpersonationRoleEffect", in: ofRole(object{"TargetUser": "ann"}), out: object{
			"Type": "FULL_ACCESS", "Effect": "DENY", "MatchedRules": list{object{"ImpersonationRuleId": "not-ann"}},
		}},
		{call: "CreateImpersonationRole", in: create("bad", rule("x", "ALLOW", "nobody-here")), fails: "EntityNotFoundException"},
		{call: "CreateImpersonationRole", in: create("bad", rule("x", "ALLOW", "{bob}")), fails: "EntityStateException"},
		{call: "CreateImpersonationRole", in: create("bad", rule("x", "ALLOW"), rule("x", "ALLOW")), fails: "InvalidParameterException"},
	}
	for i := range 19 {
		steps = append(steps, step{
			call: "CreateImpersonationRole", in: create(fmt.Sprint("role ", i)), out: object{"ImpersonationRoleId": uuid},
			save: map[string]string{fmt.Sprint("role-", i): "ImpersonationRoleId"},
		})
	}
	steps = append(steps, step{call: "CreateImpersonationRole", in: create("one too many"), fails: "LimitExceededException"})
	for i := range 19 {
		id := fmt.Sprintf("{role-%d}", i)
		steps = append(steps, step{call: "DeleteImpersonationRole", in: inOrg(object{"ImpersonationRoleId": id}), out: done})
	}
	return append(
		steps,
		step{call: "DeleteImpersonationRole", in: ofRole(nil), out: done},
		step{call: "DeleteImpersonationRole", in: ofRole(nil), out: done},
		step{call: "AssumeImpersonationRole", in: ofRole(nil), fails: "ResourceNotFoundException"},
	)
}
