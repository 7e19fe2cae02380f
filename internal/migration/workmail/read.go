package workmail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
	"golang.org/x/sync/errgroup"

	"github.com/pennypost/pennypost/internal/migration"
)

// callsAtOnce is how many calls are under way at most. The service allows about ten in a second; the retryer slows down when it says
// so.
const callsAtOnce = 8

// reader reads one organisation.
type reader struct {
	client *workmail.Client
	org    *string
	// progress is told how many entities of how many were read.
	progress func(done, total int)

	mu     sync.Mutex
	notes  []string        // what could not be told of single entities; guarded by mu
	hidden []migration.Ref // the same; guarded by mu
}

// Read reads an organisation. Its errors are sentences. progress may be nil.
func Read(ctx context.Context, client *workmail.Client, organization string, progress func(done, total int)) (migration.Inventory, error) {
	r := &reader{client: client, org: aws.String(organization), progress: progress}
	inv, err := r.read(ctx)
	if err != nil {
		return migration.Inventory{}, err
	}
	return inv, nil
}

func (r *reader) read(ctx context.Context) (inv migration.Inventory, err error) {
	inv.Organization = *r.org
	o, err := r.client.DescribeOrganization(ctx, &workmail.DescribeOrganizationInput{OrganizationId: r.org}, func(o *workmail.Options) {
		o.RetryMaxAttempts = 3 // a source that isn't there is told soon
	})
	if err != nil {
		return inv, explain(err)
	}
	if state := aws.ToString(o.State); state != "Active" {
		return inv, fmt.Errorf("organization %s is in state %s at the source: only an Active one can be imported", *r.org, state)
	}
	organization, err := organizationItem(o)
	if err != nil {
		return inv, err
	}
	inv.Items = append(inv.Items, organization)
	options := r.client.Options()
	if inv.Source = "WorkMail in " + options.Region; options.BaseEndpoint != nil {
		inv.Source = *options.BaseEndpoint
	}
	inv.Untold = untold(o)
	for _, part := range []func(context.Context, *migration.Inventory) error{
		func(ctx context.Context, inv *migration.Inventory) error { return r.tags(ctx, inv, o.ARN) },
		r.domains, r.entities, r.rules, r.roles, r.services,
	} {
		if err := part(ctx, &inv); err != nil {
			return inv, err
		}
	}
	if domain := aws.ToString(o.DefaultMailDomain); domain != "" {
		inv.Items = append(inv.Items, migration.NewItem(migration.KindDefaultDomain, "", migration.Text{Text: strings.ToLower(domain)}))
	}
	return inv, nil
}

// organizationItem takes the account and the region out of the ARN: arn:aws:workmail:<region>:<account>:organization/<id>.
func organizationItem(o *workmail.DescribeOrganizationOutput) (migration.Item, error) {
	parts := strings.Split(aws.ToString(o.ARN), ":")
	if len(parts) != 6 || parts[3] == "" || parts[4] == "" {
		return migration.Item{}, fmt.Errorf("the source names the organization %q, which is no ARN of one", aws.ToString(o.ARN))
	}
	return migration.NewItem(migration.KindOrganization, aws.ToString(o.OrganizationId), migration.Organization{
		Alias: aws.ToString(o.Alias), Account: parts[4], Region: parts[3], DirectoryID: aws.ToString(o.DirectoryId),
		Completed: migration.When(aws.ToTime(o.CompletedDate)), MigrationAdmin: aws.ToString(o.MigrationAdmin),
	}), nil
}

// untold is what the API never tells, and what of an organisation has no place here.
func untold(o *workmail.DescribeOrganizationOutput) []string {
	list := []string{
		"passwords: users have none here until one is set",
		"mail, calendars, contacts, tasks, notes, personal distribution lists and categories: the API tells no content",
		"folder permissions, delegates of calendars, mailbox rules, automatic replies and signatures: the API does not tell them",
		"mail flow rules, SMTP gateways, journaling and mobile device policies: the API does not tell them, make them by hand",
		"mobile devices and their wipes: the API does not tell them; devices are set up anew",
		"the KMS key: the API does not tell it; mail is stored here under this server's own protection",
		"DNS records: every domain needs those that this server shows (GetMailDomain), before its mail can come here",
		"mailbox export jobs, and the quotas and mail of mailboxes of disabled users: not taken over",
	}
	if kind := aws.ToString(o.DirectoryType); kind != "VpcDirectory" {
		list = append(list, fmt.Sprintf("directory %s of the type %q: its users and groups are kept in this server's own directory from now on",
			aws.ToString(o.DirectoryId), kind))
	}
	if o.InteroperabilityEnabled {
		list = append(list, "interoperability with Exchange: it needs an external directory and is off here")
	}
	return list
}

func (r *reader) tags(ctx context.Context, inv *migration.Inventory, arn *string) error {
	out, err := r.client.ListTagsForResource(ctx, &workmail.ListTagsForResourceInput{ResourceARN: arn})
	if err != nil {
		return explain(err)
	}
	for _, t := range out.Tags {
		inv.Items = append(inv.Items, migration.NewItem(migration.KindTag, aws.ToString(t.Key), migration.Text{Text: aws.ToString(t.Value)}))
	}
	return nil
}

func (r *reader) domains(ctx context.Context, inv *migration.Inventory) error {
	for pages := workmail.NewListMailDomainsPaginator(r.client, &workmail.ListMailDomainsInput{OrganizationId: r.org}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return explain(err)
		}
		for _, d := range page.MailDomains {
			out, err := r.client.GetMailDomain(ctx, &workmail.GetMailDomainInput{OrganizationId: r.org, DomainName: d.DomainName})
			var gone *types.MailDomainNotFoundException
			switch {
			case errors.As(err, &gone):
				continue
			case err != nil:
				return explain(err)
			}
			inv.Items = append(inv.Items, migration.NewItem(migration.KindDomain, strings.ToLower(aws.ToString(d.DomainName)), migration.Domain{
				Verified: out.OwnershipVerificationStatus == types.DnsRecordVerificationStatusVerified,
			}))
		}
	}
	return nil
}

// entities reads users, groups and resources, several at once.
func (r *reader) entities(ctx context.Context, inv *migration.Inventory) error {
	readers, err := r.listed(ctx)
	if err != nil {
		return err
	}
	read := make([][]migration.Item, len(readers))
	var done atomic.Int64
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(callsAtOnce)
	for i, one := range readers {
		g.Go(func() error {
			items, err := steady(inner, one)
			if err != nil {
				return explain(err)
			}
			read[i] = items
			if n := int(done.Add(1)); r.progress != nil {
				r.progress(n, len(readers))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, items := range read {
		inv.Items = append(inv.Items, items...)
	}
	slices.Sort(r.notes)
	inv.Untold, inv.Hidden = append(inv.Untold, r.notes...), r.hidden
	return nil
}

// listed lists all entities, and returns for each what reads it.
func (r *reader) listed(ctx context.Context) (readers []func(context.Context) ([]migration.Item, error), err error) {
	for pages := workmail.NewListUsersPaginator(r.client, &workmail.ListUsersInput{OrganizationId: r.org}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, explain(err)
		}
		for _, u := range page.Users {
			readers = append(readers, func(ctx context.Context) ([]migration.Item, error) { return r.user(ctx, u.Id) })
		}
	}
	for pages := workmail.NewListGroupsPaginator(r.client, &workmail.ListGroupsInput{OrganizationId: r.org}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, explain(err)
		}
		for _, g := range page.Groups {
			readers = append(readers, func(ctx context.Context) ([]migration.Item, error) { return r.group(ctx, g.Id) })
		}
	}
	for pages := workmail.NewListResourcesPaginator(r.client, &workmail.ListResourcesInput{OrganizationId: r.org}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, explain(err)
		}
		for _, e := range page.Resources {
			readers = append(readers, func(ctx context.Context) ([]migration.Item, error) { return r.resource(ctx, e.Id) })
		}
	}
	return readers, nil
}

// errGone says that an entity that was listed is not there any more.
var errGone = errors.New("it is gone")

// readings is how often an entity is read that changes while it is read.
const readings = 5

// steady reads an entity, anew where it changed meanwhile. One that is gone has no items. One that can't be read ends the import: an
// entity that is left out here would be taken for one that was deleted there.
func steady(ctx context.Context, read func(context.Context) ([]migration.Item, error)) (items []migration.Item, err error) {
	for range readings {
		items, err = read(ctx)
		if errors.Is(err, errGone) {
			return nil, nil
		}
		if !otherState(err) {
			break
		}
	}
	return items, err
}

// otherState reports whether a call failed because its entity is in another state than it takes, or gone.
func otherState(err error) bool {
	var (
		gone  *types.EntityNotFoundException
		state *types.EntityStateException
	)
	return errors.As(err, &gone) || errors.As(err, &state)
}

// described turns the failure to describe what was listed into errGone where it is gone.
func described(err error) error {
	var gone *types.EntityNotFoundException
	if errors.As(err, &gone) {
		return errGone
	}
	return err
}

// hides reports whether a list failed that the source may not give for an entity that is not enabled, and says so in the report.
func (r *reader) hides(err error, state types.EntityState, kind migration.Kind, what string, id *string) bool {
	if state == types.EntityStateEnabled || !otherState(err) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hidden = append(r.hidden, migration.Ref{Kind: kind, ID: aws.ToString(id)})
	r.notes = append(r.notes, fmt.Sprintf("%s of %s, which is %s: the source does not tell them", what, aws.ToString(id), state))
	return true
}

func (r *reader) user(ctx context.Context, id *string) ([]migration.Item, error) {
	u, err := r.client.DescribeUser(ctx, &workmail.DescribeUserInput{OrganizationId: r.org, UserId: id})
	if err != nil {
		return nil, described(err)
	}
	text := aws.ToString
	v := migration.User{
		Name: text(u.Name), Role: string(u.UserRole), Hidden: u.HiddenFromGlobalAddressList, Deleted: u.State == types.EntityStateDeleted,
	}
	if v.Role == "" {
		v.Role = string(types.UserRoleUser)
	}
	if !v.Deleted {
		v.DisplayName, v.FirstName, v.LastName, v.Initials, v.Telephone = text(u.DisplayName), text(u.FirstName), text(u.LastName), text(u.Initials), text(u.Telephone)
		v.Street, v.JobTitle, v.City, v.Company, v.ZipCode = text(u.Street), text(u.JobTitle), text(u.City), text(u.Company), text(u.ZipCode)
		v.Department, v.Country, v.Office = text(u.Department), text(u.Country), text(u.Office)
		v.ProviderUserID, v.ProviderStore = strings.ToLower(text(u.IdentityProviderUserId)), text(u.IdentityProviderIdentityStoreId)
	}
	items := []migration.Item{
		migration.NewItem(migration.KindUser, text(id), v),
		registration(id, u.State, migration.Registration{
			Email: text(u.Email), Enabled: migration.When(aws.ToTime(u.EnabledDate)), Disabled: migration.When(aws.ToTime(u.DisabledDate)),
			Provisioned: migration.When(aws.ToTime(u.MailboxProvisionedDate)), Deprovisioned: migration.When(aws.ToTime(u.MailboxDeprovisionedDate)),
		}),
	}
	return r.own(ctx, items, id, u.State, u.Email, u.UserRole != types.UserRoleRemoteUser)
}

func registration(id *string, state types.EntityState, v migration.Registration) migration.Item {
	v.State = string(state)
	return migration.NewItem(migration.KindRegistration, aws.ToString(id), v)
}

func (r *reader) group(ctx context.Context, id *string) ([]migration.Item, error) {
	g, err := r.client.DescribeGroup(ctx, &workmail.DescribeGroupInput{OrganizationId: r.org, GroupId: id})
	if err != nil {
		return nil, described(err)
	}
	items := []migration.Item{
		migration.NewItem(migration.KindGroup, aws.ToString(id), migration.Group{
			Name: aws.ToString(g.Name), Hidden: g.HiddenFromGlobalAddressList, Deleted: g.State == types.EntityStateDeleted,
		}),
		registration(id, g.State, migration.Registration{
			Email: aws.ToString(g.Email), Enabled: migration.When(aws.ToTime(g.EnabledDate)), Disabled: migration.When(aws.ToTime(g.DisabledDate)),
		}),
	}
	if g.State == types.EntityStateDeleted {
		return items, nil
	}
	for pages := workmail.NewListGroupMembersPaginator(r.client, &workmail.ListGroupMembersInput{OrganizationId: r.org, GroupId: id}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if r.hides(err, g.State, migration.KindMember, "the members", id) {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, m := range page.Members {
			if m.State != types.EntityStateDeleted {
				items = append(items, migration.NewItem(migration.KindMember, migration.Pair(aws.ToString(id), aws.ToString(m.Id)), migration.Nothing{}))
			}
		}
	}
	return r.own(ctx, items, id, g.State, g.Email, false)
}

func (r *reader) resource(ctx context.Context, id *string) ([]migration.Item, error) {
	e, err := r.client.DescribeResource(ctx, &workmail.DescribeResourceInput{OrganizationId: r.org, ResourceId: id})
	if err != nil {
		return nil, described(err)
	}
	v := migration.Resource{
		Name: aws.ToString(e.Name), Type: string(e.Type), Hidden: e.HiddenFromGlobalAddressList, Deleted: e.State == types.EntityStateDeleted,
	}
	if !v.Deleted {
		v.Description = aws.ToString(e.Description)
	}
	items := []migration.Item{
		migration.NewItem(migration.KindResource, aws.ToString(id), v),
		registration(id, e.State, migration.Registration{
			Email: aws.ToString(e.Email), Enabled: migration.When(aws.ToTime(e.EnabledDate)), Disabled: migration.When(aws.ToTime(e.DisabledDate)),
		}),
	}
	if v.Deleted {
		return items, nil
	}
	if b := e.BookingOptions; b != nil {
		items = append(items, migration.NewItem(migration.KindBooking, aws.ToString(id), migration.Booking{
			AutoAccept: b.AutoAcceptRequests, AutoDeclineRecurring: b.AutoDeclineRecurringRequests, AutoDeclineConflicting: b.AutoDeclineConflictingRequests,
		}))
	}
	for pages := workmail.NewListResourceDelegatesPaginator(r.client, &workmail.ListResourceDelegatesInput{OrganizationId: r.org, ResourceId: id}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if r.hides(err, e.State, migration.KindDelegate, "the delegates", id) {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, d := range page.Delegates {
			items = append(items, migration.NewItem(migration.KindDelegate, migration.Pair(aws.ToString(id), aws.ToString(d.Id)), migration.Nothing{}))
		}
	}
	return r.own(ctx, items, id, e.State, e.Email, true)
}

// own adds what users, groups and resources have alike: aliases, quota, permissions.
func (r *reader) own(ctx context.Context, items []migration.Item, id *string, state types.EntityState, email *string, mailbox bool) ([]migration.Item, error) {
	if state == types.EntityStateDeleted {
		return items, nil
	}
	if state == types.EntityStateEnabled {
		for pages := workmail.NewListAliasesPaginator(r.client, &workmail.ListAliasesInput{OrganizationId: r.org, EntityId: id}); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, address := range page.Aliases { // the primary address is one of them
				if migration.AliasID(address) != migration.AliasID(aws.ToString(email)) {
					items = append(items, migration.NewItem(migration.KindAlias, migration.AliasID(address), migration.Alias{Address: address, Entity: aws.ToString(id)}))
				}
			}
		}
		if mailbox {
			details, err := r.client.GetMailboxDetails(ctx, &workmail.GetMailboxDetailsInput{OrganizationId: r.org, UserId: id})
			if err != nil {
				return nil, err
			}
			items = append(items, migration.NewItem(migration.KindQuota, aws.ToString(id), migration.Quota{Megabytes: int64(aws.ToInt32(details.MailboxQuota))}))
		}
	}
	for pages := workmail.NewListMailboxPermissionsPaginator(r.client, &workmail.ListMailboxPermissionsInput{OrganizationId: r.org, EntityId: id}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if r.hides(err, state, migration.KindPermission, "the permissions on the mailbox", id) {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, p := range page.Permissions {
			items = append(items, migration.NewItem(migration.KindPermission, migration.Pair(aws.ToString(id), aws.ToString(p.GranteeId)),
				migration.Permission{Rights: rights(p.PermissionValues)}))
		}
	}
	return items, nil
}

// rights puts permissions into the order in which they are compared.
func rights(values []types.PermissionType) (names []string) {
	for _, right := range []types.PermissionType{types.PermissionTypeFullAccess, types.PermissionTypeSendAs, types.PermissionTypeSendOnBehalf} {
		for _, v := range values {
			if v == right {
				names = append(names, string(v))
				break
			}
		}
	}
	return names
}
