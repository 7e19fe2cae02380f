package spam

import (
	"context"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// ForgetTx removes up to limit rows about a mailbox that is being purged, and returns how many. It is for mailbox.Options.Forget.
func (s *Service) ForgetTx(ctx context.Context, tx *db.Tx, box mailbox.ID, limit int) (int, error) {
	total := 0
	for _, t := range []struct{ table, key string }{
		{"spam_pending", "email"}, {"spam_trained", "email"}, {"spam_token", "token"}, {"spam_corpus", "mailbox"},
	} {
		n, err := tx.Exec(ctx, `DELETE FROM `+t.table+` WHERE mailbox = $1 AND `+t.key+` IN (SELECT `+t.key+` FROM `+t.table+` WHERE mailbox = $1 LIMIT $2)`,
			int64(box), limit-total)
		if err != nil {
			return total, fmt.Errorf("forget what mailbox %s learned: %w", box, err)
		}
		if total += int(n); total >= limit {
			return total, nil
		}
	}
	tx.OnCommit(func() { s.learned(box, counts{}) })
	return total, nil
}

const (
	learners = `SELECT mailbox FROM spam_corpus UNION SELECT mailbox FROM spam_token UNION SELECT mailbox FROM spam_pending
UNION SELECT mailbox FROM spam_trained ORDER BY 1`
	knowers = `SELECT DISTINCT org FROM spam_sender ORDER BY org`
)

// Check looks for what was learned for mailboxes and organisations that are gone, and returns a line per find.
func (s *Service) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	boxes, err := column(ctx, tx, learners)
	if err != nil {
		return nil, err
	}
	for _, id := range boxes {
		_, err := s.Mailboxes.DetailsTx(ctx, tx, mailbox.ID(id))
		switch {
		case fault.Is(err, fault.NotFound, fault.Mailbox):
			faults = append(faults, fmt.Sprintf("spam: something of mailbox %s, which does not exist", mailbox.ID(id)))
		case err != nil:
			return nil, err
		}
	}
	orgs, err := column(ctx, tx, knowers)
	if err != nil {
		return nil, err
	}
	for _, key := range orgs {
		o, err := s.Directory.OrganizationByKeyTx(ctx, tx, key)
		switch {
		case fault.Is(err, fault.NotFound, fault.Organization), err == nil && o.State == directory.OrgDeleted:
			faults = append(faults, fmt.Sprintf("spam: senders that organization %d knows, which does not exist", key))
		case err != nil:
			return nil, err
		}
	}
	return faults, nil
}

// column returns what a query finds, whose rows are one number each.
func column(ctx context.Context, tx *db.Tx, query string) (numbers []int64, err error) {
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("check what was learned of spam: %w", err)
	}
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		numbers = append(numbers, n)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("check what was learned of spam: %w", err)
	}
	return numbers, nil
}
