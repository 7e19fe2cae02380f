package transport

import (
	"context"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

// actorTx reads the user who submits, and the user's organisation.
func (t *Transport) actorTx(ctx context.Context, tx *db.Tx, p principal.Principal) (*directory.Organization, *directory.Entity, error) {
	if p.Kind != principal.User {
		return nil, nil, fault.New(fault.Denied, fault.Entity, "only a user can submit mail")
	}
	o, e, err := t.Directory.MemberTx(ctx, tx, directory.OrgID(p.Organization), directory.EntityID(p.ID))
	if err != nil {
		return nil, nil, noLonger(err)
	}
	if e.Kind != directory.KindUser || e.State != directory.Enabled {
		return nil, nil, noLonger(nil)
	}
	return o, e, nil
}

// noLonger is what a user is told who was one at sign-in. Errors that are no faults stay what they are.
func noLonger(err error) error {
	if err != nil && fault.As(err) == nil {
		return err
	}
	return fault.Wrap(err, fault.Denied, fault.Entity, "you may not send mail any more")
}

// mayUseTx returns what the user may do with an address as the sender of mail. Denied Address: it is nobody's here, it has a
// tag, or it belongs to somebody who did not allow it. The message is the same for all, so that it tells nothing about
// addresses.
func (t *Transport) mayUseTx(ctx context.Context, tx *db.Tx, actor *directory.Entity, a message.Address) (policy.Grant, error) {
	denied := fault.New(fault.Denied, fault.Address,
		"you may not send from %s: it is neither an address of yours nor of somebody who allowed you to", a)
	if a.Domain == "" {
		return policy.Grant{}, denied
	}
	r, err := t.Directory.RecipientTx(ctx, tx, lookupForm(a))
	switch {
	case fault.KindOf(err) == fault.NotFound && err != nil:
		return policy.Grant{}, denied
	case err != nil:
		return policy.Grant{}, err
	case r.Tag != "": // mail comes to addresses with a tag, and goes from none
		return policy.Grant{}, fault.New(fault.Denied, fault.Address, "you may not send from %s: it is an address with a tag", a)
	}
	g, err := t.Policy.GrantTx(ctx, tx, &r.Entity, actor)
	if err != nil {
		return policy.Grant{}, err
	}
	if !g.MaySendAs() && !g.MaySendOnBehalf() {
		return policy.Grant{}, denied
	}
	return g, nil
}
