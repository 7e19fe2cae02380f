package transport

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/intake"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// Add accepts a recipient, or refuses it and leaves the transaction as it was: Denied Address (mail from outside for
// somebody outside, or of a test domain), NotFound Address, State Address (nobody can receive there), Unsupported Address (it
// leads to another server, and nothing goes there), OverQuota and State Mailbox, Limit Address (too many), Limit
// Organization (too much of it waits for other servers), Limit Allowance (too many of a day, see Daily), TooLarge Message, Temporary Client (see
// Greylist), Temporary Address (see Options.Callout). Each mailbox gets one copy, however many recipients lead to it.
func (x *Transaction) Add(ctx context.Context, asked queue.Recipient) error {
	t, to := x.transport, asked.Address
	if len(x.accepted) >= t.Limits.Recipients {
		return limitFault("a message can have %d recipients; send the others another one", t.Limits.Recipients)
	}
	var r reach
	var used usage
	remote := false
	err := t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		r, err = x.resolveTx(ctx, tx, to)
		remote = fault.Is(err, fault.NotFound, fault.Domain) && x.sender.Submitted
		if remote || err == nil && len(r.away) > 0 {
			err = x.mayLeaveTx(ctx, tx, x.sender.From, to)
			if err == nil {
				err = t.Queue.RoomTx(ctx, tx, cmp.Or(r.organization, x.organization), x.sender.Size, !x.sender.Submitted)
			}
		}
		if err != nil || x.usage == nil {
			return err
		}
		used = x.usage.with(r.organization)
		return t.lookTx(ctx, tx, *x.usage, used)
	})
	if err != nil {
		return err
	}
	switch {
	case remote:
		r.away = []message.Address{to}
	case to.Domain == "":
		to.Domain = r.domain
		asked.Address = to
	}
	fresh := slices.DeleteFunc(slices.Clone(r.targets), func(t target) bool { return x.reached[t.mailbox] })
	whose := cmp.Or(r.organization, x.organization)
	added := slices.DeleteFunc(slices.Clone(r.away), func(a message.Address) bool { return x.sent[passageTo(whose, a)] })
	switch total := len(x.targets) + len(fresh); {
	case total > t.Limits.Mailboxes && len(x.targets) == 0:
		return tooManyMembers(to, t.Limits.Mailboxes)
	case len(x.sent)+len(added) > queue.MaxRecipients:
		return limitFault("a message can go to %d recipients on other servers; send the others another one", queue.MaxRecipients)
	case !remote && len(added) > 0 && len(x.forwards) >= maxForwards:
		return limitFault("a message can be passed on to other servers for %d addresses; send the others another one", maxForwards)
	case total > t.Limits.Mailboxes:
		return limitFault("a message can go to %d mailboxes; send the others another one", t.Limits.Mailboxes)
	}
	accepted := recipient{asked: asked, address: to.String(), organization: r.organization, passedOn: len(r.away) > 0, reach: r}
	if err := x.checkRoom(ctx, to, fresh); err != nil {
		if fault.KindOf(err) == fault.OverQuota {
			x.tellFull(ctx, accepted)
		}
		return err
	}
	if err := x.pass(ctx, to); err != nil {
		return err
	}
	if err := x.callOut(ctx, &r, to); err != nil {
		return err
	}
	for _, target := range fresh {
		x.reached[target.mailbox] = true
	}
	x.targets = append(x.targets, fresh...)
	if r.reports != nil && !slices.Contains(x.reports, *r.reports) {
		x.reports = append(x.reports, *r.reports)
	}
	x.accepted = append(x.accepted, accepted)
	x.goAway(&accepted, added)
	if x.usage != nil {
		*x.usage = used
	}
	return nil
}

// checkRoom refuses a recipient whose mailbox is full, and a group with such a member: nobody tells the sender later who did not
// get the message.
func (x *Transaction) checkRoom(ctx context.Context, to message.Address, targets []target) error {
	for _, target := range targets {
		err, known := x.room[target.mailbox]
		if !known {
			size := x.transport.cramped.size(x, target.mailbox)
			if x.resumed != nil { // all is known, so who has no room is found here, and keeps nobody else from the message
				size += int64(len(x.prefix(target, x.results())))
			}
			err = x.transport.Mailboxes.CheckRoom(ctx, target.mailbox, size)
			if x.room != nil {
				x.room[target.mailbox] = err
			}
		}
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

// reach is where mail for an address goes.
type reach struct {
	organization int64 // that the address is of
	id           directory.OrgID
	domain       string             // that it has, also where the sender named none
	group        directory.EntityID // empty for no group
	list         string             // the field that says so to its members; empty where none can
	targets      []target
	away         []message.Address // on other servers
	route        string            // by which gateway they are reached; empty for the usual way
	reports      *intake.Address   // nobody's, but of one who takes reports
}

// resolveTx returns where mail for an address of this server goes. For what is submitted NotFound Domain says that the recipient
// is on another server.
func (x *Transaction) resolveTx(ctx context.Context, tx *db.Tx, to message.Address) (reach, error) {
	t := x.transport
	found, domain, err := t.recipientTx(ctx, tx, to)
	to.Domain = domain
	switch {
	case err == nil:
	case fault.Is(err, fault.NotFound, fault.Domain) && !x.sender.Submitted:
		return reach{}, fault.New(fault.Denied, fault.Address, "%s is not served here, and mail is not relayed", to.Domain)
	case fault.Is(err, fault.NotFound, fault.Address):
		r, err := x.reportsTx(ctx, tx, to, err)
		if fault.Is(err, fault.NotFound, fault.Address) {
			return x.relayTx(ctx, tx, to, err)
		}
		return r, err
	default:
		return reach{}, err
	}
	return x.reachTx(ctx, tx, to, found)
}

// reachTx returns where mail for who has an address goes.
func (x *Transaction) reachTx(ctx context.Context, tx *db.Tx, to message.Address, found *directory.Recipient) (reach, error) {
	t, e := x.transport, &found.Entity
	r := reach{organization: e.OrgKey, id: found.Organization, domain: to.Domain}
	if err := x.watchTx(ctx, tx, e.OrgKey, found.Organization); err != nil {
		return reach{}, err
	}
	switch {
	case e.State != directory.Enabled:
		return x.relayTx(ctx, tx, to, fault.New(fault.NotFound, fault.Address, "nobody has the address %s", to))
	case e.Kind == directory.KindGroup:
		for i := range x.accepted { // named again and again, a group is read once and takes no more memory
			if known := x.accepted[i].reach; known.group == e.ID && known.organization == e.OrgKey {
				known.domain = to.Domain
				return known, nil
			}
		}
		if err := t.membersTx(ctx, tx, to, e, &r); err != nil {
			return reach{}, err
		}
		r.group, r.list = e.ID, listID(e)
		return r, nil
	case e.Role == directory.RoleRemote:
		err := t.awayTx(ctx, tx, to, e, &r)
		return r, err
	case e.Mailbox == 0:
		return reach{}, fault.New(fault.State, fault.Address, "%s has no mailbox", to)
	}
	r.targets = []target{{mailbox: mailbox.ID(e.Mailbox), address: to.String(), organization: e.OrgKey, id: r.id}}
	return r, nil
}

// membersTx adds where everybody in a group gets mail, and in the groups in it, once. Members who are disabled get nothing and stop
// nobody else's mail.
func (t *Transport) membersTx(ctx context.Context, tx *db.Tx, to message.Address, group *directory.Entity, r *reach) error {
	users, complete, err := t.Directory.MembersTx(ctx, tx, group, t.Limits.Mailboxes)
	if err != nil {
		return err
	}
	if !complete {
		return tooManyMembers(to, t.Limits.Mailboxes)
	}
	for i := range users {
		switch u := &users[i]; {
		case u.Role == directory.RoleRemote:
			if err := t.awayTx(ctx, tx, to, u, r); err != nil {
				return err
			}
		case u.Mailbox != 0:
			r.targets = append(r.targets, target{mailbox: mailbox.ID(u.Mailbox), address: u.Email, organization: u.OrgKey, id: r.id})
		}
	}
	if len(r.targets)+len(r.away) == 0 {
		return fault.New(fault.State, fault.Address, "the group %s has no member who can take mail", to)
	}
	return nil
}

// awayTx adds where the mailbox of a REMOTE_USER is. Its address must lead away from here: mail for a domain of ours would come back.
func (t *Transport) awayTx(ctx context.Context, tx *db.Tx, to message.Address, e *directory.Entity, r *reach) error {
	a, err := message.ParseAddress(e.Email)
	if err != nil {
		return fmt.Errorf("the address of user %s: %w", e.ID, err)
	}
	here, err := t.Directory.IsLocalDomainTx(ctx, tx, message.FoldDomain(a.Domain))
	if err != nil {
		return err
	}
	if here {
		return fault.New(fault.Unsupported, fault.Address, "%s leads to a mailbox on another server whose domain is served here; nothing says how mail gets there", to)
	}
	r.away = append(r.away, a)
	return nil
}

// tooManyMembers is no Limit: to send the message again would not help.
func tooManyMembers(to message.Address, limit int) error {
	return fault.New(fault.Unsupported, fault.Address, "the group %s reaches more than %d mailboxes, which is more than a message can go to", to, limit)
}

// recipientTx finds who has an address, and the domain that it has, or would have had.
func (t *Transport) recipientTx(ctx context.Context, tx *db.Tx, to message.Address) (r *directory.Recipient, domain string, err error) {
	if to.Domain == "" {
		return t.postmasterTx(ctx, tx, to)
	}
	r, err = t.Directory.RecipientTx(ctx, tx, lookupForm(to))
	return r, to.Domain, err
}

// postmasterTx finds the postmaster of the server itself (RFC 5321 section 4.5.1). Where nobody is that, and for the
// postmasters of domains, there is no mailbox of last resort: those addresses are their organisations' to give out.
func (t *Transport) postmasterTx(ctx context.Context, tx *db.Tx, to message.Address) (r *directory.Recipient, domain string, err error) {
	_, above, _ := strings.Cut(t.Hostname, ".")
	for _, domain := range []string{t.Hostname, above} {
		if domain == "" {
			continue
		}
		r, err := t.Directory.RecipientTx(ctx, tx, to.Local+"@"+domain)
		if fault.KindOf(err) != fault.NotFound || err == nil {
			return r, domain, err
		}
	}
	return nil, "", fault.New(fault.NotFound, fault.Address, "nobody is the postmaster of %s itself; write to that of a domain", t.Hostname)
}

// lookupForm is how the directory is asked for an address: without quotes, an international domain by its A-labels.
func lookupForm(a message.Address) string { return a.Local + "@" + message.FoldDomain(a.Domain) }
