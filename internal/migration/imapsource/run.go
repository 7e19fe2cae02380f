package imapsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/migration"
)

// Core is where mail goes: the operator's verbs for migration.Mail.
type Core interface {
	OpenMail(context.Context, migration.Account) (migration.Opened, error)
	PlanMail(context.Context, migration.MailPlan) (migration.MailPlanned, error)
	CameMail(context.Context, migration.MailCame) (migration.MailNumbered, error)
	SyncMail(context.Context, migration.MailPage) (migration.MailSynced, error)
	RenumberMail(context.Context, migration.MailNumbers) (migration.MailFound, error)
	SettleMail(context.Context, migration.MailSettle) (migration.MailSynced, error)
	PassedMail(context.Context, migration.MailPassed) (migration.MailCount, error)
	DeliverMail(context.Context, migration.MailBatch, io.Reader) (migration.MailTaken, error)
}

// Options say what to import.
type Options struct {
	Organization string
	Server       Server
	// Name is the server's name in what is remembered: the same in each run.
	Name     string
	Accounts []Account
	// Parallel is how many accounts are read at once.
	Parallel int
	DryRun   bool
	// AcceptLoss goes on where more is gone at the source than is likely.
	AcceptLoss bool
	// Done hears of each account that was gone through, one after the other. It may be nil.
	Done func(*MailboxReport) error
	// Lost hears that an account's connection is lost, or not had, and when it is tried again; of several at once. It may be nil.
	Lost func(a Account, err error, pause time.Duration)
	// Sleep waits before the next attempt to connect.
	Sleep func(context.Context, time.Duration) error
}

// Run imports all accounts. What is wrong with an account or a message is in the report; the error says that the core, or ctx, is
// gone. The report is complete as far as the run came.
func Run(ctx context.Context, core Core, o Options) (*Report, error) {
	report := &Report{Organization: o.Organization, Server: o.Server.Address, DryRun: o.DryRun, Mailboxes: make([]*MailboxReport, len(o.Accounts))}
	for i, a := range o.Accounts {
		report.Mailboxes[i] = &MailboxReport{Address: a.Address, User: a.User, Error: "the run ended before it"}
	}
	var telling sync.Mutex
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(max(o.Parallel, 1))
	for i, a := range o.Accounts {
		if inner.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := inner.Err(); err != nil {
				return err
			}
			t := task{core: core, o: &o, account: a, report: report.Mailboxes[i]}
			t.report.Error = ""
			err := t.run(inner)
			if err != nil {
				t.report.Error = "the run ended within it: " + err.Error()
			}
			if o.Done != nil {
				telling.Lock()
				defer telling.Unlock()
				err = errors.Join(err, o.Done(t.report))
			}
			return err
		})
	}
	err := g.Wait()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return report, err
}

// task is the import of one account.
type task struct {
	core    Core
	o       *Options
	account Account
	report  *MailboxReport

	opened  migration.Opened
	c       *conn // nil while there is none
	losses  int   // of connections, since something was reached
	listed  []listed
	planned migration.MailPlanned
	full    bool // the mailbox has no room
}

// maxLosses is how often a connection is lost, or not had, before an account is given up.
const maxLosses = 8

// run returns an error only for what ends the whole run.
func (t *task) run(ctx context.Context) error {
	err := t.all(ctx)
	if t.c != nil && err == nil {
		t.c.quit()
	} else {
		t.drop()
	}
	var lost lostError
	var refused refusedError
	if err == nil || ctx.Err() == nil && (errors.As(err, &lost) || errors.As(err, &refused) || fault.As(err) != nil) {
		if err != nil {
			t.report.Error = err.Error()
		}
		return nil
	}
	return err
}

func (t *task) source() string { return t.o.Name + " " + t.account.User }

func (t *task) all(ctx context.Context) (err error) {
	t.opened, err = t.core.OpenMail(ctx, migration.Account{
		Organization: t.o.Organization, Address: t.account.Address, Source: t.source(), Dry: t.o.DryRun,
	})
	if err != nil {
		return err
	}
	if err := t.with(ctx, t.list); err != nil {
		return err
	}
	plan := migration.MailPlan{Mailbox: t.opened.Mailbox, Source: t.source()}
	for _, l := range t.listed {
		plan.Folders = append(plan.Folders, l.SourceFolder)
	}
	if t.o.DryRun || !t.o.AcceptLoss {
		plan.Dry = true // as what is planned in earnest renames folders already
		if t.planned, err = t.core.PlanMail(ctx, plan); err != nil {
			return err
		}
		why, err := t.loss(ctx)
		switch {
		case err != nil:
			return err
		case why != "" && t.o.DryRun:
			t.report.note("%s", why)
		case why != "":
			return refusedError{errors.New(why)}
		}
	}
	if plan.Dry = t.o.DryRun; !plan.Dry {
		if t.planned, err = t.core.PlanMail(ctx, plan); err != nil {
			return err
		}
	}
	size := int64(0)
	for i := range t.listed {
		if err := t.folder(ctx, i); err != nil {
			return err
		}
		size += t.listed[i].size
	}
	if room := t.opened.Quota - t.opened.Bytes; t.o.DryRun && size > room {
		t.report.note("the folders at the source have %d bytes, and the mailbox has room for %d", size, room)
	}
	for _, g := range t.planned.Gone {
		if err := t.gone(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// gone brings the end of a folder.
func (t *task) gone(ctx context.Context, g migration.GoneFolder) error {
	f := &FolderReport{Source: g.Name, Here: g.Path}
	t.report.Folders = append(t.report.Folders, f)
	if t.o.DryRun {
		return nil
	}
	return t.settle(ctx, f, g.Key, true)
}

func (t *task) settle(ctx context.Context, f *FolderReport, key int64, gone bool) error {
	for more := true; more; {
		s, err := t.core.SettleMail(ctx, migration.MailSettle{Mailbox: t.opened.Mailbox, Key: key, Gone: gone})
		if err != nil {
			return err
		}
		t.add(f, s)
		more = s.More
	}
	return nil
}

func (t *task) add(f *FolderReport, s migration.MailSynced) {
	f.Flagged, f.Removed, f.Kept = f.Flagged+s.Flagged, f.Removed+s.Removed, f.Kept+s.Kept
	t.dropped(s.Dropped)
}

func (t *task) dropped(keywords []string) {
	for _, k := range keywords {
		if !slices.Contains(t.report.Keywords, k) {
			t.report.Keywords = append(t.report.Keywords, k)
		}
	}
}

// with runs fn with a connection, again with another one when it is lost. fn says t.reached when it got somewhere.
func (t *task) with(ctx context.Context, fn func(context.Context) error) error {
	for {
		var err error
		if t.c == nil {
			t.c, err = t.o.Server.connect(ctx, t.account)
		}
		if err == nil {
			err = guarded("read the source", func() error { return fn(ctx) })
		}
		if err == nil {
			return nil
		}
		var lost lostError
		if !errors.As(err, &lost) || ctx.Err() != nil {
			return err
		}
		t.drop()
		if t.losses++; t.losses >= maxLosses {
			return fmt.Errorf("given up after %d attempts: %w", t.losses, err)
		}
		pause := min(time.Second<<(t.losses-1), 30*time.Second)
		if t.o.Lost != nil {
			t.o.Lost(t.account, err, pause)
		}
		if err := t.o.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func (t *task) reached() { t.losses = 0 }

func (t *task) drop() {
	if t.c != nil {
		t.c.close()
		t.c = nil
	}
}
