package transport

import (
	"context"
	"errors"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/trace"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// way counts the message, and tells of its arrival, from MAIL to the end of Store.
func (x *Transaction) way(err error, size int64) {
	n := &x.transport.stats.arrived
	if x.sender.Submitted {
		n = &x.transport.stats.submitted
	}
	switch kind := fault.KindOf(err); {
	case err == nil:
		n.stored.Add(1)
	case kind == fault.Internal || kind == fault.Temporary || kind == fault.Conflict:
		n.deferred.Add(1)
	default:
		n.refused.Add(1)
	}
	x.transport.Traces.Way(x.trace, x.begun, trace.Server, err, trace.Attribute{Key: "mail.submitted", Value: x.sender.Submitted},
		trace.Attribute{Key: "mail.bytes", Value: size}, trace.Attribute{Key: "mail.recipients", Value: len(x.accepted)})
}

// countDelivered counts the mailboxes that got the message.
func (x *Transaction) countDelivered() {
	for _, t := range x.targets {
		if folder, _ := x.folder(t); folder == mailbox.JunkID {
			x.transport.stats.junk.Add(1)
		} else {
			x.transport.stats.inbox.Add(1)
		}
	}
}

// step tells of what was done with the message.
func (x *Transaction) step(name string, started time.Time, err error, about ...trace.Attribute) {
	x.transport.Traces.Step(x.trace, name, started, trace.Internal, err, about...)
}

// errNotAll says that an attempt did not reach everybody.
var errNotAll = errors.New("not everybody was reached")

// Traced tells of each attempt that a courier makes, where anybody is told.
type Traced struct {
	Transport *Transport
	Next      queue.Courier
}

// Deliver implements queue.Courier.
func (c Traced) Deliver(ctx context.Context, to queue.Destination, m *queue.Message) []queue.Outcome {
	started := time.Now()
	outcomes := c.Next.Deliver(ctx, to, m)
	var n [3]int
	var last queue.Outcome
	var err error
	for _, o := range outcomes {
		n[o.Result]++
		if last = o; o.Result != queue.Delivered {
			err = errNotAll
		}
	}
	c.Transport.Traces.Step(m.Trace, "attempt", started, trace.Client, err,
		trace.Attribute{Key: "mail.destination", Value: to.Domain}, trace.Attribute{Key: "mail.route", Value: to.Route},
		trace.Attribute{Key: "server.address", Value: last.Host}, trace.Attribute{Key: "mail.tls", Value: last.TLS}, trace.Attribute{Key: "mail.status", Value: last.Status},
		trace.Attribute{Key: "mail.delivered", Value: n[queue.Delivered]}, trace.Attribute{Key: "mail.deferred", Value: n[queue.Deferred]},
		trace.Attribute{Key: "mail.failed", Value: n[queue.Failed]})
	return outcomes
}
