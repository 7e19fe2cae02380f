package server

import (
	"context"
	"io"

	"github.com/pennypost/pennypost/internal/migration"
)

// importVerbs bring mail from another server.
func (c *core) importVerbs(verbs map[string]verb) {
	m := c.mailImport
	verbs["import-mail-open"] = typed(func(ctx context.Context, r migration.Account) (migration.Opened, error) {
		return m.Open(ctx, operator, r)
	})
	verbs["import-mail-plan"] = typed(func(ctx context.Context, r migration.MailPlan) (migration.MailPlanned, error) {
		return m.Plan(ctx, operator, r)
	})
	verbs["import-mail-came"] = typed(func(ctx context.Context, r migration.MailCame) (migration.MailNumbered, error) {
		return m.Came(ctx, operator, r)
	})
	verbs["import-mail-sync"] = typed(func(ctx context.Context, r migration.MailPage) (migration.MailSynced, error) {
		return m.Sync(ctx, operator, r)
	})
	verbs["import-mail-renumber"] = typed(func(ctx context.Context, r migration.MailNumbers) (migration.MailFound, error) {
		return m.Renumber(ctx, operator, r)
	})
	verbs["import-mail-settle"] = typed(func(ctx context.Context, r migration.MailSettle) (migration.MailSynced, error) {
		return m.Settle(ctx, operator, r)
	})
	verbs["import-mail-passed"] = typed(func(ctx context.Context, r migration.MailPassed) (migration.MailCount, error) {
		return m.Passed(ctx, operator, r)
	})
	verbs["import-mail-deliver"] = streamed(func(ctx context.Context, r migration.MailBatch, body io.Reader) (migration.MailTaken, error) {
		return m.Deliver(ctx, operator, r, body)
	})
}

// OpenMail begins a run for an account.
func (o *Operator) OpenMail(ctx context.Context, r migration.Account) (out migration.Opened, err error) {
	return out, o.do(ctx, "import-mail-open", r, &out)
}

// PlanMail says where the folders of a source lead.
func (o *Operator) PlanMail(ctx context.Context, r migration.MailPlan) (out migration.MailPlanned, err error) {
	return out, o.do(ctx, "import-mail-plan", r, &out)
}

// CameMail lists what came from a folder.
func (o *Operator) CameMail(ctx context.Context, r migration.MailCame) (out migration.MailNumbered, err error) {
	return out, o.do(ctx, "import-mail-came", r, &out)
}

// SyncMail brings what changed in a range of a folder.
func (o *Operator) SyncMail(ctx context.Context, r migration.MailPage) (out migration.MailSynced, err error) {
	return out, o.do(ctx, "import-mail-sync", r, &out)
}

// RenumberMail finds messages again that have other UIDs.
func (o *Operator) RenumberMail(ctx context.Context, r migration.MailNumbers) (out migration.MailFound, err error) {
	return out, o.do(ctx, "import-mail-renumber", r, &out)
}

// SettleMail removes what was not found again.
func (o *Operator) SettleMail(ctx context.Context, r migration.MailSettle) (out migration.MailSynced, err error) {
	return out, o.do(ctx, "import-mail-settle", r, &out)
}

// PassedMail remembers how far a folder came.
func (o *Operator) PassedMail(ctx context.Context, r migration.MailPassed) (out migration.MailCount, err error) {
	return out, o.do(ctx, "import-mail-passed", r, &out)
}

// DeliverMail stores messages, whose bytes are body.
func (o *Operator) DeliverMail(ctx context.Context, r migration.MailBatch, body io.Reader) (out migration.MailTaken, err error) {
	return out, o.stream(ctx, "import-mail-deliver", r, body, &out)
}
