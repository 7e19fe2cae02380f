package directory

import (
	"context"

	"github.com/pennypost/pennypost/internal/id"
)

// own is the server's own directory. Its entries are the rows of this package's tables, which the service writes in its
// transaction, so that most changes are nothing here; what remains are ids and the hashing of passwords.
type own struct {
	hasher *Hasher
}

const ownNameLimit = 64

func (o *own) Type() string   { return OwnDirectoryType }
func (o *own) NameLimit() int { return ownNameLimit }

func (o *own) Create(ctx context.Context, e NewEntry) (EntityID, string, error) {
	if e.Kind == KindResource {
		return EntityID(id.Resource()), "", nil
	}
	if e.Kind != KindUser || e.User.Password == nil {
		return EntityID(id.Entity()), "", nil
	}
	secret, err := o.hasher.Hash(ctx, *e.User.Password)
	return EntityID(id.Entity()), secret, err
}

func (o *own) SetPassword(ctx context.Context, _ Entry, password string) (string, error) {
	return o.hasher.Hash(ctx, password)
}

func (o *own) VerifyPassword(ctx context.Context, _ Entry, secret, password string) (bool, string, error) {
	if secret == "" { // a user without a password costs the same and never matches
		return false, "", o.hasher.Waste(ctx, password)
	}
	ok, old, err := o.hasher.Verify(ctx, secret, password)
	if err != nil || !ok || !old {
		return ok, "", err
	}
	renewed, err := o.hasher.Hash(ctx, password)
	if err != nil {
		return true, "", nil // the password was right; the next sign-in tries again
	}
	return true, renewed, nil
}

func (o *own) Waste(ctx context.Context, password string) error { return o.hasher.Waste(ctx, password) }

func (o *own) Delete(context.Context, Entry) error                         { return nil }
func (o *own) UpdateUser(context.Context, Entry, UserChange) error         { return nil }
func (o *own) UpdateResource(context.Context, Entry, ResourceChange) error { return nil }
func (o *own) SetAddress(context.Context, Entry, string) error             { return nil }
func (o *own) SetMember(context.Context, Entry, Entry, bool) error         { return nil }
