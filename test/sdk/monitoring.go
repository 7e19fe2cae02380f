package sdk

// monitoringSteps are about what is told of mail, and what is done with forged mail.
func monitoringSteps() []step {
	return []step{
		{call: "DescribeInboundDmarcSettings", in: inOrg(nil), out: object{"Enforced": true}},
		{call: "PutInboundDmarcSettings", in: inOrg(object{"Enforced": false}), out: done},
		{call: "DescribeInboundDmarcSettings", in: inOrg(nil), out: object{"Enforced": false}},
		{call: "PutInboundDmarcSettings", in: object{"OrganizationId": noOrg, "Enforced": true}, fails: "OrganizationNotFoundException"},
	}
}
