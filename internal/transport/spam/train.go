package spam

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// class is what a message is counted as. The values are stored.
type class int64

const (
	none     class = 0
	spam     class = 1
	ham      class = 2
	presumed class = 3 // ham that nobody named so
)

func (c class) isHam() bool { return c == ham || c == presumed }

const (
	trainKind     = "spam-train"
	trainBatch    = 50      // messages that are read from the table at a time
	maxMessage    = 2 << 20 // bytes of a message that are looked at
	maxUserTokens = 50_000
	waits         = 7   // days that what can't be learned is tried for
	remembered    = 180 // days that what a message was counted as is known
	pruneBatch    = 500
	presumeAfter  = 24 * time.Hour
	presumeBatch  = 50                  // messages of ham that one job presumes
	presumeLook   = 500                 // the newest messages of a folder that it looks at
	presumeFrom   = 20                  // folders that it looks into
	broughtAtMost = 200                 // messages of either kind that are known, beyond which import adds none
	broughtFor    = 90 * 24 * time.Hour // how old what import brings can be to say something of today's mail
)

// FiledTx takes note of what a user did with messages. It is mailbox.Options.Filed.
func (s *Service) FiledTx(ctx context.Context, tx *db.Tx, f mailbox.Filed) error {
	c := none
	switch {
	case f.Junk:
		c = spam
	case f.NotJunk:
		c = ham
	case f.To == mailbox.JunkID:
		c = spam
	case f.From == mailbox.JunkID && f.Root != mailbox.TrashID && f.Root != mailbox.JunkID: // spam that is thrown away stays spam
		c = ham
	}
	if c == none {
		return nil
	}
	if f.Brought {
		var err error
		if f.Items, err = s.ofBrought(ctx, tx, f, c); err != nil || len(f.Items) == 0 {
			return err
		}
	}
	var items []int64
	named := make(map[mailbox.EmailID]bool, len(f.Items))
	for _, item := range slices.Backward(f.Items) { // PostgreSQL takes a key once a statement, and copies share it: the last stands
		if !named[item.Email] {
			named[item.Email] = true
			items = append(items, int64(item.Email), int64(item.UID))
		}
	}
	err := inBatches(items, 2, func(batch []int64) error {
		_, err := tx.Exec(ctx, `INSERT INTO spam_pending (mailbox, org, folder, class, since, stamp, day, brought, counted, email, uid) VALUES `+
			placeholders(9, len(batch)/2, 2, "($1, $2, $3, $4, $5, $6, $7, $8, FALSE, ", ")")+
			` ON CONFLICT (mailbox, email) DO UPDATE SET folder = excluded.folder, uid = excluded.uid, class = excluded.class, since = excluded.since,
stamp = excluded.stamp, day = excluded.day, brought = excluded.brought, counted = FALSE`,
			asArgs(batch, int64(f.Mailbox), int64(f.Org), int64(f.To), int64(c), int64(f.Since), id.Key(), s.Clock.Now().Unix()/86400, f.Brought)...)
		return err
	})
	if err != nil {
		return fmt.Errorf("note what a user says of messages: %w", err)
	}
	return job.EnqueueTx(ctx, tx, trainKind, f.Mailbox.String(), nil, s.Clock.Now())
}

// ofBrought returns the items that are learned of those that import brings: recent ones, and no more than make a filter good. A
// hoard of old spam would outweigh for long what is known of ham.
func (s *Service) ofBrought(ctx context.Context, tx *db.Tx, f mailbox.Filed, c class) ([]mailbox.FiledItem, error) {
	column := "spam"
	if c.isHam() {
		column = "ham"
	}
	var known int
	err := tx.QueryRow(ctx, `SELECT COALESCE((SELECT `+column+` FROM spam_corpus WHERE mailbox = $1), 0) + (SELECT COUNT(*) FROM spam_pending WHERE mailbox = $1 AND class = $2 AND NOT counted)`,
		int64(f.Mailbox), int64(c)).Scan(&known)
	if err != nil {
		return nil, fmt.Errorf("count what mailbox %s learns: %w", f.Mailbox, err)
	}
	since := s.Clock.Now().Add(-broughtFor)
	recent := slices.DeleteFunc(slices.Clone(f.Items), func(i mailbox.FiledItem) bool { return i.Received.Before(since) })
	return recent[max(0, len(recent)-max(0, broughtAtMost-known)):], nil
}

// Handle makes runner learn what users say of messages.
func (s *Service) Handle(runner *job.Runner) { runner.Handle(trainKind, s.train) }

// wish is a message that waits to be counted.
type wish struct {
	mailbox mailbox.ID
	email   mailbox.EmailID
	org     int64
	folder  mailbox.FolderID
	uid     mailbox.UID
	class   class
	since   mailbox.ModSeq
	stamp   int64
	day     int64
	counted bool // here; rspamd is still to be told
	brought bool // and for this mailbox alone: rspamd would learn the spam, and not the ham that is presumed beside it
}

func (s *Service) train(ctx context.Context, j job.Job) error {
	n, err := strconv.ParseInt(j.Key, 10, 64)
	if err != nil {
		return fmt.Errorf("the key of job %s: %w", j.Key, err)
	}
	box := mailbox.ID(n)
	var failed error // the first that failed, of which the others are not the less
	tell := s.Rspamd != nil && s.Rspamd.teaches()
	today := s.Clock.Now().Unix() / 86400
	for after := mailbox.EmailID(0); ; {
		wishes, err := s.pending(ctx, box, after)
		if err != nil {
			return err
		}
		for _, w := range wishes {
			after = w.email
			err := s.fulfil(ctx, w, tell)
			if err == nil {
				continue
			}
			if ctx.Err() != nil {
				return err
			}
			if untold := (*learnError)(nil); errors.As(err, &untold) && !untold.answered {
				tell = false // it may hang, and would for each
			}
			if w.day < today-waits {
				s.Log.WarnContext(ctx, "a message could not be learned for days and is given up", "mailbox", box, "error", err)
				err = s.DB.Write(ctx, w.done)
			}
			failed = cmp.Or(failed, err)
		}
		if len(wishes) < trainBatch {
			break
		}
	}
	if err := s.presume(ctx, box); err != nil {
		return err
	}
	if err := s.prune(ctx, box); err != nil {
		return err
	}
	return failed
}

const readPending = `SELECT email, org, folder, uid, class, since, stamp, day, counted, brought FROM spam_pending WHERE mailbox = $1 AND email > $2 ORDER BY email LIMIT $3`

func (s *Service) pending(ctx context.Context, box mailbox.ID, after mailbox.EmailID) (wishes []wish, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		wishes = wishes[:0]
		return tx.Each(ctx, func(row db.Row) error {
			w := wish{mailbox: box}
			if err := row.Scan(&w.email, &w.org, &w.folder, &w.uid, &w.class, &w.since, &w.stamp, &w.day, &w.counted, &w.brought); err != nil {
				return err
			}
			wishes = append(wishes, w)
			return nil
		}, readPending, int64(box), int64(after), trainBatch)
	})
	if err != nil {
		return nil, fmt.Errorf("read what mailbox %s is to learn: %w", box, err)
	}
	return wishes, nil
}

// fulfil counts a message, tells rspamd of it unless it was brought, and takes the wish away. Without tell what rspamd is to learn waits.
func (s *Service) fulfil(ctx context.Context, w wish, tell bool) error {
	teach := s.Rspamd != nil && s.Rspamd.teaches() && !w.brought
	if w.counted && teach && !tell {
		return nil
	}
	m, err := s.read(ctx, w)
	if err == nil && m == nil {
		m, err = s.search(ctx, w)
	}
	if err != nil {
		return err
	}
	if m == nil { // it is gone
		return s.DB.Write(ctx, w.done)
	}
	if !w.counted {
		err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			if err := s.countTx(ctx, tx, w, m); err != nil {
				return err
			}
			if !teach {
				return w.done(ctx, tx)
			}
			_, err := tx.Exec(ctx, `UPDATE spam_pending SET counted = TRUE WHERE mailbox = $1 AND email = $2 AND stamp = $3`,
				int64(w.mailbox), int64(w.email), w.stamp)
			return err
		})
		if err != nil {
			return fmt.Errorf("learn a message of mailbox %s: %w", w.mailbox, err)
		}
	}
	if teach && !tell {
		return nil
	}
	if teach {
		if err := s.Rspamd.learn(ctx, w.class == spam, m.bytes); err != nil {
			return err
		}
	}
	if teach || w.counted {
		return s.DB.Write(ctx, w.done)
	}
	return nil
}

// done takes the wish away, unless the user has another by now.
func (w wish) done(ctx context.Context, tx *db.Tx) error {
	_, err := tx.Exec(ctx, `DELETE FROM spam_pending WHERE mailbox = $1 AND email = $2 AND stamp = $3`, int64(w.mailbox), int64(w.email), w.stamp)
	return err
}

// readMessage is a message as it is learned.
type readMessage struct {
	bytes  []byte // without what was put in front of it here
	tokens []int64
	sender string
}

// read reads the message of a wish; nil where it is not there any more.
func (s *Service) read(ctx context.Context, w wish) (*readMessage, error) {
	for it, err := range s.Mailboxes.Fetch(ctx, w.mailbox, w.folder, mailbox.UIDs(w.uid), mailbox.WantBody, 0) {
		if err != nil {
			return nil, notThere(err)
		}
		if it.Email != w.email {
			return nil, nil
		}
		return s.readItem(ctx, it)
	}
	return nil, nil
}

// searched is how many messages are looked at to find one.
const searched = 500

// search reads the message of a wish where it is now, once it was moved on; nil where it is gone.
func (s *Service) search(ctx context.Context, w wish) (*readMessage, error) {
	places, err := s.Mailboxes.Touched(ctx, w.mailbox, w.since, func(mailbox.ItemID) bool { return false }, searched)
	if err != nil {
		return nil, notThere(err)
	}
	for _, p := range places {
		for it, err := range s.Mailboxes.Fetch(ctx, w.mailbox, p.Folder, mailbox.UIDs(p.UID), mailbox.WantItem, 0) {
			if err != nil {
				return nil, notThere(err)
			}
			if it.Email == w.email {
				w.folder, w.uid = p.Folder, p.UID
				return s.read(ctx, w)
			}
		}
	}
	return nil, nil
}

func (s *Service) readItem(ctx context.Context, it *mailbox.Item) (*readMessage, error) {
	m := &readMessage{sender: senderIn(it.Prefix)}
	c, err := s.Mailboxes.Open(ctx, it)
	if err != nil {
		return nil, notThere(err)
	}
	start := int64(len(it.Prefix))
	m.bytes, err = io.ReadAll(io.NewSectionReader(c, start, min(c.Size()-start, maxMessage)))
	if err := errors.Join(err, c.Close()); err != nil {
		return nil, fmt.Errorf("read a message to learn it: %w", err)
	}
	m.tokens = s.tokens(m.bytes)
	return m, nil
}

// countTx counts a message as what the wish says, and no longer as what it was counted as before.
func (s *Service) countTx(ctx context.Context, tx *db.Tx, w wish, m *readMessage) error {
	if _, err := s.Mailboxes.DetailsTx(ctx, tx, w.mailbox); err != nil { // rows of a mailbox that was purged meanwhile would stay
		return notThere(err)
	}
	// The row orders those who count for the mailbox.
	_, err := tx.Exec(ctx, `INSERT INTO spam_corpus (mailbox, spam, ham) VALUES ($1, 0, 0) ON CONFLICT (mailbox) DO UPDATE SET spam = spam_corpus.spam`, int64(w.mailbox))
	if err != nil {
		return err
	}
	var before class
	var version int64
	var name string
	err = tx.QueryRow(ctx, `SELECT class, version, sender FROM spam_trained WHERE mailbox = $1 AND email = $2`, int64(w.mailbox), int64(w.email)).
		Scan(&before, &version, &name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		before = none
	case err != nil:
		return err
	}
	if before == w.class || before == ham && w.class == presumed {
		return nil
	}
	now := s.Clock.Now()
	today := now.Unix() / 86400
	_, err = tx.Exec(ctx, `INSERT INTO spam_trained (mailbox, email, org, sender, class, version, day) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (mailbox, email) DO UPDATE SET org = excluded.org, sender = excluded.sender, class = excluded.class, version = excluded.version, day = excluded.day`,
		int64(w.mailbox), int64(w.email), w.org, m.sender, int64(w.class), tokenizerVersion, today)
	if err != nil {
		return err
	}
	if before != none {
		if err := s.reportTx(ctx, tx, sender{w.org, name}, before, -1, now); err != nil {
			return err
		}
	}
	if err := s.reportTx(ctx, tx, sender{w.org, m.sender}, w.class, 1, now); err != nil {
		return err
	}
	if before.isHam() && w.class.isHam() { // it is in the counts already
		return nil
	}
	take := before != none && version == tokenizerVersion
	if err := countTokensTx(ctx, tx, w.mailbox, m.tokens, w.class == spam, take, today); err != nil {
		return err
	}
	return s.countCorpusTx(ctx, tx, w, before)
}

// countTokensTx counts the tokens of a message as spam or ham, and takes them from the other kind.
func countTokensTx(ctx context.Context, tx *db.Tx, box mailbox.ID, tokens []int64, asSpam, take bool, today int64) error {
	column, other := "spam", "ham"
	values := "1, 0"
	if !asSpam {
		column, other, values = other, column, "0, 1"
	}
	return inBatches(tokens, 1, func(batch []int64) error {
		if take {
			_, err := tx.Exec(ctx, `UPDATE spam_token SET `+other+` = `+other+` - 1 WHERE mailbox = $1 AND `+other+` > 0 AND token IN (`+
				placeholders(2, len(batch), 1, "", "")+`)`, asArgs(batch, int64(box))...)
			if err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO spam_token (mailbox, seen, token, spam, ham) VALUES `+placeholders(3, len(batch), 1, "($1, $2, ", ", "+values+")")+
			` ON CONFLICT (mailbox, token) DO UPDATE SET `+column+` = spam_token.`+column+` + 1, seen = excluded.seen`,
			asArgs(batch, int64(box), today)...)
		return err
	})
}

// countCorpusTx counts the message itself.
func (s *Service) countCorpusTx(ctx context.Context, tx *db.Tx, w wish, before class) error {
	var moreSpam, moreHam int64
	switch {
	case w.class == spam && before.isHam():
		moreSpam, moreHam = 1, -1
	case w.class == spam:
		moreSpam = 1
	case before == spam:
		moreSpam, moreHam = -1, 1
	default:
		moreHam = 1
	}
	var now counts
	err := tx.QueryRow(ctx, `UPDATE spam_corpus SET spam = CASE WHEN spam + $2 > 0 THEN spam + $2 ELSE 0 END,
ham = CASE WHEN ham + $3 > 0 THEN ham + $3 ELSE 0 END WHERE mailbox = $1 RETURNING spam, ham`, int64(w.mailbox), moreSpam, moreHam).Scan(&now.spam, &now.ham)
	if err != nil {
		return err
	}
	tx.OnCommit(func() {
		s.learned(w.mailbox, now)
		switch w.class {
		case spam:
			s.stats.learnedSpam.Add(1)
		case ham:
			s.stats.learnedHam.Add(1)
		case presumed:
			s.stats.presumedHam.Add(1)
		}
	})
	return nil
}
