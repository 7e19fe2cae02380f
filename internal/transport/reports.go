package transport

import (
	"context"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/transport/intake"
)

// reportsTx is where mail for an address goes that nobody has: nowhere, which is err, unless it takes reports.
func (x *Transaction) reportsTx(ctx context.Context, tx *db.Tx, to message.Address, err error) (reach, error) {
	if x.transport.Reports == nil {
		return reach{}, err
	}
	a, failed := x.transport.Reports.AddressTx(ctx, tx, to)
	switch {
	case failed != nil:
		return reach{}, failed
	case a == nil:
		return reach{}, err
	}
	return reach{organization: a.Key, id: a.Organization, reports: a}, x.watchTx(ctx, tx, a.Key, a.Organization)
}

// readReports reads the message for those of its recipients that take reports.
func (x *Transaction) readReports(ctx context.Context, m []byte) (err error) {
	if len(x.reports) == 0 {
		return nil
	}
	sender := ""
	if j := x.judgement; j != nil && j.verdict.DMARC.Result == dkim.Pass {
		sender = j.verdict.DMARC.From
	}
	if x.keep, err = x.transport.Reports.Receive(ctx, m, sender, x.reports); err != nil {
		return fault.Wrap(err, fault.Temporary, fault.Message, "the report could not be read in time; send it again")
	}
	return nil
}

// reportsHere returns whose an address is that takes reports here; nil for any other.
func (t *Transport) reportsHere(ctx context.Context, to message.Address) (a *intake.Address, err error) {
	if t.Reports == nil {
		return nil, nil
	}
	err = t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		if _, _, err := t.recipientTx(ctx, tx, to); !fault.Is(err, fault.NotFound, fault.Address) {
			return err
		}
		a, err = t.Reports.AddressTx(ctx, tx, to)
		return err
	})
	if fault.KindOf(err) == fault.NotFound && err != nil {
		err = nil // it is on another server
	}
	return a, err
}
