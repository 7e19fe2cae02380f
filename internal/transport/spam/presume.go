package spam

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// notThere turns the fault of what is gone into nothing.
func notThere(err error) error {
	if f := fault.As(err); f != nil && f.Kind == fault.NotFound {
		return nil
	}
	return err
}

// presume counts messages as ham that a user who calls messages spam has read and left where they are, so that there are as many as of
// spam. Where there are not enough yet it looks again in a day.
func (s *Service) presume(ctx context.Context, box mailbox.ID) error {
	var c counts
	err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		err := tx.QueryRow(ctx, `SELECT spam, ham FROM spam_corpus WHERE mailbox = $1`, int64(box)).Scan(&c.spam, &c.ham)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read what mailbox %s learned: %w", box, err)
	}
	if c.spam == 0 {
		return nil
	}
	want := int(min(max(c.spam, MinTrained)-c.ham, presumeBatch))
	if want <= 0 {
		return nil
	}
	details, err := s.Mailboxes.Details(ctx, box)
	if err != nil {
		return notThere(err)
	}
	list, err := s.Mailboxes.Folders(ctx, box)
	if err != nil {
		return notThere(err)
	}
	parents := make(map[mailbox.FolderID]mailbox.FolderID, len(list.Folders))
	for _, f := range list.Folders {
		parents[f.ID] = f.Parent
	}
	looked := 0
	for _, f := range list.Folders {
		switch f.Use {
		case mailbox.Drafts, mailbox.Sent, mailbox.Trash, mailbox.JunkMail:
			continue
		}
		root := f.ID
		for parents[root] != 0 {
			root = parents[root]
		}
		if f.Kind != mailbox.Mail || f.Messages == 0 || root == mailbox.JunkID || root == mailbox.TrashID {
			continue
		}
		if looked++; looked > presumeFrom || want == 0 {
			break
		}
		n, err := s.presumeIn(ctx, details, f, want)
		if err != nil {
			return err
		}
		want -= n
	}
	if want > 0 && c.spam >= MinTrained/2 { // it is worth waiting for
		return s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			return job.EnqueueTx(ctx, tx, trainKind, box.String(), nil, s.Clock.Now().Add(presumeAfter))
		})
	}
	return nil
}

// presumeIn counts up to want messages of a folder as ham, the newest first, and returns how many.
func (s *Service) presumeIn(ctx context.Context, d mailbox.Details, f mailbox.Folder, want int) (int, error) {
	first := mailbox.UID(1)
	if f.UIDNext > presumeLook {
		first = f.UIDNext - presumeLook
	}
	before := s.Clock.Now().Add(-presumeAfter)
	var found []wish
	for it, err := range s.Mailboxes.Fetch(ctx, d.ID, f.ID, mailbox.UIDSet{{First: first, Last: mailbox.MaxUID}}, mailbox.WantItem, 0) {
		if err != nil {
			return 0, notThere(err)
		}
		if it.Flags.Has(mailbox.Seen) && it.Flags&(mailbox.Deleted|mailbox.Draft|mailbox.Junk|mailbox.Phishing) == 0 && !it.Saved.After(before) {
			found = append(found, wish{mailbox: d.ID, email: it.Email, org: int64(d.Owner.Org), folder: f.ID, uid: it.UID, class: presumed})
		}
	}
	n := 0
	for i := len(found) - 1; i >= 0 && n < want; i-- {
		known, err := s.knows(ctx, found[i])
		if err != nil {
			return n, err
		}
		if known {
			continue
		}
		m, err := s.read(ctx, found[i])
		if err != nil {
			return n, err
		}
		if m == nil {
			continue
		}
		if err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return s.presumeTx(ctx, tx, found[i], m) }); err != nil {
			return n, fmt.Errorf("learn a message of mailbox %s: %w", d.ID, err)
		}
		n++
	}
	return n, nil
}

// presumeTx counts a message as ham, unless the user said anything of it meanwhile.
func (s *Service) presumeTx(ctx context.Context, tx *db.Tx, w wish, m *readMessage) error {
	var n int64
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM spam_trained WHERE mailbox = $1 AND email = $2`, int64(w.mailbox), int64(w.email)).Scan(&n)
	if err != nil || n > 0 {
		return err
	}
	return s.countTx(ctx, tx, w, m)
}

func (s *Service) knows(ctx context.Context, w wish) (known bool, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		var n int64
		err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM spam_trained WHERE mailbox = $1 AND email = $2`, int64(w.mailbox), int64(w.email)).Scan(&n)
		known = n > 0
		return err
	})
	return known, err
}

const forgetTrained = `DELETE FROM spam_trained WHERE mailbox = $1 AND email IN
	(SELECT email FROM spam_trained WHERE mailbox = $1 AND day < $2 ORDER BY email LIMIT $3)`

// prune keeps what is known of a mailbox bounded: what messages were counted as goes with time, and the rarest and oldest of too many
// tokens.
func (s *Service) prune(ctx context.Context, box mailbox.ID) error {
	today := s.Clock.Now().Unix() / 86400
	err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, forgetTrained, int64(box), today-remembered, pruneBatch)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget what messages of mailbox %s were counted as: %w", box, err)
	}
	excess, err := s.excess(ctx, box)
	if err != nil || len(excess) == 0 {
		return err
	}
	for len(excess) > 0 {
		n := min(len(excess), pruneBatch)
		err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			return inBatches(excess[:n], 1, func(batch []int64) error {
				_, err := tx.Exec(ctx, `DELETE FROM spam_token WHERE mailbox = $1 AND token IN (`+placeholders(2, len(batch), 1, "", "")+`)`,
					asArgs(batch, int64(box))...)
				return err
			})
		})
		if err != nil {
			return fmt.Errorf("forget tokens of mailbox %s: %w", box, err)
		}
		excess = excess[n:]
	}
	return nil
}

// excess returns the tokens that are too many, with room for some more, the rarest and oldest.
func (s *Service) excess(ctx context.Context, box mailbox.ID) (tokens []int64, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		tokens = tokens[:0]
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM spam_token WHERE mailbox = $1`, int64(box)).Scan(&n); err != nil {
			return err
		}
		if n <= s.maxTokens() {
			return nil
		}
		tokens, err = db.All(ctx, tx, db.Value[int64], `SELECT token FROM spam_token WHERE mailbox = $1 ORDER BY spam + ham, seen, token LIMIT $2`,
			int64(box), n-s.maxTokens()*9/10)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for tokens of mailbox %s that are too many: %w", box, err)
	}
	return tokens, nil
}

func (s *Service) maxTokens() int {
	if s.MaxTokens > 0 {
		return s.MaxTokens
	}
	return maxUserTokens
}
