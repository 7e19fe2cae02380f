package transport

import (
	"context"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// Add accepts a recipient, or refuses it and leaves the transaction as it was: Denied Address (mail from outside for
// somebody outside, or of a test domain), NotFound Address, State Address (nobody can receive there), Unsupported Address (the
// mailbox is elsewhere, and nothing says how mail gets there), OverQuota and State Mailbox, Limit Address (too many), Limit
// Allowance (too many of a day, see Daily), TooLarge Message. Each mailbox gets one copy, however many recipients lead to it.
func (x *Transaction) Add(ctx context.Context, asked queue.Recipient) error {
	t, to := x.transport, asked.Address
	if len(x.accepted) >= t.Limits.Recipients {
		return limitFault("a message can have %d recipients; send the others another one", t.Limits.Recipients)
	}
	var targets []target
	var used usage
	remote := false
	accepted := recipient{asked: asked, address: to.String()}
	err := t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		targets, accepted.organization, err = x.resolveTx(ctx, tx, to)
		if remote = fault.Is(err, fault.NotFound, fault.Domain) && x.sender.Submitted; remote {
			err = x.mayLeaveTx(ctx, tx, x.sender.From, to)
		}
		if err != nil || x.usage == nil {
			return err
		}
		used = x.usage.with(accepted.organization)
		return t.lookTx(ctx, tx, *x.usage, used)
	})
	if err != nil {
		return err
	}
	var added []target
	for _, target := range targets {
		if !x.reached[target.mailbox] {
			added = append(added, target)
		}
	}
	switch total := len(x.targets) + len(added); {
	case total > t.Limits.Mailboxes && len(x.targets) == 0:
		return tooManyMembers(to, t.Limits.Mailboxes)
	case remote && len(x.remote) >= queue.MaxRecipients:
		return limitFault("a message can go to %d recipients on other servers; send the others another one", queue.MaxRecipients)
	case total > t.Limits.Mailboxes:
		return limitFault("a message can go to %d mailboxes; send the others another one", t.Limits.Mailboxes)
	}
	if err := x.checkRoom(ctx, to, added); err != nil {
		if fault.KindOf(err) == fault.OverQuota {
			x.tellFull(ctx, accepted)
		}
		return err
	}
	for _, target := range added {
		x.reached[target.mailbox] = true
	}
	x.targets = append(x.targets, added...)
	accepted.targets = targets
	if i := slices.IndexFunc(x.accepted, func(r recipient) bool { return r.address == accepted.address }); i >= 0 {
		accepted.targets = x.accepted[i].targets // named again and again, a group takes no more memory
	}
	x.accepted = append(x.accepted, accepted)
	if remote {
		x.addRemote(asked, t.Route)
	}
	if x.usage != nil {
		*x.usage = used
	}
	return nil
}

// checkRoom refuses a recipient whose mailbox is full, and a group with such a member: nobody tells the sender later who did not
// get the message.
func (x *Transaction) checkRoom(ctx context.Context, to message.Address, targets []target) error {
	for _, target := range targets {
		err := x.transport.Mailboxes.CheckRoom(ctx, target.mailbox, max(x.sender.Size, 1))
		switch {
		case err == nil:
		case fault.KindOf(err) == fault.OverQuota:
			return fault.Wrap(err, fault.OverQuota, fault.Mailbox, "%s can't take the message: a mailbox there is full", to)
		case fault.Is(err, fault.State, fault.Mailbox), fault.Is(err, fault.NotFound, fault.Mailbox):
			return fault.Wrap(err, fault.State, fault.Mailbox, "%s can't take mail: its mailbox is closed", to)
		default:
			return err
		}
	}
	return nil
}

// resolveTx returns the mailboxes that an address leads to, and the organisation that the address is of. For what is submitted
// NotFound Domain says that the recipient is on another server.
func (x *Transaction) resolveTx(ctx context.Context, tx *db.Tx, to message.Address) (targets []target, organization int64, err error) {
	t := x.transport
	r, err := t.recipientTx(ctx, tx, to)
	switch {
	case err == nil:
	case fault.Is(err, fault.NotFound, fault.Domain) && x.sender.Submitted:
		return nil, 0, err
	case fault.Is(err, fault.NotFound, fault.Domain):
		return nil, 0, fault.New(fault.Denied, fault.Address, "%s is not served here, and mail is not relayed", to.Domain)
	default:
		return nil, 0, err
	}
	e := &r.Entity
	if err := x.watchTx(ctx, tx, e.OrgKey, r.Organization); err != nil {
		return nil, 0, err
	}
	switch {
	case e.State != directory.Enabled:
		return nil, 0, fault.New(fault.NotFound, fault.Address, "nobody has the address %s", to)
	case e.Kind == directory.KindGroup:
		targets, err = t.membersTx(ctx, tx, to, e)
		return targets, e.OrgKey, err
	case e.Role == directory.RoleRemote:
		return nil, 0, fault.New(fault.Unsupported, fault.Address, "the mailbox of %s is on another server, and nothing says how mail gets there", to)
	case e.Mailbox == 0:
		return nil, 0, fault.New(fault.State, fault.Address, "%s has no mailbox", to)
	}
	return []target{{mailbox: mailbox.ID(e.Mailbox), address: to.String(), organization: e.OrgKey}}, e.OrgKey, nil
}

// membersTx returns the mailboxes of everybody in a group, and in the groups in it, once. Members who are disabled get
// nothing and stop nobody else's mail.
func (t *Transport) membersTx(ctx context.Context, tx *db.Tx, to message.Address, group *directory.Entity) ([]target, error) {
	users, complete, err := t.Directory.MembersTx(ctx, tx, group, t.Limits.Mailboxes)
	if err != nil {
		return nil, err
	}
	if !complete {
		return nil, tooManyMembers(to, t.Limits.Mailboxes)
	}
	remote, err := t.Directory.HasRemoteMemberTx(ctx, tx, group)
	if err != nil {
		return nil, err
	}
	if remote {
		return nil, fault.New(fault.Unsupported, fault.Address,
			"the group %s has a member whose mailbox is on another server, and nothing says how mail gets there", to)
	}
	var targets []target
	for i := range users {
		if u := &users[i]; u.Mailbox != 0 {
			targets = append(targets, target{mailbox: mailbox.ID(u.Mailbox), address: u.Email, organization: u.OrgKey})
		}
	}
	if len(targets) == 0 {
		return nil, fault.New(fault.State, fault.Address, "the group %s has no member who can take mail", to)
	}
	return targets, nil
}

// tooManyMembers is no Limit: to send the message again would not help.
func tooManyMembers(to message.Address, limit int) error {
	return fault.New(fault.Unsupported, fault.Address, "the group %s reaches more than %d mailboxes, which is more than a message can go to", to, limit)
}

// recipientTx finds who has an address.
func (t *Transport) recipientTx(ctx context.Context, tx *db.Tx, to message.Address) (*directory.Recipient, error) {
	if to.Domain == "" {
		return t.postmasterTx(ctx, tx, to)
	}
	return t.Directory.RecipientTx(ctx, tx, lookupForm(to))
}

// postmasterTx finds the postmaster of the server itself (RFC 5321 section 4.5.1). Where nobody is that, and for the
// postmasters of domains, there is no mailbox of last resort: those addresses are their organisations' to give out.
func (t *Transport) postmasterTx(ctx context.Context, tx *db.Tx, to message.Address) (*directory.Recipient, error) {
	_, above, _ := strings.Cut(t.Hostname, ".")
	for _, domain := range []string{t.Hostname, above} {
		if domain == "" {
			continue
		}
		r, err := t.Directory.RecipientTx(ctx, tx, to.Local+"@"+domain)
		if fault.KindOf(err) != fault.NotFound || err == nil {
			return r, err
		}
	}
	return nil, fault.New(fault.NotFound, fault.Address, "nobody is the postmaster of %s itself; write to that of a domain", t.Hostname)
}

// lookupForm is how the directory is asked for an address: without quotes, an international domain by its A-labels.
func lookupForm(a message.Address) string { return a.Local + "@" + message.FoldDomain(a.Domain) }
