package awsapi_test

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
)

// logGroup is the one that the world's server is configured with.
const logGroup = "arn:aws:logs:eu-west-1:111122223333:log-group:/mail/events:*"

func (s *story) dmarc() {
	w := s.world
	is := func(want bool) {
		if out := must(w, w.DescribeInboundDmarcSettings, &workmail.DescribeInboundDmarcSettingsInput{OrganizationId: &s.org}); out.Enforced != want {
			w.t.Errorf("DMARC is enforced: %t, want %t", out.Enforced, want)
		}
	}
	is(true)
	for _, enforced := range []bool{false, false, true} {
		must(w, w.PutInboundDmarcSettings, &workmail.PutInboundDmarcSettingsInput{OrganizationId: &s.org, Enforced: aws.Bool(enforced)})
		is(enforced)
	}
}

func (s *story) monitoring() {
	w := s.world
	describe := &workmail.DescribeEmailMonitoringConfigurationInput{OrganizationId: &s.org}
	refused[*types.ResourceNotFoundException](w, w.DescribeEmailMonitoringConfiguration, describe)
	put := &workmail.PutEmailMonitoringConfigurationInput{
		OrganizationId: &s.org, LogGroupArn: str(logGroup), RoleArn: str("arn:aws:iam::111122223333:role/WorkMail"),
	}
	must(w, w.PutEmailMonitoringConfiguration, put)
	if out := must(w, w.DescribeEmailMonitoringConfiguration, describe); *out.LogGroupArn != logGroup || *out.RoleArn != *put.RoleArn {
		w.t.Errorf("the configuration is %+v", out)
	}
	put.RoleArn = nil
	must(w, w.PutEmailMonitoringConfiguration, put)
	if out := must(w, w.DescribeEmailMonitoringConfiguration, describe); *out.LogGroupArn != logGroup || out.RoleArn != nil {
		w.t.Errorf("the configuration is %+v", out)
	}
	put.LogGroupArn = str("arn:aws:logs:eu-west-1:111122223333:log-group:/unknown:*")
	refused[*types.ResourceNotFoundException](w, w.PutEmailMonitoringConfiguration, put)
	put.LogGroupArn = str("arn:aws:logs:eu-west-1:111122223333:log-group:/mail/events")
	refused[*types.InvalidParameterException](w, w.PutEmailMonitoringConfiguration, put)
	for range 2 {
		must(w, w.DeleteEmailMonitoringConfiguration, &workmail.DeleteEmailMonitoringConfigurationInput{OrganizationId: &s.org})
	}
	refused[*types.ResourceNotFoundException](w, w.DescribeEmailMonitoringConfiguration, describe)
}
