package pennyposttest_test

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/workmail"

	"github.com/pennypost/pennypost/pennyposttest"
)

func TestServer(t *testing.T) {
	s := pennyposttest.Start(t, pennyposttest.Setting("account_id", "123456789012"), pennyposttest.Setting("region", "eu-west-1"))
	who, err := sts.NewFromConfig(s.AWS()).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || aws.ToString(who.Account) != "123456789012" {
		t.Errorf("who calls: %v %v", who, err)
	}
	api := workmail.NewFromConfig(s.AWS())
	made, err := api.CreateOrganization(t.Context(), &workmail.CreateOrganizationInput{Alias: aws.String("example")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		o, err := api.DescribeOrganization(ctx, &workmail.DescribeOrganizationInput{OrganizationId: made.OrganizationId})
		if err != nil {
			t.Fatal(err)
		}
		if aws.ToString(o.State) == "Active" {
			break
		}
	}
	if _, err := api.RegisterMailDomain(ctx, &workmail.RegisterMailDomainInput{
		OrganizationId: made.OrganizationId, DomainName: aws.String("example.com"),
	}); err != nil {
		t.Fatal(err)
	}
	s.VerifyDomain(aws.ToString(made.OrganizationId), "example.com")
	d, err := api.GetMailDomain(ctx, &workmail.GetMailDomainInput{
		OrganizationId: made.OrganizationId, DomainName: aws.String("example.com"),
	})
	if err != nil || d.OwnershipVerificationStatus != "VERIFIED" {
		t.Errorf("the domain: %v %v", d, err)
	}
	for _, listener := range []string{"https", "imaps", "submissions"} {
		c, err := (&tls.Dialer{Config: s.TLS()}).DialContext(ctx, "tcp", s.Addr(listener))
		if err != nil {
			t.Errorf("%s: %v", listener, err)
			continue
		}
		c.Close()
	}
}

func TestServersDoNotMeet(t *testing.T) {
	a, b := pennyposttest.Start(t), pennyposttest.Start(t)
	if a.Addr("http") == b.Addr("http") {
		t.Error("two servers share an address")
	}
	for _, s := range []*pennyposttest.Server{a, b} {
		api := workmail.NewFromConfig(s.AWS())
		if _, err := api.CreateOrganization(t.Context(), &workmail.CreateOrganizationInput{Alias: aws.String("same")}); err != nil {
			t.Error(err)
		}
	}
}
