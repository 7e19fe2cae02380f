package sdk

func retentionSteps() []step {
	trash := object{"Name": "DELETED_ITEMS", "Action": "PERMANENTLY_DELETE", "Period": 730}
	return []step{
		{call: "GetDefaultRetentionPolicy", in: inOrg(nil), fails: "EntityNotFoundException"},
		{
			call: "PutRetentionPolicy", out: done,
			in: inOrg(object{"Name": "ours", "Description": "All of it", "FolderConfigurations": list{trash, object{"Name": "INBOX", "Action": "NONE"}}}),
		},
		{
			call: "GetDefaultRetentionPolicy", in: inOrg(nil), save: map[string]string{"retention": "Id"},
			out: object{"Id": uuid, "Name": "ours", "Description": "All of it", "FolderConfigurations": list{trash, object{"Name": "INBOX", "Action": "NONE"}}},
		},
		{call: "PutRetentionPolicy", in: inOrg(object{"Id": "{retention}", "Name": "less", "FolderConfigurations": list{trash}}), out: done},
		{call: "PutRetentionPolicy", in: inOrg(object{"Id": "another", "Name": "x", "FolderConfigurations": list{trash}}), fails: "LimitExceededException"},
		{call: "PutRetentionPolicy", in: inOrg(object{"Name": "x", "FolderConfigurations": list{trash, trash}}), fails: "InvalidParameterException"},
		{
			call: "GetDefaultRetentionPolicy", in: inOrg(nil),
			out: object{"Id": "{retention}", "Name": "less", "FolderConfigurations": list{trash}},
		},
		{call: "DeleteRetentionPolicy", in: inOrg(object{"Id": "{retention}"}), out: done},
		{call: "DeleteRetentionPolicy", in: inOrg(object{"Id": "{retention}"}), out: done},
		{call: "GetDefaultRetentionPolicy", in: inOrg(nil), fails: "EntityNotFoundException"},
	}
}
