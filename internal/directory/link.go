package directory

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// Link is an identity that an identity provider vouches for, on its way to the user that it is.
type Link struct {
	// UserID is its id at the provider, in the shape of IdentityProviderUserID.
	UserID string
	// StoreID is where the provider keeps it; it is remembered where the user has none yet.
	StoreID string
	// Name is the user name that the provider gives it.
	Name string
}

// linkedUsers finds those who have an identity; two may, where an administrator linked them so.
const linkedUsers = `SELECT ` + entityColumns + ` FROM entity
	WHERE organization = $1 AND kind = 1 AND provider_user = $2 AND state <> 3 ORDER BY key LIMIT 2`

// LinkIdentity returns the user that an identity is: the one who is linked to it already or, at its first sign-in, the one of
// the same name (without case) who is linked to nobody, and is linked from then on. Faults: NotFound (Entity) where there is no
// such user; Exists (Entity) where that user is linked to another identity, or the identity to two users; State (Entity) where
// the user may not sign in; Invalid (Entity) for an id of another shape; NotFound and State of the organisation.
func (s *Service) LinkIdentity(ctx context.Context, org OrgID, l Link) (who SignIn, err error) {
	if err := checkProviderUser(l.UserID); err != nil {
		return SignIn{}, err
	}
	l.UserID = Fold(l.UserID)
	var e *Entity
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := s.ActiveTx(ctx, tx, org)
		if err == nil {
			e, err = s.linkedTx(ctx, tx, o, l)
		}
		return err
	})
	if err == nil && (e.IdentityProviderUserID == "" || e.IdentityProviderStoreID == "") {
		err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			o, err := s.GateTx(ctx, tx, org)
			if err == nil {
				e, err = s.linkTx(ctx, tx, o, l)
			}
			return err
		})
	}
	if err != nil {
		return SignIn{}, err
	}
	return s.SignInByID(ctx, org, e.ID)
}

// linkedTx finds the user that an identity is, or may be linked to.
func (s *Service) linkedTx(ctx context.Context, tx *db.Tx, o *Organization, l Link) (*Entity, error) {
	linked, err := queryEntities(ctx, tx, linkedUsers, o.Key, l.UserID)
	switch {
	case err != nil:
		return nil, err
	case len(linked) == 1:
		return &linked[0], nil
	case len(linked) > 1:
		return nil, fault.New(fault.Exists, fault.Entity, "more than one user is linked to this identity")
	}
	e, err := s.ResolveTx(ctx, tx, o, l.Name, Narrow{Kind: KindUser, NoAddress: true})
	switch {
	case err != nil:
		return nil, err
	case Fold(e.Name) != Fold(l.Name): // an id is not a name
		return nil, notFound(KindUser, l.Name)
	case e.IdentityProviderUserID == l.UserID: // linked by another sign-in, since the statement before
		return e, nil
	case e.IdentityProviderUserID != "":
		return nil, fault.New(fault.Exists, fault.Entity, "user %q is linked to another identity", e.Name)
	case e.State != Enabled || e.Role != RoleUser:
		return nil, fault.New(fault.State, fault.Entity, "user %q has no mailbox to sign in to", e.Name)
	}
	return e, nil
}

const linkUser = `UPDATE entity SET provider_user = $2, provider_store = $3 WHERE key = $1`

func (s *Service) linkTx(ctx context.Context, tx *db.Tx, o *Organization, l Link) (*Entity, error) {
	e, err := s.linkedTx(ctx, tx, o, l)
	if err != nil {
		return nil, err
	}
	if e, err = s.lockLivingTx(ctx, tx, e); err != nil {
		return nil, err
	}
	if e.IdentityProviderUserID != "" && e.IdentityProviderUserID != l.UserID { // linked while we waited for the lock
		return nil, fault.New(fault.Exists, fault.Entity, "user %q is linked to another identity", e.Name)
	}
	if e.IdentityProviderStoreID == "" {
		e.IdentityProviderStoreID = l.StoreID
	}
	if _, err := tx.Exec(ctx, linkUser, e.Key, l.UserID, e.IdentityProviderStoreID); err != nil {
		return nil, fmt.Errorf("link user %s: %w", e.ID, err)
	}
	r := audit.Of(principal.TheSystem("WebMail"), string(o.ID), "LinkIdentity", string(e.ID))
	r.Detail = l.UserID
	return e, s.audit.AppendTx(ctx, tx, r)
}
