package sdk

func availabilitySteps() []step {
	const function = "arn:aws:lambda:eu-west-1:111122223333:function:nowhere"
	lambda := object{"LambdaArn": function}
	ews := object{"EwsEndpoint": "https://192.0.2.1/EWS/Exchange.asmx", "EwsUsername": "CORP\\svc", "EwsPassword": password}
	shown := object{"EwsEndpoint": "https://192.0.2.1/EWS/Exchange.asmx", "EwsUsername": "CORP\\svc"}
	refused := object{"TestPassed": false, "FailureReason": "~^192\\.0\\.2\\.1 is not an address on the public internet"}
	return []step{
		{call: "CreateAvailabilityConfiguration", in: inOrg(object{"DomainName": "A.{alias}.example", "EwsProvider": ews, "ClientToken": "{alias}"}), out: done},
		{call: "CreateAvailabilityConfiguration", in: inOrg(object{"DomainName": "A.{alias}.example", "EwsProvider": ews, "ClientToken": "{alias}"}), out: done},
		{call: "CreateAvailabilityConfiguration", in: inOrg(object{"DomainName": "a.{alias}.example", "LambdaProvider": lambda}), fails: "NameAvailabilityException"},
		{call: "CreateAvailabilityConfiguration", in: inOrg(object{"DomainName": "b.{alias}.example"}), fails: "InvalidParameterException"},
		{call: "CreateAvailabilityConfiguration", in: inOrg(object{"DomainName": "b.{alias}.example", "LambdaProvider": lambda}), out: done},
		{
			call: "ListAvailabilityConfigurations", in: inOrg(nil), out: object{"AvailabilityConfigurations": list{
				object{"DomainName": "a.{alias}.example", "ProviderType": "EWS", "EwsProvider": shown, "DateCreated": now, "DateModified": now},
				object{"DomainName": "b.{alias}.example", "ProviderType": "LAMBDA", "LambdaProvider": lambda, "DateCreated": now, "DateModified": now},
			}},
		},
		{call: "ListAvailabilityConfigurations", in: inOrg(object{"MaxResults": 1}), out: object{"AvailabilityConfigurations": list{anything}, "NextToken": "~."}},
		{call: "TestAvailabilityConfiguration", in: inOrg(object{"DomainName": "a.{alias}.example"}), out: refused},
		{call: "TestAvailabilityConfiguration", in: inOrg(object{"EwsProvider": ews}), out: refused},
		{
			call: "TestAvailabilityConfiguration", in: inOrg(object{"LambdaProvider": lambda}),
			out: object{"TestPassed": false, "FailureReason": "the function " + function + " is not mapped to an endpoint in this server's configuration"},
		},
		{call: "TestAvailabilityConfiguration", in: inOrg(object{"DomainName": "c.{alias}.example"}), fails: "ResourceNotFoundException"},
		{call: "TestAvailabilityConfiguration", in: inOrg(nil), fails: "InvalidParameterException"},
		{call: "UpdateAvailabilityConfiguration", in: inOrg(object{"DomainName": "b.{alias}.example", "EwsProvider": ews}), out: done},
		{call: "UpdateAvailabilityConfiguration", in: inOrg(object{"DomainName": "c.{alias}.example", "EwsProvider": ews}), fails: "ResourceNotFoundException"},
		{call: "TestAvailabilityConfiguration", in: inOrg(object{"DomainName": "b.{alias}.example"}), out: refused},
		{call: "DeleteAvailabilityConfiguration", in: inOrg(object{"DomainName": "a.{alias}.example"}), out: done},
		{call: "DeleteAvailabilityConfiguration", in: inOrg(object{"DomainName": "a.{alias}.example"}), out: done},
	}
}
