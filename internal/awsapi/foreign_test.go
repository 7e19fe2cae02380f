package awsapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// settlement is an organisation with two of everything.
type settlement struct {
	scene
	alias, name string            // of the organisation; the name of its first user
	rule        string            // for mobile devices
	tokens      map[string]string // of the second page, by list operation
}

// settle makes an organisation in which every list has two pages of one item.
func settle(w *world, alias string) *settlement {
	org := w.organization(alias)
	s := &settlement{alias: alias, name: alias + "-ann", tokens: map[string]string{}}
	s.org, s.arn, s.domain = org, "arn:aws:workmail:eu-west-1:111122223333:organization/"+org, alias+".awsapps.com"
	user := func(name string) string {
		id := must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &org, Name: &name, DisplayName: &name}).UserId
		must(w, w.RegisterToWorkMail, &workmail.RegisterToWorkMailInput{OrganizationId: &org, EntityId: id, Email: str(name + "@" + s.domain)})
		return *id
	}
	s.user, s.other = user(s.name), user(alias+"-bob")
	third := user(alias + "-carl")
	must(w, w.CreateAlias, &workmail.CreateAliasInput{OrganizationId: &org, EntityId: &s.user, Alias: str("sales@" + s.domain)})
	for _, name := range []string{alias + "-group", alias + "-inner"} {
		s.group = *must(w, w.CreateGroup, &workmail.CreateGroupInput{OrganizationId: &org, Name: &name}).GroupId
		for _, member := range []string{s.user, third} {
			must(w, w.AssociateMemberToGroup, &workmail.AssociateMemberToGroupInput{OrganizationId: &org, GroupId: &s.group, MemberId: &member})
		}
	}
	for _, name := range []string{alias + "-room", alias + "-hall"} {
		s.resource = *must(w, w.CreateResource, &workmail.CreateResourceInput{OrganizationId: &org, Name: &name, Type: types.ResourceTypeRoom}).ResourceId
		for _, delegate := range []string{s.user, s.other} {
			must(w, w.AssociateDelegateToResource, &workmail.AssociateDelegateToResourceInput{OrganizationId: &org, ResourceId: &s.resource, EntityId: &delegate})
		}
	}
	for _, grantee := range []string{s.other, third} {
		must(w, w.PutMailboxPermissions, &workmail.PutMailboxPermissionsInput{
			OrganizationId: &org, EntityId: &s.user, GranteeId: &grantee, PermissionValues: []types.PermissionType{types.PermissionTypeSendAs},
		})
	}
	for _, device := range []string{"device1", "device2"} {
		must(w, w.PutMobileDeviceAccessOverride, &workmail.PutMobileDeviceAccessOverrideInput{
			OrganizationId: &org, UserId: &s.user, DeviceId: &device, Effect: types.MobileDeviceAccessRuleEffectDeny,
		})
	}
	s.rule = *must(w, w.CreateMobileDeviceAccessRule, &workmail.CreateMobileDeviceAccessRuleInput{
		OrganizationId: &org, Name: str(alias), Effect: types.MobileDeviceAccessRuleEffectDeny,
	}).MobileDeviceAccessRuleId
	for range 2 {
		s.role = *must(w, w.CreateImpersonationRole, &workmail.CreateImpersonationRoleInput{
			OrganizationId: &org, Name: str("role"), Type: types.ImpersonationRoleTypeReadOnly, Rules: []types.ImpersonationRule{},
		}).ImpersonationRoleId
	}
	s.application = w.identityProvider(org, types.IdentityProviderAuthenticationModeIdentityProviderAndDirectory,
		&types.PersonalAccessTokenConfiguration{Status: types.PersonalAccessTokenConfigurationStatusActive})
	for _, label := range []string{"phone", "laptop"} {
		s.token = w.linkedToken(org, s.name, "01234567-89ab-cdef-0123-456789abcdef", label)
	}
	must(w, w.PutRetentionPolicy, &workmail.PutRetentionPolicyInput{OrganizationId: &org, Name: &alias, FolderConfigurations: []types.FolderConfiguration{}})
	s.retention = *must(w, w.GetDefaultRetentionPolicy, &workmail.GetDefaultRetentionPolicyInput{OrganizationId: &org}).Id
	for _, entity := range []string{s.user, s.other} {
		s.job = *must(w, w.StartMailboxExportJob, exportInput(org, entity)).JobId
		w.settle()
	}
	for _, domain := range []string{s.domain, alias + ".example"} {
		must(w, w.CreateAvailabilityConfiguration, &workmail.CreateAvailabilityConfigurationInput{
			OrganizationId: &org, DomainName: &domain, LambdaProvider: &types.LambdaAvailabilityProvider{LambdaArn: str(noFunction)},
		})
	}
	for _, name := range []string{alias + "-first", alias + "-second"} {
		gateway := map[string]any{"OrganizationId": org, "Name": name, "Host": "relay.example", "Port": 465}
		w.own(&contract.CreateSmtpGateway.Op, gateway, nil, "")
		rule := map[string]any{"OrganizationId": org, "Name": name, "Action": "DROP", "SenderPatterns": []string{"a.example"}, "RecipientPatterns": []string{"*"}}
		w.own(&contract.CreateInboundMailFlowRule.Op, rule, nil, "")
		w.own(&contract.CreateOutboundMailFlowRule.Op, rule, nil, "")
	}
	s.trace = alias + "-trace"
	for range 2 {
		w.queue.Add(s.queued(w))
	}
	s.report = w.receiveReports(s.org, s.domain, 0)
	must(w, w.RegisterMailDomain, &workmail.RegisterMailDomainInput{OrganizationId: &org, DomainName: str(alias + ".example")})
	w.prove(must(w, w.GetMailDomain, &workmail.GetMailDomainInput{OrganizationId: &org, DomainName: str(alias + ".example")}))
	return s
}

// queued is a message of the settlement's for another server.
func (s *settlement) queued(w *world) queue.Entry {
	return queue.Entry{
		Organization: w.keyOf(s.org), Message: queue.ID(len(s.alias)), Trace: s.trace, From: s.name + "@" + s.domain,
		Recipient: s.name + "@far.example", Destination: queue.Destination{Domain: s.alias + ".far.example"},
	}
}

// lists are the built operations with pages inside an organisation.
func lists(w *world) []*contract.Op {
	var all []*contract.Op
	for _, h := range w.ofOrganizations() {
		if h.Op.Input.Member("NextToken") >= 0 && h.Op.Input.Member("OrganizationId") >= 0 {
			all = append(all, h.Op)
		}
	}
	return all
}

// listing is the input of a list in a settlement.
func listing(t *testing.T, op *contract.Op, s *settlement) map[string]any {
	in := inputs(t, op, s.scene)
	if op.Name == "ListMailboxPermissions" || op.Name == "ListAliases" || op.Name == "ListGroupsForEntity" {
		in["EntityId"] = s.user
	}
	return in
}

// dump is everything that lists and tags show of a settlement, a page at a time.
func dump(w *world, s *settlement) string {
	w.t.Helper()
	var b bytes.Buffer
	for _, op := range lists(w) {
		in := listing(w.t, op, s)
		in["MaxResults"] = 1
		for pages := 0; ; pages++ {
			e := w.call("ADMIN", op.Name, in)
			var page struct{ NextToken string }
			if err := json.Unmarshal(e.body, &page); err != nil || e.status != 200 {
				w.t.Fatalf("%s: %d %s, %v", op.Name, e.status, e.body, err)
			}
			fmt.Fprintf(&b, "%s %s\n", op.Name, e.body)
			if page.NextToken == "" {
				if pages == 0 {
					w.t.Fatalf("%s has one page only: %s", op.Name, e.body)
				}
				break
			}
			if pages == 0 {
				s.tokens[op.Name] = page.NextToken
			}
			in["NextToken"] = page.NextToken
		}
	}
	for _, name := range []string{
		"DescribeOrganization", "ListTagsForResource",
		"ListAccessControlRules",
		"ListMobileDeviceAccessRules",
		"DescribeIdentityProviderConfiguration",
		"GetDefaultRetentionPolicy",
	} {
		e := w.call("ADMIN", name, map[string]any{"OrganizationId": s.org, "ResourceARN": s.arn})
		fmt.Fprintf(&b, "%s %s\n", name, e.body)
	}
	return b.String()
}

// excluding are members for which a foreign value must differ from an unknown one, with the reason.
var excluding = map[string]string{
	"RegisterMailDomain DomainName": "a domain that somebody has proven excludes all others, and says so",
}

// TestForeignIdsAreUnknown hands every operation the ids, names, addresses, domains and page tokens of another organisation:
// each answers word for word as for something that does not exist, and changes nothing there.
func TestForeignIdsAreUnknown(t *testing.T) {
	inBoth(t, func(w *world) {
		here, there := settle(w, "here"), settle(w, "there")
		before := dump(w, there)
		dump(w, here)
		tried := 0
		for _, h := range w.ofOrganizations() {
			for _, m := range h.Op.Input.Members {
				for foreign, unknown := range foreignValues(m.Name, there) {
					if _, out := excluding[h.Op.Name+" "+m.Name]; out || h.Op.Name == "CreateOrganization" {
						continue
					}
					w.sameAnswer(h.Op, inputs(w.t, h.Op, here.scene), m.Name, memberOf(m, foreign), memberOf(m, unknown), foreign, unknown)
					tried++
				}
			}
			if i := h.Op.Input.Member("Filters"); i >= 0 {
				for _, f := range h.Op.Input.Members[i].Shape.Members {
					in := inputs(w.t, h.Op, here.scene)
					for foreign, unknown := range foreignFilters(f.Name, there.queued(w)) {
						w.sameAnswer(h.Op, in, "Filters", map[string]any{f.Name: foreign}, map[string]any{f.Name: unknown})
						tried++
					}
					if strings.HasSuffix(f.Name, "Prefix") && f.Name != "IdentityProviderUserIdPrefix" {
						w.sameAnswer(h.Op, in, "Filters", map[string]any{f.Name: "there-"}, map[string]any{f.Name: "nowhere-"})
						tried++
					}
				}
			}
		}
		for _, op := range lists(w) {
			const unknown = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
			w.sameAnswer(op, listing(w.t, op, here), "NextToken", there.tokens[op.Name], unknown, there.tokens[op.Name], unknown)
			tried++
		}
		w.outsideOfAPolicy(here, there)
		if after := dump(w, there); after != before {
			t := strings.Split(after, "\n")
			for i, line := range strings.Split(before, "\n") {
				if i < len(t) && t[i] != line {
					w.t.Errorf("the other organisation was\n%s\nand is\n%s", line, t[i])
				}
			}
		}
		if tried < 100 {
			w.t.Errorf("only %d foreign values were tried", tried)
		}
		w.clientTokens(here, there)
	})
}

// foreignValues pairs values of another organisation that a member may take with unknown ones of the same shape.
func foreignValues(member string, there *settlement) map[string]string {
	ids := map[string]string{there.user: nobody, there.name: "nowhere-ann", there.name + "@" + there.domain: "nowhere-ann@nowhere.awsapps.com"}
	switch member {
	case "UserId", "EntityId", "MemberId", "GranteeId", "TargetUser", "Rules":
		return ids
	case "ImpersonationRoleId", "ImpersonationRoleIds", "NotImpersonationRoleIds":
		return map[string]string{there.role: "no-role"}
	case "UserIds", "NotUserIds":
		return map[string]string{there.user: nobody}
	case "JobId":
		return map[string]string{there.job: nobody}
	case "GroupId":
		return map[string]string{there.group: nobody, there.alias + "-group": "nowhere-group"}
	case "ResourceId":
		return map[string]string{there.resource: noRoom, there.alias + "-room": "nowhere-room"}
	case "Email", "Alias":
		return map[string]string{
			there.name + "@" + there.domain: "nowhere-ann@nowhere.awsapps.com", "sales@" + there.domain: "sales@nowhere.awsapps.com",
			"x@there.example": "x@nowhere.example",
		}
	case "MobileDeviceAccessRuleId":
		return map[string]string{there.rule: nobody}
	case "Id":
		return map[string]string{there.retention: "nowhere"}
	case "DomainName":
		return map[string]string{there.domain: "nowhere.awsapps.com", "there.example": "nowhere.example"}
	case "PersonalAccessTokenId":
		return map[string]string{there.token: "unknown-token"}
	case "TraceId":
		return map[string]string{there.trace: "no-such-trace"}
	case "ReportId":
		return map[string]string{there.report: "7777"}
	}
	return nil
}

// foreignFilters pairs what chooses a queued message of another organisation with what chooses none.
func foreignFilters(filter string, there queue.Entry) map[string]string {
	switch filter {
	case "MessageId":
		return map[string]string{strconv.FormatInt(int64(there.Message), 10): "7777"}
	case "TraceId":
		return map[string]string{there.Trace: "no-such-trace"}
	case "From":
		return map[string]string{there.From: "nobody@nowhere.awsapps.com"}
	case "DomainName":
		return map[string]string{strings.TrimSuffix(there.Trace, "-trace") + ".awsapps.com": "nowhere.awsapps.com"}
	case "Recipient":
		return map[string]string{there.Recipient: "nobody@far.example"}
	case "Domain":
		return map[string]string{there.Destination.Domain: "nowhere.far.example"}
	}
	return nil
}

// memberOf is a value as the member takes it: alone, in a list, or in the rules of an impersonation role.
func memberOf(m schema.Member, value string) any {
	switch {
	case m.Name == "Rules":
		return []any{map[string]any{"ImpersonationRuleId": "r", "Effect": "ALLOW", "NotTargetUsers": []string{value}}}
	case m.Shape.Type == schema.List:
		return []string{value}
	}
	return value
}

// sameAnswer fails unless the operation answers the same to both values of a member, but for the words that they are made of.
func (w *world) sameAnswer(op *contract.Op, in map[string]any, member string, foreign, unknown any, words ...string) {
	w.t.Helper()
	ask := func(value any) (string, string) {
		mine := maps.Clone(in)
		mine[member] = value
		e := w.call("ADMIN", op.Name, mine)
		said := strings.ToLower(string(e.body))
		for _, s := range words {
			said = strings.ReplaceAll(said, strings.ToLower(s), "…")
			if _, domain, ok := strings.Cut(s, "@"); ok {
				said = strings.ReplaceAll(said, strings.ToLower(domain), "…")
			}
		}
		return fmt.Sprint(e.status, " ", e.code), said
	}
	code, said := ask(foreign)
	wantCode, wantSaid := ask(unknown)
	if code != wantCode || said != wantSaid {
		w.t.Errorf("%s with %s %v: %s %s\nwith an unknown one: %s %s", op.Name, member, foreign, code, said, wantCode, wantSaid)
	}
}

// clientTokens hands every operation a client token that another organisation used for it: it is as good as an unused one.
func (w *world) clientTokens(here, there *settlement) {
	w.t.Helper()
	carriedOut := 0
	for _, h := range w.ofOrganizations() {
		if h.Op.Input.Member("ClientToken") < 0 || h.Op.Input.Member("OrganizationId") < 0 {
			continue
		}
		first, second := there.scene, here.scene
		if h.Op.Name == "DeleteOrganization" {
			first, second = scene{org: w.organization("goes")}, scene{org: w.organization("goes-too")}
		}
		var answers []exchange
		for _, s := range []scene{first, second} {
			in := inputs(w.t, h.Op, s)
			in["ClientToken"] = "shared"
			if _, ok := in["DomainName"]; ok {
				in["DomainName"] = "new-" + strings.TrimSuffix(s.domain, ".awsapps.com") + ".example"
			}
			answers = append(answers, w.call("ADMIN", h.Op.Name, in))
		}
		theirs, ours := answers[0], answers[1]
		if ours.code != theirs.code || string(ours.body) != "{}" && bytes.Equal(ours.body, theirs.body) {
			w.t.Errorf("%s: %s %s\nwith the client token of %s %s", h.Op.Name, ours.code, ours.body, theirs.code, theirs.body)
		}
		if theirs.status == 200 {
			carriedOut++
		}
	}
	if carriedOut < 5 {
		w.t.Errorf("only %d operations took a client token", carriedOut)
	}
}

// outsideOfAPolicy asks with a key that may work in one organisation only: another organisation is denied as one that does
// not exist is.
func (w *world) outsideOfAPolicy(here, there *settlement) {
	w.t.Helper()
	w.keys["HERE"] = `{"Statement":{"Effect":"Allow","Action":["workmail:*","pennypost:*"],"Resource":"` + here.arn + `"}}`
	for _, h := range w.ofOrganizations() {
		var said []string
		for _, s := range []scene{
			{org: there.org, arn: there.arn, user: there.user, other: there.other, group: there.group, resource: there.resource, domain: there.domain, role: there.role},
			{org: nowhere, arn: strings.Replace(there.arn, there.org, nowhere, 1), user: nobody, other: nobody, group: nobody, resource: noRoom},
		} {
			e := w.call("HERE", h.Op.Name, inputs(w.t, h.Op, s))
			said = append(said, strings.ReplaceAll(fmt.Sprint(e.code, string(e.body)), s.org, "…"))
		}
		if said[0] != said[1] || !strings.HasPrefix(said[0], "AccessDeniedException") {
			w.t.Errorf("%s outside of the policy:\n%s\nand nowhere:\n%s", h.Op.Name, said[0], said[1])
		}
	}
}
