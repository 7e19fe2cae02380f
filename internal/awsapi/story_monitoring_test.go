package awsapi_test

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
)

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
