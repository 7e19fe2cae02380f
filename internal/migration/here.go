package migration

import (
	"context"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// entitiesAtOnce is how many entities are read in one transaction.
const entitiesAtOnce = 200

// Page is a part of what an organisation is here.
type Page struct {
	// Exists says that the organisation is here.
	Exists bool   `json:"exists"`
	Items  []Item `json:"items"`
	// Brought is the ledger, which the first page has.
	Brought []Ref `json:"brought,omitempty"`
	// Next asks for the next page; empty on the last one.
	Next string `json:"next,omitempty"`
}

// Here reads what an organisation is here: with an empty after the settings of the organisation and the first entities, then the
// entities behind. Faults: State (Organization) unless it is active; Exists (Organization) for one that no import made; Denied.
func (s *Service) Here(ctx context.Context, p principal.Principal, org, after string) (page Page, err error) {
	if p.Kind == principal.User || p.Kind == principal.Role {
		return Page{}, fault.New(fault.Denied, fault.None, "a user may not bring organizations here")
	}
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		page = Page{}
		o, err := s.directory.ActiveTx(ctx, tx, directory.OrgID(org))
		if fault.Is(err, fault.NotFound, fault.Organization) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := broughtTx(ctx, tx, o); err != nil {
			return err
		}
		page.Exists = true
		if after == "" {
			if page.Items, err = s.settingsTx(ctx, tx, o); err != nil {
				return err
			}
			if page.Brought, err = ledgerTx(ctx, tx, o); err != nil {
				return err
			}
		}
		entities, err := s.directory.WholesAfterTx(ctx, tx, o, directory.EntityID(after), entitiesAtOnce)
		if err != nil {
			return err
		}
		for i := range entities {
			items, err := s.entityItemsTx(ctx, tx, &entities[i])
			if err != nil {
				return err
			}
			page.Items = append(page.Items, items...)
		}
		if len(entities) == entitiesAtOnce {
			page.Next = string(entities[entitiesAtOnce-1].ID)
		}
		return nil
	})
	return page, err
}

func ledgerTx(ctx context.Context, tx *db.Tx, o *directory.Organization) (refs []Ref, err error) {
	refs, err = db.All(ctx, tx, func(row db.Row) (r Ref, err error) {
		err = row.Scan(&r.Kind, &r.ID)
		return r, err
	}, listBrought, o.Key)
	if err != nil {
		return nil, fmt.Errorf("read what was brought: %w", err)
	}
	return refs, nil
}

// settingsTx reads all but the entities.
func (s *Service) settingsTx(ctx context.Context, tx *db.Tx, o *directory.Organization) ([]Item, error) {
	items := []Item{
		NewItem(KindOrganization, string(o.ID), Organization{
			Alias: o.Alias, Account: o.Account, Region: o.Region, DirectoryID: o.DirectoryID, Completed: When(o.Completed),
			MigrationAdmin: o.MigrationAdmin,
		}),
		NewItem(KindDefaultDomain, "", Text{o.DefaultDomain}),
	}
	domains, err := s.directory.DomainsTx(ctx, tx, o)
	if err != nil {
		return nil, err
	}
	for _, d := range domains {
		items = append(items, NewItem(KindDomain, d.Name, Domain{Verified: d.Status == directory.DomainVerified}))
	}
	tags, err := s.directory.TagsTx(ctx, tx, o)
	if err != nil {
		return nil, err
	}
	for _, t := range tags {
		items = append(items, NewItem(KindTag, t.Key, Text{t.Value}))
	}
	for _, read := range []func(context.Context, *db.Tx, *directory.Organization) ([]Item, error){
		s.ruleItemsTx, s.policyItemsTx, s.serviceItemsTx,
	} {
		more, err := read(ctx, tx, o)
		if err != nil {
			return nil, err
		}
		items = append(items, more...)
	}
	return items, nil
}

// ruleItemsTx reads what a new organisation begins with.
func (s *Service) ruleItemsTx(ctx context.Context, tx *db.Tx, o *directory.Organization) (items []Item, err error) {
	access, err := s.policy.AccessRulesTx(ctx, tx, o)
	if err != nil {
		return nil, err
	}
	for _, r := range access {
		items = append(items, NewItem(KindAccessRule, r.Name, AccessRule{
			Allow: r.Allow, Description: r.Description, IPRanges: Sorted(r.IPRanges), NotIPRanges: Sorted(r.NotIPRanges),
			Actions: Sorted(r.Actions), NotActions: Sorted(r.NotActions),
			Users: Sorted(convert[string](r.Users)), NotUsers: Sorted(convert[string](r.NotUsers)),
			Roles: Sorted(convert[string](r.Roles)), NotRoles: Sorted(convert[string](r.NotRoles)),
			Dates: dates(r.Created, r.Modified),
		}))
	}
	mobile, err := s.policy.MobileRulesTx(ctx, tx, o)
	if err != nil {
		return nil, err
	}
	for _, r := range mobile {
		c := r.Conditions
		items = append(items, NewItem(KindMobileRule, r.ID, MobileRule{
			Name: r.Name, Description: r.Description, Allow: r.Allow, Types: Sorted(c.Types), NotTypes: Sorted(c.NotTypes),
			Models: Sorted(c.Models), NotModels: Sorted(c.NotModels), OperatingSystems: Sorted(c.OperatingSystems),
			NotOperatingSystems: Sorted(c.NotOperatingSystems), UserAgents: Sorted(c.UserAgents), NotUserAgents: Sorted(c.NotUserAgents),
			Dates: dates(r.Created, r.Modified),
		}))
	}
	enforced, err := s.policy.EnforcesDMARCTx(ctx, tx, o.Key)
	return append(items, NewItem(KindDMARC, "", DMARC{enforced})), err
}

func dates(created, modified time.Time) Dates { return Dates{When(created), When(modified)} }

func (s *Service) policyItemsTx(ctx context.Context, tx *db.Tx, o *directory.Organization) (items []Item, err error) {
	roles, err := s.policy.RolesTx(ctx, tx, o)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		v := Role{Name: r.Name, ReadOnly: r.ReadOnly, Description: r.Description, Dates: dates(r.Created, r.Modified)}
		for _, rule := range r.Rules {
			v.Rules = append(v.Rules, RoleRule{
				ID: rule.ID, Name: rule.Name, Description: rule.Description, Allow: rule.Allow,
				Targets: Sorted(convert[string](rule.Targets)), NotTargets: Sorted(convert[string](rule.NotTargets)),
			})
		}
		items = append(items, NewItem(KindRole, string(r.ID), v))
	}
	overrides, err := s.policy.OverridesTx(ctx, tx, o)
	if err != nil {
		return nil, err
	}
	for _, v := range overrides {
		items = append(items, NewItem(KindOverride, Pair(string(v.User), directory.Fold(v.Device)), Override{
			User: string(v.User), Device: v.Device, Allow: v.Allow, Description: v.Description, Dates: dates(v.Created, v.Modified),
		}))
	}
	r, exists, err := s.policy.RetentionTx(ctx, tx, o.Key)
	if err != nil || !exists {
		return items, err
	}
	v := Retention{Name: r.Name, Description: r.Description}
	for _, f := range r.Folders {
		v.Folders = append(v.Folders, RetentionFolder(f))
	}
	return append(items, NewItem(KindRetention, r.ID, v)), nil
}

func (s *Service) serviceItemsTx(ctx context.Context, tx *db.Tx, o *directory.Organization) (items []Item, err error) {
	m, err := s.policy.MonitoringTx(ctx, tx, o.Key)
	switch {
	case err == nil:
		items = append(items, NewItem(KindMonitoring, "", Monitoring(m)))
	case !fault.Is(err, fault.NotFound, fault.Resource):
		return nil, err
	}
	configurations, err := s.availability.ConfigurationsTx(ctx, tx, o)
	if err != nil {
		return nil, err
	}
	for _, c := range configurations {
		v := Availability{Function: c.Provider.Function}
		if c.Provider.EWS != nil {
			v.Endpoint, v.Username = c.Provider.EWS.Endpoint, c.Provider.EWS.Username
		} else {
			v.Dates = dates(c.Created, c.Modified)
		}
		items = append(items, NewItem(KindAvailability, c.Domain, v))
	}
	provider, err := s.center.ProviderTx(ctx, tx, o)
	if err == nil && provider != nil {
		items = append(items, NewItem(KindProvider, "", Provider(*provider)))
	}
	return items, err
}

// entityItemsTx reads an entity, and what is its own.
func (s *Service) entityItemsTx(ctx context.Context, tx *db.Tx, w *directory.Whole) ([]Item, error) {
	id, deleted := string(w.ID), w.State == directory.Deleted
	items := []Item{NewItem(KindRegistration, id, Registration{
		State: w.State.String(), Email: w.Email, Enabled: When(w.Enabled), Disabled: When(w.Disabled),
		Provisioned: When(w.MailboxProvisioned), Deprovisioned: When(w.MailboxDeprovisioned),
	})}
	switch w.Kind {
	case directory.KindUser:
		v := User{Name: w.Name, Role: w.Role.String(), Hidden: w.Hidden, Deleted: deleted}
		if !deleted {
			p := w.Profile
			v.DisplayName, v.FirstName, v.LastName, v.Initials, v.Telephone = w.DisplayName, p.FirstName, p.LastName, p.Initials, p.Telephone
			v.Street, v.JobTitle, v.City, v.Company, v.ZipCode = p.Street, p.JobTitle, p.City, p.Company, p.ZipCode
			v.Department, v.Country, v.Office = p.Department, p.Country, p.Office
			v.ProviderUserID, v.ProviderStore = w.IdentityProviderUserID, w.IdentityProviderStoreID
		}
		items = append(items, NewItem(KindUser, id, v))
	case directory.KindGroup:
		items = append(items, NewItem(KindGroup, id, Group{Name: w.Name, Hidden: w.Hidden, Deleted: deleted}))
	case directory.KindResource:
		items = append(items, NewItem(KindResource, id, Resource{
			Name: w.Name, Type: w.Type.String(), Description: w.Description, Hidden: w.Hidden, Deleted: deleted,
		}))
		if !deleted {
			items = append(items, NewItem(KindBooking, id, Booking(w.Booking)))
		}
	}
	if deleted {
		return items, nil
	}
	for _, address := range w.Addresses {
		if directory.Fold(address) != directory.Fold(w.Email) {
			items = append(items, NewItem(KindAlias, AliasID(address), Alias{address, id}))
		}
	}
	for _, member := range w.Members {
		items = append(items, NewItem(KindMember, Pair(id, string(member)), Nothing{}))
	}
	for _, delegate := range w.Delegates {
		items = append(items, NewItem(KindDelegate, Pair(id, string(delegate)), Nothing{}))
	}
	if w.State == directory.Enabled && w.Kind != directory.KindGroup && w.Role != directory.RoleRemote {
		megabytes, err := s.organizations.QuotaTx(ctx, tx, &w.Entity)
		if err != nil {
			return nil, err
		}
		items = append(items, NewItem(KindQuota, id, Quota{megabytes}))
	}
	permissions, err := s.policy.PermissionsTx(ctx, tx, w.Key)
	for _, p := range permissions {
		items = append(items, NewItem(KindPermission, Pair(id, string(p.Grantee)), Permission{p.Rights.Names()}))
	}
	return items, err
}
