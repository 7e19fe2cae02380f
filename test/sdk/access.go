package sdk

import "fmt"

// accessSteps leave an organisation that lets everybody in.
func accessSteps() []step {
	put := func(name string, members object) object {
		in := inOrg(object{"Name": name, "Effect": "DENY", "Description": "A rule"})
		for k, v := range members {
			in[k] = v
		}
		return in
	}
	effect := func(action, address string) object {
		return inOrg(object{"Action": action, "IpAddress": address, "UserId": "{ann}"})
	}
	conditions := object{
		"IpRanges": list{"192.0.2.0/24", "198.51.100.0/24"}, "NotIpRanges": list{"192.0.2.7/32"}, "Actions": list{"IMAP", "SMTP"}, "NotActions": list{"EWS"},
		"UserIds": list{"{ann}"}, "NotUserIds": list{"{bob}"},
	}
	office := object{"Name": "office", "Effect": "DENY", "Description": "A rule", "DateCreated": now, "DateModified": now}
	for k, v := range conditions {
		office[k] = v
	}
	beginning := object{"Name": "default", "Effect": "ALLOW", "Description": "Default WorkMail Rule", "DateCreated": 0, "DateModified": 0}
	steps := []step{
		{call: "ListAccessControlRules", in: inOrg(nil), out: object{"Rules": list{beginning}}},
		{call: "PutAccessControlRule", in: put("office", conditions), out: done},
		{call: "ListAccessControlRules", in: inOrg(nil), out: object{"Rules": list{beginning, office}}},
		{call: "GetAccessControlEffect", in: effect("IMAP", "198.51.100.1"), out: object{"Effect": "DENY", "MatchedRules": list{"office"}}},
		{call: "GetAccessControlEffect", in: effect("IMAP", "192.0.2.7"), out: object{"Effect": "ALLOW", "MatchedRules": list{"default"}}},
		{call: "GetAccessControlEffect", in: effect("imap", "192.0.2.7"), fails: "InvalidParameterException"},
		{call: "GetAccessControlEffect", in: inOrg(object{"Action": "EWS", "IpAddress": "192.0.2.7"}), fails: "InvalidParameterException"},
		{call: "PutAccessControlRule", in: put("bad", object{"Actions": list{"POP3"}}), fails: "InvalidParameterException"},
		{call: "PutAccessControlRule", in: put("bad", object{"UserIds": list{"00000000-0000-4000-8000-000000000000"}}), fails: "EntityNotFoundException"},
		{call: "PutAccessControlRule", in: put("bad", object{"ImpersonationRoleIds": list{"no-role"}}), fails: "ResourceNotFoundException"},
	}
	for i := range 8 {
		steps = append(steps, step{call: "PutAccessControlRule", in: put(fmt.Sprint("rule-", i), object{"Actions": list{"ActiveSync"}}), out: done})
	}
	steps = append(steps, step{call: "PutAccessControlRule", in: put("eleventh", nil), fails: "LimitExceededException"})
	for i := range 8 {
		steps = append(steps, step{call: "DeleteAccessControlRule", in: inOrg(object{"Name": fmt.Sprint("rule-", i)}), out: done})
	}
	return append(
		steps,
		step{call: "DeleteAccessControlRule", in: inOrg(object{"Name": "office"}), out: done},
		step{call: "DeleteAccessControlRule", in: inOrg(object{"Name": "office"}), out: done},
	)
}
