package transport

import (
	"context"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
)

// relay is the gateway that takes mail for an address whom nobody knows here; empty for none.
func (t *Transport) relay(to message.Address) string { return t.Relays[message.FoldDomain(to.Domain)] }

// relayTx is where mail for an address goes that nobody has here: nowhere, which is err, unless its domain is one that is moving here.
func (x *Transaction) relayTx(ctx context.Context, tx *db.Tx, to message.Address, err error) (reach, error) {
	t := x.transport
	route := t.relay(to)
	if route == "" {
		return reach{}, err
	}
	o, failed := t.Directory.DomainOrganizationTx(ctx, tx, message.FoldDomain(to.Domain))
	switch {
	case fault.KindOf(failed) == fault.NotFound && failed != nil:
		return reach{}, err
	case failed != nil:
		return reach{}, failed
	}
	return reach{organization: o.Key, id: o.ID, domain: to.Domain, away: []message.Address{to}, route: route}, x.watchTx(ctx, tx, o.Key, o.ID)
}

// callOut refuses a recipient whom the old side of a domain doesn't know either: what it would refuse later could only come back to
// senders, who may be forged. A user's mail waits in the queue while the old side doesn't answer; a stranger's waits where it is.
func (x *Transaction) callOut(ctx context.Context, r *reach, to message.Address) error {
	if r.route == "" || x.transport.Callout == nil {
		return nil
	}
	err := x.transport.Callout(ctx, r.route, to, !x.sender.Submitted && x.sender.From.IsZero())
	if x.sender.Submitted && fault.Is(err, fault.Temporary, fault.Address) {
		return nil
	}
	return err
}
