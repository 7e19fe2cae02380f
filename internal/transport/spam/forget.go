package spam

import (
	"context"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
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

// Check looks for what was learned for mailboxes that are gone, and returns a line per find.
func (s *Service) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	rows, err := tx.Query(ctx, `SELECT mailbox FROM spam_corpus ORDER BY mailbox`)
	if err != nil {
		return nil, fmt.Errorf("check what was learned of spam: %w", err)
	}
	var boxes []mailbox.ID
	for rows.Next() {
		var id mailbox.ID
		if err := rows.Scan(&id); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		boxes = append(boxes, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("check what was learned of spam: %w", err)
	}
	for _, id := range boxes {
		_, err := s.Mailboxes.DetailsTx(ctx, tx, id)
		switch {
		case fault.Is(err, fault.NotFound, fault.Mailbox):
			faults = append(faults, fmt.Sprintf("spam: words of mailbox %s, which does not exist", id))
		case err != nil:
			return nil, err
		}
	}
	return faults, nil
}
