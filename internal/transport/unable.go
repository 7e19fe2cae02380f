package transport

import (
	"context"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// unable is one for whom another server took the message, and who can't get it.
type unable struct {
	asked          queue.Recipient
	organization   int64 // that has the domain; 0 where none has
	reason, status string
	told           bool // the organisation's log group was told
}

// Lose notes that a message that another server took (Sender.Taken) does not reach a recipient, for the fault that Add gave. Its
// organisation is told, and so is its sender where the message is proven to be from there, with the transaction that stores the message
// for the others, or for nobody.
func (x *Transaction) Lose(ctx context.Context, asked queue.Recipient, why *fault.Error) error {
	u := unable{asked: asked, reason: why.Message, status: statusOf(why), told: why.Kind == fault.OverQuota}
	err := x.transport.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := x.transport.Directory.DomainOrganizationTx(ctx, tx, message.FoldDomain(asked.Address.Domain))
		switch {
		case err == nil:
			u.organization = o.Key
			return x.watchTx(ctx, tx, o.Key, o.ID)
		case fault.KindOf(err) == fault.NotFound:
			return nil
		}
		return err
	})
	if err == nil {
		x.unable = append(x.unable, u)
	}
	return err
}

// statusOf is the enhanced status code (RFC 3463) of what Add refuses.
func statusOf(why *fault.Error) string {
	switch why.Kind {
	case fault.NotFound:
		return "5.1.1"
	case fault.OverQuota:
		return "5.2.2"
	case fault.State:
		return "5.2.1"
	case fault.Limit:
		return "5.5.3"
	}
	return "5.7.1"
}

// unableEvents are the events of those of an organisation who can't get the message.
func (x *Transaction) unableEvents(org int64) (events []any) {
	for _, u := range x.unable {
		if u.organization == org && !u.told {
			events = append(events, mailRecord{bouncedEvent(incomingBounced, u.asked.Address.String(), u.reason, u.status), x.trace})
		}
	}
	return events
}
