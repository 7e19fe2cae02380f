package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
	"github.com/aws/smithy-go"

	"github.com/pennypost/pennypost/test/harness"
)

// administrator makes, changes and deletes users and groups by the API.
type administrator struct {
	name, org string
	n         int
	api       *workmail.Client
	users     []*account // of all rounds
	groups    []*account
	tag       account // the organisation's tag of this administrator
	fresh     int     // how many users were verified in an earlier round
	freshest  int     // the same of groups
}

// account is a user, a group or a tag, and what it may look like: as was acknowledged last, or as the request that was not
// answered would make it.
type account struct {
	name, id string
	states   []string
	password bool
}

// none is how an entity or a tag looks that isn't there.
const none = "none"

func newAdministrator(name, org string) *administrator {
	return &administrator{name: name, org: org, tag: account{name: "the tag", states: []string{none}}}
}

// connect makes no connection that lasts: that is the client's business.
func (a *administrator) connect(_ *testing.T, s *harness.Server) { a.api = s.WorkMail() }

func (a *administrator) work(t *testing.T, lots *rand.Rand, acknowledged func()) {
	ctx := t.Context()
	for a.person(ctx, t, lots, acknowledged) {
	}
}

// does carries out a request that takes an account to another state, and reports whether it was acknowledged.
func (a *administrator) does(t *testing.T, on *account, state string, acknowledged func(), request func() error) bool {
	on.states = append(on.states[max(0, len(on.states)-1):], state)
	if err := request(); err != nil {
		if answer, ok := errors.AsType[smithy.APIError](err); ok {
			t.Errorf("%s: %s to become %s: %v", a.name, on.name, state, answer)
		}
		return false
	}
	on.states = []string{state}
	acknowledged()
	return true
}

// person makes a user with all that belongs to it, and sometimes takes it away again. It reports whether the server lives.
func (a *administrator) person(ctx context.Context, t *testing.T, lots *rand.Rand, acknowledged func()) bool {
	a.n++
	org := aws.String(a.org)
	u := &account{name: fmt.Sprintf("%s-u%d", a.name, a.n), states: []string{none}, password: lots.IntN(4) == 0}
	g := &account{name: fmt.Sprintf("%s-g%d", a.name, a.n), states: []string{none}}
	a.users = append(a.users, u)
	email, alias := u.name+"@crash.awsapps.com", u.name+".alias@crash.awsapps.com"
	does := func(on *account, state string, request func() error) bool {
		return a.does(t, on, state, acknowledged, request)
	}

	made := does(u, "DISABLED", func() error {
		in := &workmail.CreateUserInput{OrganizationId: org, Name: &u.name, DisplayName: &u.name}
		if u.password {
			in.Password = aws.String(password)
		}
		out, err := a.api.CreateUser(ctx, in)
		if err == nil {
			u.id = *out.UserId
		}
		return err
	})
	if !made {
		return false
	}
	if lots.IntN(4) == 0 {
		return does(u, none, func() error {
			_, err := a.api.DeleteUser(ctx, &workmail.DeleteUserInput{OrganizationId: org, UserId: &u.id})
			return err
		})
	}
	if !does(u, "ENABLED "+email, func() error {
		_, err := a.api.RegisterToWorkMail(ctx, &workmail.RegisterToWorkMailInput{OrganizationId: org, EntityId: &u.id, Email: &email})
		return err
	}) || !does(u, "ENABLED "+email+" "+alias, func() error {
		_, err := a.api.CreateAlias(ctx, &workmail.CreateAliasInput{OrganizationId: org, EntityId: &u.id, Alias: &alias})
		return err
	}) {
		return false
	}
	a.groups = append(a.groups, g)
	if !does(g, "members", func() error {
		out, err := a.api.CreateGroup(ctx, &workmail.CreateGroupInput{OrganizationId: org, Name: &g.name})
		if err == nil {
			g.id = *out.GroupId
		}
		return err
	}) || !does(g, "members "+u.name, func() error {
		_, err := a.api.AssociateMemberToGroup(ctx, &workmail.AssociateMemberToGroupInput{OrganizationId: org, GroupId: &g.id, MemberId: &u.id})
		return err
	}) || !does(&a.tag, u.name, func() error {
		_, err := a.api.TagResource(ctx, &workmail.TagResourceInput{
			ResourceARN: a.arn(), Tags: []types.Tag{{Key: &a.name, Value: &u.name}},
		})
		return err
	}) {
		return false
	}
	if lots.IntN(2) == 0 {
		return true
	}
	if !does(u, "DISABLED", func() error {
		_, err := a.api.DeregisterFromWorkMail(ctx, &workmail.DeregisterFromWorkMailInput{OrganizationId: org, EntityId: &u.id})
		return err
	}) {
		return false
	}
	// The deletion of a member empties the group in the same transaction.
	g.states = append(g.states, "members")
	deleted := does(u, none, func() error {
		_, err := a.api.DeleteUser(ctx, &workmail.DeleteUserInput{OrganizationId: org, UserId: &u.id})
		return err
	})
	if deleted {
		g.states = []string{"members"}
	}
	return deleted
}

func (a *administrator) arn() *string {
	return aws.String("arn:aws:workmail:us-east-1:000000000000:organization/" + a.org)
}

func (a *administrator) verify(t *testing.T, s *harness.Server, whole bool) {
	t.Helper()
	a.api = s.WorkMail()
	if whole {
		a.fresh, a.freshest = 0, 0
	}
	names := a.names(t)
	for _, u := range a.users[a.fresh:] {
		a.identify(t, u, names)
		a.settle(t, u, a.user(t, u))
		if email, enabled := strings.CutPrefix(u.states[0], "ENABLED "); enabled && u.password && !whole {
			email, _, _ = strings.Cut(email, " ")
			s.IMAP(email, password).Close()
		}
	}
	for _, g := range a.groups[a.freshest:] {
		a.identify(t, g, names)
		a.settle(t, g, a.group(t, g))
	}
	// What was verified before is only looked for.
	for _, e := range slices.Concat(a.users[:a.fresh], a.groups[:a.freshest]) {
		if _, there := names[e.name]; there != (e.states[0] != none) {
			t.Errorf("%s is listed: %v, and was %s before", e.name, there, e.states[0])
		}
	}
	a.fresh, a.freshest = len(a.users), len(a.groups)

	tags, err := a.api.ListTagsForResource(t.Context(), &workmail.ListTagsForResourceInput{ResourceARN: a.arn()})
	if err != nil {
		t.Fatal(err)
	}
	value := none
	for _, tag := range tags.Tags {
		if *tag.Key == a.name {
			value = *tag.Value
		}
	}
	a.settle(t, &a.tag, value)
}

// settle compares an account with what it may be, and takes what it is as told.
func (a *administrator) settle(t *testing.T, on *account, is string) {
	t.Helper()
	if !slices.Contains(on.states, is) {
		t.Errorf("%s: %s %s is %q, want %q", a.name, on.name, on.id, is, on.states)
	}
	on.states = []string{is}
}

// names are all users and groups that are there, with their ids.
func (a *administrator) names(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	add := func(name, id *string, state types.EntityState) {
		if state == types.EntityStateDeleted {
			return
		}
		if other, ok := names[*name]; ok {
			t.Errorf("%s is there twice, as %s and %s", *name, other, *id)
		}
		names[*name] = *id
	}
	users := workmail.NewListUsersPaginator(a.api, &workmail.ListUsersInput{OrganizationId: &a.org})
	for users.HasMorePages() {
		page, err := users.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Users {
			add(u.Name, u.Id, u.State)
		}
	}
	groups := workmail.NewListGroupsPaginator(a.api, &workmail.ListGroupsInput{OrganizationId: &a.org})
	for groups.HasMorePages() {
		page, err := groups.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range page.Groups {
			add(g.Name, g.Id, g.State)
		}
	}
	return names
}

// identify finds out whether an entity is there, and the id of one whose creation was not answered.
func (a *administrator) identify(t *testing.T, e *account, names map[string]string) {
	t.Helper()
	id := names[e.name]
	if e.id != "" && id != "" && id != e.id {
		t.Errorf("%s has the id %s, and %s was answered", e.name, id, e.id)
	}
	e.id = id
}

func (a *administrator) user(t *testing.T, u *account) string {
	t.Helper()
	if u.id == "" {
		return none
	}
	is, err := a.api.DescribeUser(t.Context(), &workmail.DescribeUserInput{OrganizationId: &a.org, UserId: &u.id})
	if err != nil {
		t.Fatalf("DescribeUser of %s, which is listed: %v", u.name, err)
	}
	if is.State != types.EntityStateEnabled {
		return string(is.State)
	}
	aliases, err := a.api.ListAliases(t.Context(), &workmail.ListAliasesInput{OrganizationId: &a.org, EntityId: &u.id})
	if err != nil {
		t.Fatal(err)
	}
	all := slices.DeleteFunc(aliases.Aliases, func(alias string) bool { return alias == *is.Email })
	return strings.TrimRight(string(is.State)+" "+*is.Email+" "+strings.Join(all, " "), " ")
}

func (a *administrator) group(t *testing.T, g *account) string {
	t.Helper()
	if g.id == "" {
		return none
	}
	out, err := a.api.ListGroupMembers(t.Context(), &workmail.ListGroupMembersInput{OrganizationId: &a.org, GroupId: &g.id})
	if err != nil {
		t.Fatal(err)
	}
	is := "members"
	for _, m := range out.Members {
		is += " " + *m.Name
	}
	return is
}
