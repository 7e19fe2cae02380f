package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
)

const (
	// fillingKind are the jobs that tell owners that their mailboxes are nearly full. The key is the mailbox.
	fillingKind = "nearly-full-notice"
	// importRest is how long nothing more is brought to a mailbox before its owner is told: an import is then taken to be over.
	importRest = time.Hour
)

// errRoom says that a mailbox is not nearly full any more.
var errRoom = errors.New("the mailbox has room again")

// FillingTx orders the notice to the owner of a mailbox that is nearly full. It is mailbox.Options.Filling.
func (t *Transport) FillingTx(ctx context.Context, tx *db.Tx, f mailbox.Filling) error {
	due := t.Clock.Now()
	if f.Brought {
		waits, err := job.CancelTx(ctx, tx, fillingKind, f.Mailbox.String())
		if err != nil || !waits && !f.Crossed {
			return err
		}
		due = due.Add(importRest)
	}
	return job.EnqueueTx(ctx, tx, fillingKind, f.Mailbox.String(), f.Mailbox, due)
}

// tellFilling tells the owner of a mailbox once, whatever befalls, that it is nearly full: if it still is, and not twice in 24 hours. What
// comes in between is told at their end, if it still is so then. The job notes it in the transaction that stores the notice. A mailbox
// that has no room for a notice gets none.
func (t *Transport) tellFilling(ctx context.Context, j job.Job) error {
	var told bool
	if found, err := j.Progress(&told); err != nil || found && told {
		return err
	}
	var box mailbox.ID
	if err := j.Decode(&box); err != nil {
		return err
	}
	d, err := t.Mailboxes.Details(ctx, box)
	var warned time.Time
	if err == nil {
		warned, err = t.Mailboxes.Warned(ctx, box)
	}
	switch {
	case fault.Is(err, fault.NotFound, fault.Mailbox):
		return nil
	case err != nil:
		return err
	case d.State != mailbox.Open || !d.NearlyFull():
		return nil
	}
	now := t.Clock.Now()
	if next := warned.Add(day); now.Before(next) {
		return t.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			return job.EnqueueTx(ctx, tx, fillingKind, j.Key, box, next)
		})
	}
	var to target
	err = t.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		e, err := t.Directory.EntityByIDTx(ctx, tx, int64(d.Owner.Org), directory.EntityID(d.Owner.Entity))
		if err != nil {
			return err
		}
		o, err := t.Directory.OrganizationByKeyTx(ctx, tx, e.OrgKey)
		if err != nil {
			return err
		}
		to = target{mailbox: box, address: e.Email, organization: o.Key, id: o.ID}
		return nil
	})
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	address, err := message.ParseAddress(to.address)
	if err != nil {
		return nil // its owner is disabled, or gone, by now
	}
	n := &notice{to: address, trace: id.UUID(), text: t.filledText(address, d, now), unwarned: true}
	err = t.deliverNotice(ctx, n, &reach{targets: []target{to}}, func(ctx context.Context, tx *db.Tx) error {
		switch still, err := t.Mailboxes.WarnedTx(ctx, tx, box, now); {
		case err != nil:
			return err
		case !still:
			return errRoom
		}
		return j.SaveTx(ctx, tx, true)
	})
	switch {
	case err == nil:
	case errors.Is(err, errRoom):
		return nil
	case ctx.Err() == nil && j.Attempts+1 >= maxReplyTries:
		t.Log.ErrorContext(ctx, "an owner is not told of a mailbox that is nearly full", "to", to.address, "trace", n.trace, "error", err)
		return nil
	default:
		return fmt.Errorf("tell %s of a mailbox that is nearly full: %w", address, err)
	}
	t.Log.InfoContext(ctx, "a mailbox is nearly full", "to", to.address, "bytes", d.Bytes, "quota", d.Quota, "trace", n.trace)
	return nil
}

// filledText is the notice.
func (t *Transport) filledText(to message.Address, d mailbox.Details, now time.Time) []byte {
	megabytes := func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/(1<<20)) }
	percent := d.Bytes * 100 / max(d.Quota, 1)
	encoding := ""
	if !to.IsASCII() {
		encoding = "Content-Transfer-Encoding: 8bit\r\n"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: \"Mail Delivery System\" <MAILER-DAEMON@%s>\r\nTo: <%s>\r\nSubject: Your mailbox is nearly full (%d %%)\r\nDate: %s\r\nMessage-ID: <%s@%[1]s>\r\n",
		t.Hostname, to, percent, now.Format("Mon, 2 Jan 2006 15:04:05 -0700"), id.UUID())
	fmt.Fprintf(&b, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n%s\r\n", encoding)
	fmt.Fprintf(&b, "This is the mail system at %s. The mailbox of\r\n\r\n  %s\r\n\r\nholds %s of the %s that it may, which is %d %%. Once it is full, mail for it is\r\nrefused, and who sent it is told so.\r\n",
		t.Hostname, to, megabytes(d.Bytes), megabytes(d.Quota), percent)
	b.WriteString("\r\nDelete what you do not need, large messages first, and empty Deleted Items and\r\nJunk E-mail: what lies there counts too. Or ask your administrator for a larger\r\nmailbox.\r\n")
	return b.Bytes()
}
