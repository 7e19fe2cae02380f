package awsapi_test

import (
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
)

func (s *story) addresses() {
	w := s.world
	alias := func(entity, alias string) *workmail.CreateAliasInput {
		return &workmail.CreateAliasInput{OrganizationId: &s.org, EntityId: &entity, Alias: &alias}
	}
	must(w, w.CreateAlias, alias(s.ann, "Sales@acme.awsapps.com"))
	must(w, w.CreateAlias, alias(s.ann, "sales@acme.awsapps.com"))
	refused[*types.EmailAddressInUseException](w, w.CreateAlias, alias(s.bob, "sales@acme.awsapps.com"))
	refused[*types.EntityNotFoundException](w, w.CreateAlias, alias(nobody, "x@acme.awsapps.com"))
	refused[*types.MailDomainNotFoundException](w, w.CreateAlias, alias(s.ann, "x@elsewhere.example"))
	refused[*types.MailDomainStateException](w, w.CreateAlias, alias(s.ann, "x@acme.example"))
	idle := *must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &s.org, Name: str("idle"), DisplayName: str("Idle")}).UserId
	refused[*types.EntityStateException](w, w.CreateAlias, alias(idle, "x@acme.awsapps.com"))
	must(w, w.CreateAlias, alias(s.ann, "a2@acme.awsapps.com"))
	must(w, w.CreateAlias, alias(s.ann, "a3@acme.awsapps.com"))
	refused[*types.LimitExceededException](w, w.CreateAlias, alias(s.ann, "a4@acme.awsapps.com"))

	var addresses []string
	pages := workmail.NewListAliasesPaginator(w, &workmail.ListAliasesInput{OrganizationId: &s.org, EntityId: &s.ann, MaxResults: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(w.ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		addresses = append(addresses, page.Aliases...)
	}
	if got, want := strings.ToLower(strings.Join(addresses, " ")), "a2@acme.awsapps.com a3@acme.awsapps.com ann@acme.awsapps.com sales@acme.awsapps.com"; got != want {
		w.t.Errorf("the addresses are %q, want %q", got, want)
	}
	refused[*types.EntityStateException](w, w.ListAliases, &workmail.ListAliasesInput{OrganizationId: &s.org, EntityId: &idle})
	refused[*types.EntityNotFoundException](w, w.ListAliases, &workmail.ListAliasesInput{OrganizationId: &s.org, EntityId: str(nobody)})

	who := must(w, w.DescribeEntity, &workmail.DescribeEntityInput{OrganizationId: &s.org, Email: str("SALES@acme.awsapps.com")})
	if *who.EntityId != s.ann || *who.Name != "ann" || who.Type != types.EntityTypeUser {
		w.t.Errorf("the alias is of %+v", who)
	}
	refused[*types.EntityNotFoundException](w, w.DescribeEntity, &workmail.DescribeEntityInput{OrganizationId: &s.org, Email: str("no@acme.awsapps.com")})

	drop := func(entity, alias string) *workmail.DeleteAliasInput {
		return &workmail.DeleteAliasInput{OrganizationId: &s.org, EntityId: &entity, Alias: &alias}
	}
	must(w, w.DeleteAlias, drop(s.ann, "a3@acme.awsapps.com"))
	must(w, w.DeleteAlias, drop(s.ann, "a3@acme.awsapps.com"))
	refused[*types.InvalidParameterException](w, w.DeleteAlias, drop(s.ann, "ann@acme.awsapps.com"))
	refused[*types.EntityNotFoundException](w, w.DeleteAlias, drop(nobody, "ann@acme.awsapps.com"))

	primary := func(entity, email string) *workmail.UpdatePrimaryEmailAddressInput {
		return &workmail.UpdatePrimaryEmailAddressInput{OrganizationId: &s.org, EntityId: &entity, Email: &email}
	}
	must(w, w.UpdatePrimaryEmailAddress, primary("ann", "sales@acme.awsapps.com"))
	d := must(w, w.DescribeUser, &workmail.DescribeUserInput{OrganizationId: &s.org, UserId: &s.ann})
	list := must(w, w.ListAliases, &workmail.ListAliasesInput{OrganizationId: &s.org, EntityId: &s.ann})
	if !strings.EqualFold(*d.Email, "sales@acme.awsapps.com") || !slices.Contains(list.Aliases, "ann@acme.awsapps.com") {
		w.t.Errorf("the primary address is %s, the others %q", *d.Email, list.Aliases)
	}
	must(w, w.UpdatePrimaryEmailAddress, primary(s.ann, "ann@acme.awsapps.com"))
	refused[*types.EmailAddressInUseException](w, w.UpdatePrimaryEmailAddress, primary(s.ann, "bob@acme.awsapps.com"))
	refused[*types.EntityNotFoundException](w, w.UpdatePrimaryEmailAddress, primary(nobody, "x@acme.awsapps.com"))
	refused[*types.EntityStateException](w, w.UpdatePrimaryEmailAddress, primary(idle, "x@acme.awsapps.com"))
	refused[*types.MailDomainNotFoundException](w, w.UpdatePrimaryEmailAddress, primary(s.ann, "x@elsewhere.example"))
	refused[*types.MailDomainStateException](w, w.UpdatePrimaryEmailAddress, primary(s.ann, "x@acme.example"))
	must(w, w.DeleteUser, &workmail.DeleteUserInput{OrganizationId: &s.org, UserId: &idle})
	refused[*types.EntityStateException](w, w.DeleteAlias, drop(idle, "x@acme.awsapps.com"))
}

func (s *story) domains() {
	w := s.world
	get := func(name string) *workmail.GetMailDomainOutput {
		return must(w, w.GetMailDomain, &workmail.GetMailDomainInput{OrganizationId: &s.org, DomainName: &name})
	}
	d := get("acme.awsapps.com")
	if !d.IsTestDomain || !d.IsDefault || d.OwnershipVerificationStatus != types.DnsRecordVerificationStatusVerified || d.DkimVerificationStatus != types.DnsRecordVerificationStatusVerified {
		w.t.Errorf("the test domain is %+v", d)
	}
	d = get("ACME.example")
	if d.IsTestDomain || d.IsDefault || d.OwnershipVerificationStatus != types.DnsRecordVerificationStatusPending || d.DkimVerificationStatus != types.DnsRecordVerificationStatusPending {
		w.t.Errorf("the new domain is %+v", d)
	}
	kinds := map[string]int{}
	for _, r := range d.Records {
		kinds[*r.Type]++
	}
	if len(kinds) != 3 || kinds["MX"] != 1 || kinds["CNAME"] != 3 || kinds["TXT"] != 9 {
		w.t.Errorf("the new domain's records are %+v", d.Records)
	}
	setDefault := func(name string) *workmail.UpdateDefaultMailDomainInput {
		return &workmail.UpdateDefaultMailDomainInput{OrganizationId: &s.org, DomainName: &name}
	}
	refused[*types.MailDomainStateException](w, w.UpdateDefaultMailDomain, setDefault("acme.example"))
	refused[*types.MailDomainNotFoundException](w, w.UpdateDefaultMailDomain, setDefault("elsewhere.example"))
	refused[*types.MailDomainNotFoundException](w, w.GetMailDomain, &workmail.GetMailDomainInput{OrganizationId: &s.org, DomainName: str("elsewhere.example")})

	w.prove(d)
	if d = get("acme.example"); d.OwnershipVerificationStatus != types.DnsRecordVerificationStatusVerified || d.DkimVerificationStatus != types.DnsRecordVerificationStatusVerified {
		w.t.Fatalf("the proven domain is %+v", d)
	}
	must(w, w.UpdateDefaultMailDomain, setDefault("acme.example"))
	if !get("acme.example").IsDefault || get("acme.awsapps.com").IsDefault {
		w.t.Error("the default domain did not change")
	}

	register := func(org, name string) *workmail.RegisterMailDomainInput {
		return &workmail.RegisterMailDomainInput{OrganizationId: &org, DomainName: &name}
	}
	s.other = w.organization("other")
	refused[*types.MailDomainInUseException](w, w.RegisterMailDomain, register(s.other, "acme.example"))
	again := register(s.org, "one.example")
	again.ClientToken = str("t")
	must(w, w.RegisterMailDomain, again)
	must(w, w.RegisterMailDomain, again)
	again.DomainName = str("two.example")
	refused[*types.InvalidParameterException](w, w.RegisterMailDomain, again)
	must(w, w.RegisterMailDomain, register(s.org, "two.example"))
	refused[*types.LimitExceededException](w, w.RegisterMailDomain, register(s.org, "three.example"))

	page := must(w, w.ListMailDomains, &workmail.ListMailDomainsInput{OrganizationId: &s.org, MaxResults: aws.Int32(3)})
	rest := must(w, w.ListMailDomains, &workmail.ListMailDomainsInput{OrganizationId: &s.org, MaxResults: aws.Int32(3), NextToken: page.NextToken})
	var names []string
	for _, d := range slices.Concat(page.MailDomains, rest.MailDomains) {
		names = append(names, *d.DomainName)
		if d.DefaultDomain != (*d.DomainName == "acme.example") {
			w.t.Errorf("%s is listed as default: %t", *d.DomainName, d.DefaultDomain)
		}
	}
	if want := []string{"acme.awsapps.com", "acme.example", "one.example", "two.example"}; !slices.Equal(names, want) {
		w.t.Errorf("the domains are %q, want %q", names, want)
	}

	deregister := func(name string) *workmail.DeregisterMailDomainInput {
		return &workmail.DeregisterMailDomainInput{OrganizationId: &s.org, DomainName: &name}
	}
	must(w, w.DeregisterMailDomain, deregister("one.example"))
	must(w, w.DeregisterMailDomain, deregister("one.example"))
	refused[*types.MailDomainInUseException](w, w.DeregisterMailDomain, deregister("acme.example"))
	refused[*types.MailDomainNotFoundException](w, w.GetMailDomain, &workmail.GetMailDomainInput{OrganizationId: &s.org, DomainName: str("one.example")})
}

// prove publishes the proof of a domain and waits until the server has looked.
func (w *world) prove(d *workmail.GetMailDomainOutput) {
	for _, r := range d.Records {
		if *r.Type == "TXT" {
			w.zone.publish(*r.Hostname, *r.Value)
		}
	}
	w.pass(2 * time.Minute)
}
