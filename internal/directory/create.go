package directory

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/principal"
)

// create makes an entity of any kind: checks it, lets the directory make its entry (where passwords are hashed), and
// stores it, all before anything is acknowledged.
func (s *Service) create(ctx context.Context, p principal.Principal, org OrgID, operation string, entry NewEntry) (EntityID, error) {
	if err := mayAdminister(p); err != nil {
		return "", err
	}
	d := Directory(s.own)
	if len(s.external) > 0 || entry.User.Password != nil { // there is something to do outside: not for a dead organisation
		var err error
		if _, d, err = s.active(ctx, org); err != nil {
			return "", err
		}
	}
	if err := entry.check(d.NameLimit()); err != nil {
		return "", s.GateFirst(ctx, org, err)
	}
	if d != s.own || entry.User.Password != nil { // a taken name should cost no hash and touch no other directory
		if err := s.nameIsFree(ctx, org, entry.name()); err != nil {
			return "", err
		}
	}
	newID, secret, err := d.Create(ctx, entry)
	if err != nil {
		return "", err
	}
	change := s.Change
	if entry.Kind == KindUser && s.limits.Users > 0 {
		change = s.ChangeAlone // creators must not count past each other
	}
	err = change(ctx, p, org, operation, func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		return string(newID), s.insertTx(ctx, tx, o, newID, entry, secret)
	})
	if err == nil {
		return newID, nil
	}
	if d != s.own {
		undo := Entry{Organization: org, ID: newID, Kind: entry.Kind, Name: entry.name()}
		if undoErr := d.Delete(context.WithoutCancel(ctx), undo); undoErr != nil {
			s.log.ErrorContext(ctx, "an entry stays behind in an external directory: delete it there",
				"organization", org, "entity", newID, "error", undoErr)
		}
	}
	return "", err
}

func (e *NewEntry) name() string {
	switch e.Kind {
	case KindGroup:
		return e.Group.Name
	case KindResource:
		return e.Resource.Name
	}
	return e.User.Name
}

func (e *NewEntry) check(nameLimit int) error {
	switch e.Kind {
	case KindGroup:
		return checkGroupName(e.Group.Name)
	case KindResource:
		return checkNewResource(e.Resource)
	}
	return checkNewUser(e.User, nameLimit)
}

// nameIsFree returns an Exists fault for a name that is taken now. It spares work; the unique index decides.
func (s *Service) nameIsFree(ctx context.Context, org OrgID, name string) error {
	return s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := s.ActiveTx(ctx, tx, org)
		if err != nil {
			return err
		}
		return nameIsFreeTx(ctx, tx, o, &Entity{}, name)
	})
}

func nameTaken(name string) error {
	return fault.New(fault.Exists, fault.Entity, "the name %q is taken in this organization; users, groups and resources share one name space", name)
}

const insertEntity = `INSERT INTO entity (key, organization, id, kind, state, name, name_key, hidden, role, display_name,
	display_key, provider_user, first_name, last_name, resource_type, description,
	auto_accept, auto_decline_recurring, auto_decline_conflicting, created)
	VALUES ($1, $2, $3, $4, 2, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
	ON CONFLICT DO NOTHING`

// changed is also the password's version (SignIn): it rises even when the clock does not.
const insertPassword = `INSERT INTO password (entity, secret, changed) VALUES ($1, $2, $3)
	ON CONFLICT (entity) DO UPDATE SET secret = excluded.secret,
	changed = CASE WHEN excluded.changed > password.changed THEN excluded.changed ELSE password.changed + 1 END`

func (s *Service) insertTx(ctx context.Context, tx *db.Tx, o *Organization, newID EntityID, entry NewEntry, secret string) error {
	var (
		key     = id.Key()
		name    = entry.name()
		now     = s.clock.Now().UnixMicro()
		u, r    = entry.User, entry.Resource
		hidden  = u.Hidden || entry.Group.Hidden || r.Hidden
		display any
		booking BookingOptions
	)
	switch entry.Kind {
	case KindUser:
		if err := s.mayAddUserTx(ctx, tx, o); err != nil {
			return err
		}
		display = displayKey(u.DisplayName)
	case KindResource:
		if err := o.resourcesHere(); err != nil {
			return err
		}
		booking = DefaultBooking
	}
	n, err := tx.Exec(ctx, insertEntity, key, o.Key, string(newID), int64(entry.Kind), name, Fold(name), hidden,
		int64(u.Role), u.DisplayName, display, orNull(Fold(u.IdentityProviderUserID)), u.FirstName, u.LastName,
		int64(r.Type), r.Description, booking.AutoAccept, booking.AutoDeclineRecurring, booking.AutoDeclineConflicting, now)
	if err != nil {
		return fmt.Errorf("create %s: %w", entry.Kind.word(), err)
	}
	if n == 0 {
		if o.DirectoryType != OwnDirectoryType {
			if taken, err := s.takeOverTx(ctx, tx, o, newID, entry); err != nil || taken {
				return err
			}
		}
		return nameTaken(name)
	}
	if secret == "" {
		return nil
	}
	if _, err := tx.Exec(ctx, insertPassword, key, secret, now); err != nil {
		return fmt.Errorf("store password: %w", err)
	}
	return nil
}

// countUsers counts no further than the limit in $2 needs.
const countUsers = `SELECT COUNT(*) FROM (SELECT 1 AS one FROM entity
	WHERE organization = $1 AND kind = 1 AND state IN (1, 2) LIMIT $2) AS counted`

func (s *Service) mayAddUserTx(ctx context.Context, tx *db.Tx, o *Organization) error {
	if s.limits.Users <= 0 {
		return nil
	}
	var n int
	if err := tx.QueryRow(ctx, countUsers, o.Key, s.limits.Users).Scan(&n); err != nil {
		return fmt.Errorf("count users: %w", err)
	}
	if n >= s.limits.Users {
		// CreateUser lists no LimitExceeded: see docs/divergences.md.
		return fault.New(fault.Invalid, fault.Entity, "the organization has %d users, which is its limit", n)
	}
	return nil
}
