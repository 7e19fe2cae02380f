package sdk

// logGroup is one that the server is configured with.
const logGroup = "arn:aws:logs:us-east-1:000000000000:log-group:/mail/events:*"

// monitoringSteps are about what is told of mail, and what is done with forged mail.
func monitoringSteps() []step {
	put := inOrg(object{"LogGroupArn": logGroup, "RoleArn": "arn:aws:iam::000000000000:role/WorkMail"})
	return []step{
		{call: "DescribeEmailMonitoringConfiguration", in: inOrg(nil), fails: "ResourceNotFoundException"},
		{call: "PutEmailMonitoringConfiguration", in: put, out: done},
		{
			call: "DescribeEmailMonitoringConfiguration", in: inOrg(nil),
			out: object{"LogGroupArn": logGroup, "RoleArn": "arn:aws:iam::000000000000:role/WorkMail"},
		},
		{
			call: "PutEmailMonitoringConfiguration", in: inOrg(object{"LogGroupArn": "arn:aws:logs:us-east-1:000000000000:log-group:/unknown:*"}),
			fails: "ResourceNotFoundException",
		},
		{call: "PutEmailMonitoringConfiguration", in: inOrg(object{"LogGroupArn": logGroup[:len(logGroup)-2]}), fails: "InvalidParameterException"},
		{call: "DeleteEmailMonitoringConfiguration", in: inOrg(nil), out: done},
		{call: "DeleteEmailMonitoringConfiguration", in: inOrg(nil), out: done},
		{call: "DescribeEmailMonitoringConfiguration", in: inOrg(nil), fails: "ResourceNotFoundException"},
		{call: "DescribeInboundDmarcSettings", in: inOrg(nil), out: object{"Enforced": true}},
		{call: "PutInboundDmarcSettings", in: inOrg(object{"Enforced": false}), out: done},
		{call: "DescribeInboundDmarcSettings", in: inOrg(nil), out: object{"Enforced": false}},
		{call: "PutInboundDmarcSettings", in: object{"OrganizationId": noOrg, "Enforced": true}, fails: "OrganizationNotFoundException"},
	}
}
