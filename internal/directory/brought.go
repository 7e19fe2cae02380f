package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
)

// What is here is for package migration, which brings organisations here from elsewhere: entities keep the ids, dates and roles
// that they have there, and are held to the same rules as any other. All of it is for organisations of the server's own directory.

func isOrgID(org OrgID) bool {
	return len(org) == 34 && org[:2] == "m-" && only(string(org[2:]), isLowerHex)
}

func isDirectoryID(directoryID string) bool {
	return len(directoryID) == 12 && directoryID[:2] == "d-" && only(directoryID[2:], isLowerHex)
}

// CheckEntityID checks an id that was given elsewhere: 1 to 256 letters, digits and ._%+-. An address is none: it would be
// mistaken for its holder's.
func CheckEntityID(entity EntityID) error {
	if len(entity) == 0 || len(entity) > textLimit || !only(string(entity), isLocalByte) {
		return fault.New(fault.Invalid, fault.Entity, "%.300q is not the id of a user, group or resource", entity)
	}
	return nil
}

// DateOrganizationTx sets when an organisation became active, and who administers its migration, as they are elsewhere.
func (s *Service) DateOrganizationTx(ctx context.Context, tx *db.Tx, o *Organization, completed time.Time, migrationAdmin string) error {
	if !storable(migrationAdmin) || len(migrationAdmin) > textLimit {
		return fault.New(fault.Invalid, fault.Organization, "the migration administrator of organization %s has no id that can be kept", o.ID)
	}
	_, err := tx.Exec(ctx, `UPDATE organization SET completed = $2, migration_admin = $3 WHERE key = $1`, o.Key, micros(completed), migrationAdmin)
	if err != nil {
		return fmt.Errorf("date organization %s: %w", o.ID, err)
	}
	s.organizationChanged(tx, o.ID)
	return nil
}

// BroughtUser is a user as it is elsewhere.
type BroughtUser struct {
	Name        string
	DisplayName string
	Role        Role // any but RoleNone
	Hidden      bool
	Profile
	IdentityProviderUserID, IdentityProviderStoreID string
}

func (u *BroughtUser) check() error {
	switch u.Role {
	case RoleSystem: // the directory that it came with had rules of its own
		if err := checkText("the name", u.Name, textLimit); err != nil || u.Name == "" {
			return fault.New(fault.Invalid, fault.Entity, "a user has no name that can be kept")
		}
	case RoleUser, RoleShared, RoleRemote:
		if err := checkUserName(u.Name, "user", ownNameLimit); err != nil {
			return err
		}
	default:
		return fault.New(fault.Invalid, fault.Entity, "user %s has no role", u.Name)
	}
	if err := checkText("the identity store", u.IdentityProviderStoreID, textLimit); err != nil {
		return err
	}
	return checkUserChange(u.change())
}

// change is what of u a change can set but for the role, which is checked otherwise.
func (u *BroughtUser) change() UserChange {
	return UserChange{
		DisplayName: &u.DisplayName, FirstName: &u.FirstName, LastName: &u.LastName, Hidden: &u.Hidden, Initials: &u.Initials,
		Telephone: &u.Telephone, Street: &u.Street, JobTitle: &u.JobTitle, City: &u.City, Company: &u.Company, ZipCode: &u.ZipCode,
		Department: &u.Department, Country: &u.Country, Office: &u.Office, IdentityProviderUserID: &u.IdentityProviderUserID,
	}
}

// BringUserTx makes the user with the id all that u says: a new one is DISABLED, and one that was deleted is so again. Faults:
// Invalid, Reserved, Exists (Entity) for a taken name or an id of another kind, State (Entity) for another role of an enabled one.
func (s *Service) BringUserTx(ctx context.Context, tx *db.Tx, o *Organization, entity EntityID, u BroughtUser) error {
	if err := u.check(); err != nil {
		return err
	}
	entry := NewEntry{Organization: o.ID, Kind: KindUser, User: NewUser{Name: u.Name, Role: u.Role}}
	e, err := s.bringTx(ctx, tx, o, entity, entry)
	if err != nil {
		return err
	}
	c := u.change()
	c.Role = &u.Role
	if err := mayUpdateUser(e, c); err != nil {
		return err
	}
	if err := updateUserTx(ctx, tx, e, c); err != nil {
		return err
	}
	if Fold(u.IdentityProviderUserID) != e.IdentityProviderUserID {
		s.publishUser(tx, o.ID, e.ID) // sessions and tokens stand on the link
	}
	_, err = tx.Exec(ctx, `UPDATE entity SET provider_store = $2 WHERE key = $1`, e.Key, u.IdentityProviderStoreID)
	if err != nil {
		return fmt.Errorf("bring user %s: %w", entity, err)
	}
	return nil
}

// BringGroupTx makes the group with the id all that g says, as BringUserTx does.
func (s *Service) BringGroupTx(ctx context.Context, tx *db.Tx, o *Organization, entity EntityID, g NewGroup) error {
	if err := checkGroupName(g.Name); err != nil {
		return err
	}
	e, err := s.bringTx(ctx, tx, o, entity, NewEntry{Organization: o.ID, Kind: KindGroup, Group: g})
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, updateHidden, e.Key, g.Hidden); err != nil {
		return fmt.Errorf("bring group %s: %w", entity, err)
	}
	return nil
}

// BringResourceTx makes the resource with the id all that r says, as BringUserTx does. How a new one answers is DefaultBooking.
func (s *Service) BringResourceTx(ctx context.Context, tx *db.Tx, o *Organization, entity EntityID, r NewResource) error {
	if err := checkNewResource(r); err != nil {
		return err
	}
	e, err := s.bringTx(ctx, tx, o, entity, NewEntry{Organization: o.ID, Kind: KindResource, Resource: r})
	if err != nil {
		return err
	}
	return updateResourceTx(ctx, tx, e, ResourceChange{Type: &r.Type, Description: &r.Description, Hidden: &r.Hidden})
}

// bringTx finds the entity with the id, or makes it, and returns it, locked and living under the name of entry.
func (s *Service) bringTx(ctx context.Context, tx *db.Tx, o *Organization, entity EntityID, entry NewEntry) (*Entity, error) {
	if err := CheckEntityID(entity); err != nil {
		return nil, err
	}
	if o.DirectoryType != OwnDirectoryType {
		return nil, fault.New(fault.Unsupported, fault.Directory, "the entities of organization %s are those of an external directory", o.ID)
	}
	e, err := s.EntityByIDTx(ctx, tx, o.Key, entity)
	if fault.Is(err, fault.NotFound, fault.Entity) {
		if err := s.insertTx(ctx, tx, o, entity, entry, ""); err != nil {
			return nil, err
		}
		e, err = s.EntityByIDTx(ctx, tx, o.Key, entity)
	}
	if err != nil {
		return nil, err
	}
	if e, err = s.lockTx(ctx, tx, e); err != nil {
		return nil, err
	}
	if e.Kind != entry.Kind {
		return nil, fault.New(fault.Exists, fault.Entity, "%s is the id of a %s here", entity, e.Kind.word())
	}
	if e.State == Deleted || e.Name != entry.name() {
		if err := s.renameTx(ctx, tx, o, e, entry.name()); err != nil {
			return nil, err
		}
	}
	if e.State == Deleted {
		if _, err := tx.Exec(ctx, reviveEntity, e.Key, int64(entry.User.Role)); err != nil {
			return nil, fmt.Errorf("revive %s: %w", e.ID, err)
		}
		e.State, e.Role = Disabled, entry.User.Role
	}
	return e, nil
}

const insertDeleted = `INSERT INTO entity (key, organization, id, kind, state, name, name_key, hidden, role, resource_type, created, deleted)
	VALUES ($1, $2, $3, $4, 3, $5, $6, $7, $8, $9, $10, $10)`

const updateDeleted = `UPDATE entity SET name = $2, name_key = $3, hidden = $4, role = $5, resource_type = $6 WHERE key = $1 AND state = 3`

// KeepDeletedTx keeps of an entity that is deleted here what elsewhere is kept of it: what e says. Groups never change their names.
func (s *Service) KeepDeletedTx(ctx context.Context, tx *db.Tx, key int64, e Entity, t ResourceType) error {
	if err := checkText("the name", e.Name, textLimit); err != nil {
		return err
	}
	if e.Kind == KindGroup {
		_, err := tx.Exec(ctx, updateHidden, key, e.Hidden)
		return err
	}
	_, err := tx.Exec(ctx, updateDeleted, key, e.Name, Fold(e.Name), e.Hidden, int64(e.Role), int64(t))
	return err
}

// BringDeletedTx makes an entity that is deleted elsewhere and was never here: its id keeps its meaning for the usual time. Faults:
// Invalid, Exists (Entity) for a taken id.
func (s *Service) BringDeletedTx(ctx context.Context, tx *db.Tx, o *Organization, e Entity, t ResourceType) (*Entity, error) {
	if err := errors.Join(CheckEntityID(e.ID), checkText("the name", e.Name, textLimit)); err != nil {
		return nil, fault.New(fault.Invalid, fault.Entity, "the deleted entity %.300q has no id or name that can be kept", e.ID)
	}
	if _, err := s.EntityByIDTx(ctx, tx, o.Key, e.ID); !fault.Is(err, fault.NotFound, fault.Entity) {
		if err == nil {
			err = fault.New(fault.Exists, fault.Entity, "the id %s is taken", e.ID)
		}
		return nil, err
	}
	_, err := tx.Exec(ctx, insertDeleted, id.Key(), o.Key, string(e.ID), int64(e.Kind), e.Name, Fold(e.Name), e.Hidden,
		int64(e.Role), int64(t), s.clock.Now().UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("bring the deleted %s %s: %w", e.Kind.word(), e.ID, err)
	}
	return s.EntityByIDTx(ctx, tx, o.Key, e.ID)
}

// ForgetAddressesTx ends what is remembered of a disabled entity's addresses: enabling it brings none back.
func (s *Service) ForgetAddressesTx(ctx context.Context, tx *db.Tx, e *Entity) error {
	if _, err := tx.Exec(ctx, forgetAddresses, e.Key); err != nil {
		return fmt.Errorf("forget addresses: %w", err)
	}
	return nil
}

const setDates = `UPDATE entity SET enabled = $2, disabled = $3, mailbox_provisioned = $4, mailbox_deprovisioned = $5 WHERE key = $1`

// DateTx gives an entity the dates that it has elsewhere: those of e.
func (s *Service) DateTx(ctx context.Context, tx *db.Tx, key int64, e Entity) error {
	_, err := tx.Exec(ctx, setDates, key, micros(e.Enabled), micros(e.Disabled), micros(e.MailboxProvisioned), micros(e.MailboxDeprovisioned))
	if err != nil {
		return fmt.Errorf("date entity %d: %w", key, err)
	}
	return nil
}

// BookTx sets how a resource answers. Faults: NotFound and State (Entity), BadConfiguration.
func (s *Service) BookTx(ctx context.Context, tx *db.Tx, o *Organization, resource EntityID, b BookingOptions) error {
	e, err := s.ResolveTx(ctx, tx, o, string(resource), Narrow{Kind: KindResource, IDOnly: true})
	if err != nil {
		return err
	}
	if e, err = s.lockLivingTx(ctx, tx, e); err != nil {
		return err
	}
	c := ResourceChange{Booking: &b}
	if err := mayUpdateResourceTx(ctx, tx, o, e, c); err != nil {
		return err
	}
	return updateResourceTx(ctx, tx, e, c)
}

// Whole is all that is known of an entity: User or Resource have what its kind has beside Entity.
type Whole struct {
	Entity
	Profile
	Type        ResourceType
	Description string
	Booking     BookingOptions
	Addresses   []string // of an enabled one, the primary one included
	Members     []EntityID
	Delegates   []EntityID
}

const wholeAfter = `SELECT ` + prefixedEntityColumns + `, ` + profileColumns + prefixedResourceColumns + ` FROM entity e
	WHERE e.organization = $1 AND e.id > $2 ORDER BY e.id LIMIT $3`

const (
	memberIDs   = `SELECT e.id FROM member m JOIN entity e ON e.key = m.member WHERE m.group_key = $1 AND e.state <> 3 ORDER BY e.id`
	delegateIDs = `SELECT e.id FROM delegate d JOIN entity e ON e.key = d.delegate WHERE d.resource = $1 AND e.state <> 3 ORDER BY e.id`
	addressesOf = `SELECT address FROM address WHERE entity = $1 ORDER BY address_key`
)

// WholesAfterTx returns up to limit entities of an organisation behind the one with the id after, deleted ones included.
func (s *Service) WholesAfterTx(ctx context.Context, tx *db.Tx, o *Organization, after EntityID, limit int) ([]Whole, error) {
	all, err := wholesTx(ctx, tx, o, after, limit)
	for i := range all {
		w := &all[i]
		for _, list := range []struct {
			has   bool
			query string
			to    *[]EntityID
		}{
			{w.Kind == KindGroup && w.State != Deleted, memberIDs, &w.Members},
			{w.Kind == KindResource && w.State != Deleted, delegateIDs, &w.Delegates},
		} {
			if err == nil && list.has {
				var ids []string
				ids, err = queryTexts(ctx, tx, list.query, w.Key)
				for _, id := range ids {
					*list.to = append(*list.to, EntityID(id))
				}
			}
		}
		if err == nil && w.State == Enabled {
			w.Addresses, err = queryTexts(ctx, tx, addressesOf, w.Key)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the entities of organization %s: %w", o.ID, err)
	}
	return all, nil
}

func wholesTx(ctx context.Context, tx *db.Tx, o *Organization, after EntityID, limit int) ([]Whole, error) {
	var all []Whole
	err := tx.Each(ctx, func(row db.Row) error {
		var (
			w    Whole
			r    Resource
			scan entityScan
		)
		if err := row.Scan(scan.targets(append(w.Profile.targets(), r.targets()...)...)...); err != nil {
			return err
		}
		w.Entity, w.Type, w.Description, w.Booking = scan.entity(), r.Type, r.Description, r.Booking
		all = append(all, w)
		return nil
	}, wholeAfter, o.Key, string(after), limit)
	return all, err
}

// DomainsTx reads all domains of an organisation, by name, without their records.
func (s *Service) DomainsTx(ctx context.Context, tx *db.Tx, o *Organization) (domains []Domain, err error) {
	err = tx.Each(ctx, func(row db.Row) error {
		d, err := scanDomain(row)
		if err != nil {
			return err
		}
		domains = append(domains, Domain{Name: d.name, Status: d.status, Test: d.test, Default: d.name == o.DefaultDomain})
		return nil
	}, listDomains, o.Key, "", int64(1)<<30)
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	return domains, nil
}
