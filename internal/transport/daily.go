package transport

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
)

// Daily limits how many recipients users send to in a day of UTC's calendar. 0 means no limit, and what has none is not
// counted. An account is all organisations that have it; external is who is not of the sender's organisation.
type Daily struct {
	UserExternal    int // external recipients of a user; WorkMail's is 10,000
	AccountExternal int // external recipients of an account; WorkMail's is 100,000
	AccountTest     int // recipients of an account's messages from test domains, internal ones too; WorkMail's is 200
}

func (d Daily) on() bool { return d.UserExternal > 0 || d.AccountExternal > 0 || d.AccountTest > 0 }

// usage is what a submitted message takes of the limits of a day. It counts for the user who submits it, whoever it is sent
// as.
type usage struct {
	user                 string // the directory's key, which is unique on the server
	organization         int64
	account              string
	fromTest             bool // sent as an address in a test domain
	recipients, external int
}

// usageTx begins the usage of a message from the reverse-path; nil where nothing is limited.
func (t *Transport) usageTx(ctx context.Context, tx *db.Tx, o *directory.Organization, actor *directory.Entity, from message.Address) (*usage, error) {
	if !t.Daily.on() {
		return nil, nil
	}
	fromTest, err := t.fromTestTx(ctx, tx, from)
	if err != nil {
		return nil, err
	}
	return &usage{user: strconv.FormatInt(actor.Key, 10), organization: o.Key, account: o.Account, fromTest: fromTest}, nil
}

// fromTestTx reports whether one of the addresses that a message is sent as is in a test domain. It doesn't look where that
// is not limited.
func (t *Transport) fromTestTx(ctx context.Context, tx *db.Tx, as ...message.Address) (bool, error) {
	if t.Daily.AccountTest <= 0 {
		return false, nil
	}
	for _, a := range as {
		if a.Domain == "" {
			continue
		}
		if test, err := t.Directory.IsTestDomainTx(ctx, tx, message.FoldDomain(a.Domain)); test || err != nil {
			return test, err
		}
	}
	return false, nil
}

// with is the usage with one recipient more, of the organisation.
func (u usage) with(organization int64) usage {
	u.recipients++
	if organization != u.organization {
		u.external++
	}
	return u
}

// share is what a usage takes of one limit. The scopes are stored.
type share struct {
	scope   int64
	subject string
	n       int
	limit   int
	of      string
}

const (
	scopeUserExternal    = 1 // subject: the user
	scopeAccountExternal = 2 // subject: the account
	scopeAccountTest     = 3 // subject: the account
)

// shares returns what a usage takes of the limits that are set, in the order in which their rows are locked.
func (t *Transport) shares(u usage) []share {
	fromTest := 0
	if u.fromTest {
		fromTest = u.recipients
	}
	var taken []share
	for _, s := range []share{
		{scopeUserExternal, u.user, u.external, t.Daily.UserExternal, "external recipients per user and day"},
		{scopeAccountExternal, u.account, u.external, t.Daily.AccountExternal, "external recipients per account and day"},
		{scopeAccountTest, u.account, fromTest, t.Daily.AccountTest, "recipients per account and day from test domains"},
	} {
		if s.limit > 0 && s.n > 0 {
			taken = append(taken, s)
		}
	}
	return taken
}

const sentSoFar = `SELECT recipients FROM sent_recipients WHERE day = $1 AND scope = $2 AND subject = $3`

// lookTx refuses a recipient, the last of the usage after, for whom a limit leaves no room now. before is the usage without
// the recipient: a limit that the recipient takes nothing of is none of its business. It is a look, not a reservation.
func (t *Transport) lookTx(ctx context.Context, tx *db.Tx, before, after usage) error {
	now := t.Clock.Now()
	for _, s := range t.shares(after) {
		if s.scope != scopeAccountTest && after.external == before.external {
			continue
		}
		var sent int64
		err := tx.QueryRow(ctx, sentSoFar, dayOf(now), s.scope, s.subject).Scan(&sent)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("read the recipients of a day: %w", err)
		}
		if sent+int64(s.n) > int64(s.limit) {
			return s.exceeded(now)
		}
	}
	return nil
}

const addSent = `INSERT INTO sent_recipients (day, scope, subject, recipients) VALUES ($1, $2, $3, $4)
	ON CONFLICT (day, scope, subject) DO UPDATE SET recipients = sent_recipients.recipients + excluded.recipients
	RETURNING recipients`

// countTx counts a message, or refuses it where a limit leaves no room. It runs in the transaction that stores the message,
// behind everything else there: whatever befalls that transaction, what is stored is counted and what isn't is not, and the
// rows that all senders of an account share are locked for no longer than the commit takes.
func (t *Transport) countTx(ctx context.Context, tx *db.Tx, shares []share, now time.Time) error {
	for _, s := range shares {
		var sent int64
		if err := tx.QueryRow(ctx, addSent, dayOf(now), s.scope, s.subject, int64(s.n)).Scan(&sent); err != nil {
			return fmt.Errorf("count the recipients of a day: %w", err)
		}
		if sent > int64(s.limit) {
			return s.exceeded(now)
		}
	}
	return nil
}

func (s share) exceeded(now time.Time) error {
	return fault.New(fault.Limit, fault.Allowance, "the limit of %d %s leaves no room for this; the next day begins at %s",
		s.limit, s.of, now.UTC().Truncate(day).Add(day).Format(time.RFC3339))
}

const day = 24 * time.Hour

// dayOf is the number of a time's day in UTC, counted from 1970.
func dayOf(now time.Time) int64 { return now.Unix() / int64(day/time.Second) }
