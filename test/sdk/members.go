package sdk

// memberSteps fill the members that the other steps leave empty: dates of what was disabled, tokens of further pages, what went wrong.
// They need ann enabled, and bob.
func memberSteps() []step {
	register := func(entity, local string) step {
		return step{call: "RegisterToWorkMail", in: inOrg(object{"EntityId": entity, "Email": local + "@{alias}.awsapps.com"}), out: done}
	}
	disable := func(entity string) step {
		return step{call: "DeregisterFromWorkMail", in: inOrg(object{"EntityId": entity}), out: done}
	}
	// firstOf reads the first page of one item, and the second.
	firstOf := func(operation, member string, in object, item any) []step {
		first, second := inOrg(in), inOrg(in)
		first["MaxResults"], second["NextToken"] = 1, "{page}"
		return []step{
			{call: operation, in: first, out: object{member: list{item}, "NextToken": "~."}, save: map[string]string{"page": "NextToken"}},
			{call: operation, in: second, out: anyMembers},
		}
	}
	left := object{"State": "DISABLED", "EnabledDate": now, "DisabledDate": now}
	with := func(members ...object) object {
		all := object{}
		for _, m := range members {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	carl := object{"Name": "carl", "DisplayName": "Carl", "UserRole": "USER"}
	group, room := object{"Name": "Left"}, object{"Name": "hall", "Type": "ROOM"}
	steps := []step{
		{call: "CreateUser", in: inOrg(object{"Name": "carl", "DisplayName": "Carl"}), out: object{"UserId": uuid}, save: map[string]string{"carl": "UserId"}},
		register("{carl}", "carl"),
		disable("{carl}"),
		{call: "DescribeUser", in: inOrg(object{"UserId": "carl"}), out: with(carl, left, object{
			"UserId": "{carl}", "HiddenFromGlobalAddressList": false, "MailboxProvisionedDate": now, "MailboxDeprovisionedDate": now,
		})},
		{call: "ListUsers", in: inOrg(object{"Filters": object{"UsernamePrefix": "carl"}}), out: object{"Users": list{with(carl, left, object{"Id": "{carl}"})}}},
		{call: "CreateGroup", in: inOrg(group), out: object{"GroupId": uuid}, save: map[string]string{"left": "GroupId"}},
		{call: "CreateGroup", in: inOrg(object{"Name": "Left too"}), out: object{"GroupId": uuid}, save: map[string]string{"left2": "GroupId"}},
		register("{left}", "left"),
		disable("{left}"),
		{call: "DescribeGroup", in: inOrg(object{"GroupId": "{left}"}), out: with(group, left, object{"GroupId": "{left}", "HiddenFromGlobalAddressList": false})},
		{call: "AssociateMemberToGroup", in: inOrg(object{"GroupId": "{left}", "MemberId": "{carl}"}), out: done},
		{call: "AssociateMemberToGroup", in: inOrg(object{"GroupId": "{left}", "MemberId": "{left2}"}), out: done},
		{call: "AssociateMemberToGroup", in: inOrg(object{"GroupId": "{left2}", "MemberId": "{carl}"}), out: done},
		{call: "CreateResource", in: inOrg(room), out: object{"ResourceId": "~."}, save: map[string]string{"hall": "ResourceId"}},
		{call: "CreateResource", in: inOrg(object{"Name": "hall-2", "Type": "ROOM"}), out: object{"ResourceId": "~."}},
		register("{hall}", "hall"),
		{call: "StartMailboxExportJob", in: inOrg(object{
			"ClientToken": "t9", "EntityId": "hall", "RoleArn": "arn:aws:iam::000000000000:role/Export", "KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/1",
			"S3BucketName": "forbidden", "S3Prefix": "of",
		}), out: object{"JobId": uuid}, save: map[string]string{"failing": "JobId"}},
		{call: "DescribeMailboxExportJob", in: inOrg(object{"JobId": "{failing}"}), until: object{"State": "FAILED"}, out: object{
			"EntityId": "{hall}", "RoleArn": "arn:aws:iam::000000000000:role/Export", "KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/1",
			"S3BucketName": "forbidden", "S3Prefix": "of", "S3Path": "~.", "EstimatedProgress": anything, "State": "FAILED", "ErrorInfo": "~.", "StartTime": now, "EndTime": now,
		}},
		disable("{hall}"),
		{call: "DescribeResource", in: inOrg(object{"ResourceId": "hall"}), out: with(room, left, object{
			"ResourceId": "{hall}", "BookingOptions": object{"AutoAcceptRequests": true, "AutoDeclineRecurringRequests": false, "AutoDeclineConflictingRequests": true},
			"HiddenFromGlobalAddressList": false,
		})},
		{call: "AssociateDelegateToResource", in: inOrg(object{"ResourceId": "hall", "EntityId": "{ann}"}), out: done},
		{call: "AssociateDelegateToResource", in: inOrg(object{"ResourceId": "hall", "EntityId": "{carl}"}), out: done},
		{call: "CreateAlias", in: inOrg(object{"EntityId": "{ann}", "Alias": "first@{alias}.awsapps.com"}), out: done},
		{call: "PutMailboxPermissions", in: inOrg(object{"EntityId": "{ann}", "GranteeId": "{left}", "PermissionValues": list{"SEND_AS"}}), out: done},
		{call: "PutMailboxPermissions", in: inOrg(object{"EntityId": "{ann}", "GranteeId": "{left2}", "PermissionValues": list{"SEND_AS"}}), out: done},
		{call: "GetMailDomain", in: inOrg(object{"DomainName": "{alias}.example.org"}), out: object{
			"Records":      containing(object{"Type": "TXT", "Hostname": "_pennypost.{alias}.example.org", "Value": "~."}),
			"IsTestDomain": false, "IsDefault": false, "OwnershipVerificationStatus": "PENDING", "DkimVerificationStatus": "PENDING",
		}},
		{call: "CreateImpersonationRole", in: inOrg(object{
			"Name": "reader", "Type": "READ_ONLY", "Rules": list{object{"ImpersonationRuleId": "all", "Name": "All", "Effect": "ALLOW"}},
		}), out: object{"ImpersonationRoleId": uuid}, save: map[string]string{"reader": "ImpersonationRoleId"}},
		{call: "CreateImpersonationRole", in: inOrg(object{"Name": "reader 2", "Type": "READ_ONLY", "Rules": list{}}), out: object{"ImpersonationRoleId": uuid}},
		{call: "GetImpersonationRoleEffect", in: inOrg(object{"ImpersonationRoleId": "{reader}", "TargetUser": "ann"}), out: object{
			"Type": "READ_ONLY", "Effect": "ALLOW", "MatchedRules": list{object{"ImpersonationRuleId": "all", "Name": "All"}},
		}},
		{call: "PutAccessControlRule", in: inOrg(object{
			"Name": "roles", "Effect": "ALLOW", "Description": "x", "ImpersonationRoleIds": list{"{reader}"}, "NotImpersonationRoleIds": list{"{reader}"},
		}), out: done},
		{call: "ListAccessControlRules", in: inOrg(nil), out: object{"Rules": containing(object{
			"Name": "roles", "Effect": "ALLOW", "Description": "x", "ImpersonationRoleIds": list{"{reader}"}, "NotImpersonationRoleIds": list{"{reader}"},
			"DateCreated": now, "DateModified": now,
		})}},
		{call: "PutMobileDeviceAccessOverride", in: inOrg(object{"UserId": "{ann}", "DeviceId": "D1", "Effect": "ALLOW"}), out: done},
		{call: "PutMobileDeviceAccessOverride", in: inOrg(object{"UserId": "{ann}", "DeviceId": "D2", "Effect": "ALLOW"}), out: done},
		{call: "ListOrganizations", in: object{"MaxResults": 1}, out: object{"OrganizationSummaries": list{anything}, "NextToken": "~."}},
	}
	for _, pages := range [][]step{
		firstOf("ListGroups", "Groups", object{"Filters": object{"NamePrefix": "left"}}, with(group, left, object{"Id": "{left}"})),
		firstOf("ListGroupMembers", "Members", object{"GroupId": "{left}"}, with(left, object{"Id": "{carl}", "Name": "carl", "Type": "USER"})),
		firstOf("ListGroupsForEntity", "Groups", object{"EntityId": "{carl}"}, object{"GroupId": "{left}", "GroupName": "Left"}),
		firstOf("ListResources", "Resources", object{"Filters": object{"NamePrefix": "hall"}}, with(room, left, object{"Id": "{hall}"})),
		firstOf("ListResourceDelegates", "Delegates", object{"ResourceId": "hall"}, object{"Id": "{ann}", "Type": "USER"}),
		firstOf("ListAliases", "Aliases", object{"EntityId": "{ann}"}, anything),
		firstOf("ListMailDomains", "MailDomains", nil, anything),
		firstOf("ListMailboxPermissions", "Permissions", object{"EntityId": "{ann}"}, anything),
		firstOf("ListMobileDeviceAccessOverrides", "Overrides", nil, anything),
		firstOf("ListImpersonationRoles", "Roles", nil, anything),
		firstOf("ListMailboxExportJobs", "Jobs", nil, anything),
	} {
		steps = append(steps, pages...)
	}
	return append(steps, step{call: "DeleteAlias", in: inOrg(object{"EntityId": "{ann}", "Alias": "first@{alias}.awsapps.com"}), out: done})
}
