package migration

import (
	"context"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/policy"
)

// makeTx makes an item, or makes what is here like it.
func (s *Service) makeTx(ctx context.Context, tx *db.Tx, o *directory.Organization, i Item) error {
	switch i.Kind {
	case KindOrganization:
		return with(i, func(v Organization) error { return s.keepOrganizationTx(ctx, tx, o, v) })
	case KindDomain:
		return with(i, func(v Domain) error {
			if v.Verified {
				return s.directory.VouchForDomainTx(ctx, tx, o, i.ID)
			}
			return s.directory.RegisterDomainTx(ctx, tx, o, i.ID)
		})
	case KindDefaultDomain:
		return with(i, func(v Text) error { return s.directory.SetDefaultDomainTx(ctx, tx, o, v.Text) })
	case KindTag:
		return with(i, func(v Text) error { return s.directory.TagTx(ctx, tx, o, directory.Tag{Key: i.ID, Value: v.Text}) })
	case KindUser:
		return with(i, func(v User) error { return s.makeUserTx(ctx, tx, o, directory.EntityID(i.ID), v) })
	case KindGroup:
		return with(i, func(v Group) error {
			e := directory.Entity{ID: directory.EntityID(i.ID), Kind: directory.KindGroup, Name: v.Name, Hidden: v.Hidden}
			if v.Deleted {
				return s.organizations.BringDeletedTx(ctx, tx, o, e, 0)
			}
			return s.directory.BringGroupTx(ctx, tx, o, e.ID, directory.NewGroup{Name: v.Name, Hidden: v.Hidden})
		})
	case KindResource:
		return with(i, func(v Resource) error { return s.makeResourceTx(ctx, tx, o, directory.EntityID(i.ID), v) })
	case KindRegistration:
		return with(i, func(v Registration) error { return s.registerTx(ctx, tx, o, directory.EntityID(i.ID), v) })
	case KindAlias:
		return with(i, func(v Alias) error {
			a, err := directory.ParseAddress(v.Address)
			if err != nil {
				return err
			}
			return s.directory.CreateAliasTx(ctx, tx, o, directory.EntityID(v.Entity), a)
		})
	case KindQuota:
		return with(i, func(v Quota) error {
			_, err := s.organizations.SetQuotaTx(ctx, tx, o, i.ID, v.Megabytes)
			return err
		})
	case KindMember:
		return s.tieTx(ctx, tx, o, i, true)
	case KindDelegate:
		return s.tieTx(ctx, tx, o, i, true)
	case KindBooking:
		return with(i, func(v Booking) error {
			return s.directory.BookTx(ctx, tx, o, directory.EntityID(i.ID), directory.BookingOptions(v))
		})
	case KindPermission:
		return with(i, func(v Permission) error {
			rights, err := policy.ParseRights(v.Rights)
			if err != nil {
				return err
			}
			owner, grantee, _ := strings.Cut(i.ID, "/")
			return s.policy.BringPermissionTx(ctx, tx, o, directory.EntityID(owner), directory.EntityID(grantee), rights)
		})
	}
	return s.makeSettingTx(ctx, tx, o, i)
}

// makeSettingTx makes what is a setting of the organisation as a whole.
func (s *Service) makeSettingTx(ctx context.Context, tx *db.Tx, o *directory.Organization, i Item) error {
	switch i.Kind {
	case KindRole:
		return with(i, func(v Role) error { return s.policy.BringRoleTx(ctx, tx, o, role(i.ID, v)) })
	case KindAccessRule:
		return with(i, func(v AccessRule) error { return s.policy.BringAccessRuleTx(ctx, tx, o, accessRule(i.ID, v)) })
	case KindMobileRule:
		return with(i, func(v MobileRule) error {
			return s.policy.BringMobileRuleTx(ctx, tx, o, policy.MobileRule{
				ID: i.ID, Name: v.Name, Description: v.Description, Allow: v.Allow, Created: atEpoch(v.Created), Modified: atEpoch(v.Modified),
				Conditions: policy.MobileConditions{
					Types: v.Types, NotTypes: v.NotTypes, Models: v.Models, NotModels: v.NotModels, OperatingSystems: v.OperatingSystems,
					NotOperatingSystems: v.NotOperatingSystems, UserAgents: v.UserAgents, NotUserAgents: v.NotUserAgents,
				},
			})
		})
	case KindOverride:
		return with(i, func(v Override) error {
			return s.policy.BringOverrideTx(ctx, tx, o, policy.MobileOverride{
				User: directory.EntityID(v.User), Device: v.Device, Allow: v.Allow, Description: v.Description,
				Created: atEpoch(v.Created), Modified: atEpoch(v.Modified),
			})
		})
	case KindRetention:
		return with(i, func(v Retention) error {
			r := policy.RetentionPolicy{ID: i.ID, Name: v.Name, Description: v.Description}
			for _, f := range v.Folders {
				r.Folders = append(r.Folders, policy.RetentionFolder(f))
			}
			return s.policy.BringRetentionTx(ctx, tx, o, r)
		})
	case KindDMARC:
		return with(i, func(v DMARC) error { return s.policy.EnforceDMARCTx(ctx, tx, o, v.Enforced) })
	case KindMonitoring:
		return with(i, func(v Monitoring) error { return s.organizations.PutMonitoringTx(ctx, tx, o, policy.Monitoring(v)) })
	case KindAvailability:
		return with(i, func(v Availability) error {
			c := availability.Configuration{Domain: i.ID, Created: atEpoch(v.Created), Modified: atEpoch(v.Modified)}
			if c.Provider.Function = v.Function; v.Function == "" {
				c.Provider.EWS = &availability.EWS{Endpoint: v.Endpoint, Username: v.Username}
			}
			return s.availability.BringTx(ctx, tx, o, c)
		})
	case KindProvider:
		return with(i, func(v Provider) error { return s.center.BringProviderTx(ctx, tx, o, identity.Provider(v)) })
	}
	return fault.New(fault.Invalid, fault.None, "there are no items of the kind %q", i.Kind)
}

func with[T any](i Item, fn func(T) error) error {
	v, err := decode[T](i)
	if err != nil {
		return err
	}
	return fn(v)
}

// keepOrganizationTx takes over what of an organisation can change.
func (s *Service) keepOrganizationTx(ctx context.Context, tx *db.Tx, o *directory.Organization, v Organization) error {
	if v.Alias != o.Alias || v.Account != o.Account || v.Region != o.Region || v.DirectoryID != o.DirectoryID {
		return fault.New(fault.State, fault.Organization, "the alias, account, region and directory of organization %s can't be changed here", o.ID)
	}
	return s.directory.DateOrganizationTx(ctx, tx, o, at(v.Completed), v.MigrationAdmin)
}

func (s *Service) makeUserTx(ctx context.Context, tx *db.Tx, o *directory.Organization, id directory.EntityID, v User) error {
	roles := []directory.Role{directory.RoleUser, directory.RoleShared, directory.RoleSystem, directory.RoleRemote}
	at := slices.IndexFunc(roles, func(r directory.Role) bool { return r.String() == v.Role })
	if at < 0 {
		return fault.New(fault.Invalid, fault.Entity, "user %s has the role %q, which is not known", id, v.Role)
	}
	if v.Deleted {
		e := directory.Entity{ID: id, Kind: directory.KindUser, Name: v.Name, Role: roles[at], Hidden: v.Hidden}
		return s.organizations.BringDeletedTx(ctx, tx, o, e, 0)
	}
	return s.directory.BringUserTx(ctx, tx, o, id, directory.BroughtUser{
		Name: v.Name, DisplayName: v.DisplayName, Role: roles[at], Hidden: v.Hidden,
		IdentityProviderUserID: v.ProviderUserID, IdentityProviderStoreID: v.ProviderStore,
		Profile: directory.Profile{
			FirstName: v.FirstName, LastName: v.LastName, Initials: v.Initials, Telephone: v.Telephone, Street: v.Street,
			JobTitle: v.JobTitle, City: v.City, Company: v.Company, ZipCode: v.ZipCode, Department: v.Department, Country: v.Country,
			Office: v.Office,
		},
	})
}

func (s *Service) makeResourceTx(ctx context.Context, tx *db.Tx, o *directory.Organization, id directory.EntityID, v Resource) error {
	kind, err := directory.ParseResourceType(v.Type)
	if err != nil {
		return err
	}
	if v.Deleted {
		e := directory.Entity{ID: id, Kind: directory.KindResource, Name: v.Name, Hidden: v.Hidden}
		return s.organizations.BringDeletedTx(ctx, tx, o, e, kind)
	}
	return s.directory.BringResourceTx(ctx, tx, o, id, directory.NewResource{
		Name: v.Name, Type: kind, Description: v.Description, Hidden: v.Hidden,
	})
}

func (s *Service) registerTx(ctx context.Context, tx *db.Tx, o *directory.Organization, id directory.EntityID, v Registration) error {
	state, err := directory.ParseState(v.State)
	if err != nil {
		return err
	}
	return s.organizations.BringRegistrationTx(ctx, tx, o, directory.Entity{
		ID: id, State: state, Email: v.Email, Enabled: at(v.Enabled), Disabled: at(v.Disabled),
		MailboxProvisioned: at(v.Provisioned), MailboxDeprovisioned: at(v.Deprovisioned),
	})
}

// tieTx makes or ends a membership or a delegation.
func (s *Service) tieTx(ctx context.Context, tx *db.Tx, o *directory.Organization, i Item, is bool) error {
	whole, part, _ := strings.Cut(i.ID, "/")
	for _, id := range []string{whole, part} { // an id alone: what is named so might be another's address or name
		if _, err := s.directory.EntityByIDTx(ctx, tx, o.Key, directory.EntityID(id)); err != nil {
			if !is && fault.KindOf(err) == fault.NotFound {
				return nil
			}
			return err
		}
	}
	set := s.directory.SetMemberTx
	if i.Kind == KindDelegate {
		set = s.directory.SetDelegateTx
	}
	_, err := set(ctx, tx, o, whole, part, is)
	return err
}

func role(id string, v Role) policy.ImpersonationRole {
	r := policy.ImpersonationRole{
		ID: policy.RoleID(id), Created: atEpoch(v.Created), Modified: atEpoch(v.Modified),
		RoleSettings: policy.RoleSettings{Name: v.Name, ReadOnly: v.ReadOnly, Description: v.Description},
	}
	for _, rule := range v.Rules {
		r.Rules = append(r.Rules, policy.RoleRule{
			ID: rule.ID, Name: rule.Name, Description: rule.Description, Allow: rule.Allow,
			Targets: convert[directory.EntityID](rule.Targets), NotTargets: convert[directory.EntityID](rule.NotTargets),
		})
	}
	return r
}

func accessRule(name string, v AccessRule) policy.AccessRule {
	return policy.AccessRule{
		Name: name, Allow: v.Allow, Description: v.Description, Created: atEpoch(v.Created), Modified: atEpoch(v.Modified),
		AccessConditions: policy.AccessConditions{
			IPRanges: v.IPRanges, NotIPRanges: v.NotIPRanges, Actions: v.Actions, NotActions: v.NotActions,
			Users: convert[directory.EntityID](v.Users), NotUsers: convert[directory.EntityID](v.NotUsers),
			Roles: convert[policy.RoleID](v.Roles), NotRoles: convert[policy.RoleID](v.NotRoles),
		},
	}
}

// convert changes the type of a list of texts, which stays nil when it is.
func convert[To, From ~string](list []From) (out []To) {
	for _, v := range list {
		out = append(out, To(v))
	}
	return out
}

// removeTx takes an item away. What is gone already is no error.
func (s *Service) removeTx(ctx context.Context, tx *db.Tx, o *directory.Organization, i Item) error {
	a, b, _ := strings.Cut(i.ID, "/")
	switch i.Kind {
	case KindDomain:
		return s.directory.DeregisterDomainTx(ctx, tx, o, i.ID)
	case KindTag:
		return s.directory.UntagTx(ctx, tx, o, i.ID)
	case KindUser:
		return s.organizations.TakeAwayTx(ctx, tx, o, directory.EntityID(i.ID), directory.KindUser)
	case KindGroup:
		return s.organizations.TakeAwayTx(ctx, tx, o, directory.EntityID(i.ID), directory.KindGroup)
	case KindResource:
		return s.organizations.TakeAwayTx(ctx, tx, o, directory.EntityID(i.ID), directory.KindResource)
	case KindRegistration, KindQuota, KindBooking: // go with their entity
		return nil
	case KindAlias:
		return with(i, func(v Alias) error {
			return s.directory.DeleteAliasTx(ctx, tx, o, directory.EntityID(v.Entity), v.Address)
		})
	case KindMember, KindDelegate:
		return s.tieTx(ctx, tx, o, i, false)
	case KindPermission:
		_, err := s.policy.DeletePermissionsTx(ctx, tx, o, a, b)
		return err
	case KindRole:
		return s.policy.DeleteRoleTx(ctx, tx, o, policy.RoleID(i.ID))
	case KindAccessRule:
		return s.policy.DeleteAccessRuleTx(ctx, tx, o, i.ID)
	case KindMobileRule:
		return s.policy.DeleteMobileRuleTx(ctx, tx, o, i.ID)
	case KindOverride:
		_, err := s.policy.DeleteOverrideTx(ctx, tx, o, a, b)
		return err
	case KindRetention:
		return s.policy.DeleteRetentionTx(ctx, tx, o, i.ID)
	case KindMonitoring:
		return s.policy.DeleteMonitoringTx(ctx, tx, o)
	case KindAvailability:
		return s.availability.DeleteTx(ctx, tx, o, i.ID)
	case KindProvider:
		return s.center.DeleteProviderTx(ctx, tx, o)
	}
	return fault.New(fault.Invalid, fault.None, "%s can't be removed", i.Ref)
}
