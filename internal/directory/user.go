package directory

import (
	"context"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// CreateUser makes a user, DISABLED and without an address, and returns its id. Faults: Invalid, Reserved, BadPassword,
// Exists (Entity) for a taken name, those of the external directory, NotFound and State of the organisation.
func (s *Service) CreateUser(ctx context.Context, p principal.Principal, org OrgID, u NewUser) (EntityID, error) {
	if u.Role == RoleNone {
		u.Role = RoleUser
	}
	return s.create(ctx, p, org, "CreateUser", NewEntry{Organization: org, Kind: KindUser, User: u})
}

func checkNewUser(u NewUser, nameLimit int) error {
	if err := checkUserName(u.Name, "user", nameLimit); err != nil {
		return err
	}
	if u.Role != RoleUser && u.Role != RoleRemote {
		return fault.New(fault.Invalid, fault.Entity, "role %s can't be given to a user; give USER or REMOTE_USER", u.Role)
	}
	for what, text := range map[string]string{"the display name": u.DisplayName, "the first name": u.FirstName, "the last name": u.LastName} {
		if err := checkText(what, text, textLimit); err != nil {
			return err
		}
	}
	if err := checkProviderUser(u.IdentityProviderUserID); err != nil {
		return err
	}
	if u.Password != nil {
		return CheckPassword(*u.Password)
	}
	return nil
}

// checkProviderUser checks the id of a user at an identity provider: a UUID, perhaps behind ten hexadecimal digits and "-".
func checkProviderUser(id string) error {
	if id == "" {
		return nil
	}
	uuid := id
	if len(id) == 47 && id[10] == '-' && only(id[:10], isLowerHex) {
		uuid = id[11:]
	}
	groups := strings.Split(uuid, "-")
	ok := len(groups) == 5
	for i, size := range [5]int{8, 4, 4, 4, 12} {
		ok = ok && len(groups[i]) == size && only(groups[i], isHex)
	}
	if !ok {
		return fault.New(fault.Invalid, fault.Entity, "identity provider user id %q is not a UUID, perhaps behind ten hexadecimal digits and a hyphen", id)
	}
	return nil
}

func isLowerHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }
func isHex(c byte) bool      { return isLowerHex(c) || 'A' <= c && c <= 'F' }

// DescribeUser returns a user by id, address or name, in whatever state.
func (s *Service) DescribeUser(ctx context.Context, p principal.Principal, org OrgID, ident string) (*User, error) {
	var u *User
	err := s.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *Organization) (err error) {
		var profile Profile
		e, err := resolveTx(ctx, tx, o, ident, Narrow{Kind: KindUser}, findUser.Get(), profile.targets()...)
		if err == nil {
			u = &User{Entity: *e, Profile: profile}
		}
		return err
	})
	return u, err
}

// UpdateUser changes a user's attributes. Faults: Invalid, NotFound (Entity), State (Entity) when the user is deleted, or
// when the role of an enabled user would change, and those of the external directory.
func (s *Service) UpdateUser(ctx context.Context, p principal.Principal, org OrgID, ident string, c UserChange) error {
	if err := checkUserChange(c); err != nil {
		return s.GateFirst(ctx, org, err)
	}
	how := Narrow{Kind: KindUser}
	check := func(_ context.Context, _ *db.Tx, _ *Organization, e *Entity) error { return mayUpdateUser(e, c) }
	err := s.outside(ctx, org, ident, how, check, func(d Directory, e Entry) error { return d.UpdateUser(ctx, e, c) })
	if err != nil {
		return err
	}
	return s.Change(ctx, p, org, "UpdateUser", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		e, err := s.ResolveTx(ctx, tx, o, ident, how)
		if err != nil {
			return "", err
		}
		if e, err = s.lockTx(ctx, tx, e); err != nil {
			return "", err
		}
		if err := mayUpdateUser(e, c); err != nil {
			return "", err
		}
		if c.IdentityProviderUserID != nil {
			s.publishUser(tx, o.ID, e.ID) // sessions and tokens stand on the link
		}
		return string(e.ID), updateUserTx(ctx, tx, e, c)
	})
}

func mayUpdateUser(e *Entity, c UserChange) error {
	if c.Role != nil && *c.Role != e.Role && e.State == Enabled {
		return fault.New(fault.State, fault.Entity,
			"the role of user %s can't change while it is enabled; deregister it from WorkMail first", e.ID)
	}
	return e.living()
}

func checkUserChange(c UserChange) error {
	if c.Role != nil && *c.Role != RoleUser && *c.Role != RoleRemote {
		return fault.New(fault.Invalid, fault.Entity, "role %s can't be given to a user; give USER or REMOTE_USER", *c.Role)
	}
	for _, a := range c.texts() {
		if a.text == nil {
			continue
		}
		if err := checkText("the "+strings.ReplaceAll(a.column, "_", " "), *a.text, textLimit); err != nil {
			return err
		}
	}
	if c.IdentityProviderUserID != nil {
		return checkProviderUser(*c.IdentityProviderUserID)
	}
	return nil
}

// GateFirst returns err, or what is wrong with the organisation: an unknown or inactive organisation is told before what
// is wrong with the rest of a request.
func (s *Service) GateFirst(ctx context.Context, org OrgID, err error) error {
	if _, _, gateErr := s.active(ctx, org); gateErr != nil {
		return gateErr
	}
	return err
}
