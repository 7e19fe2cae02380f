package gate

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/netblock"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

const (
	// putOff is how long a triplet has to wait, within how long it must come back, and keptFor how long its network is known without
	// another message.
	putOff   = 5 * time.Minute
	within   = 2 * day
	keptFor  = 36 * day
	day      = 24 * time.Hour
	remember = 50_000 // of the known, in memory
)

// GreylistOptions are what a Greylist stands on. All but Exempt and the limits are needed.
type GreylistOptions struct {
	DB    *db.DB
	Clock clock.Clock
	Log   *slog.Logger
	// Off says that nobody is put off any more: nothing is asked, and Purge deletes all.
	Off bool
	// SPF says whether a client may send for the domain of its reverse-path. See mailauth.SPF.
	SPF func(ctx context.Context, c mailauth.Client) bool
	// Exempt are networks that are let in like this machine.
	Exempt []netip.Prefix
	// Waiting and Known are how many rows are kept of each; 1,000,000 where 0. Between two looks a tenth of Waiting may be added: beyond
	// that everybody is let in, since a flood must not stop the mail of others.
	Waiting, Known int64
}

// Greylist puts off those who were never seen (RFC 6647): whoever has a queue comes again. It is safe for concurrent use. Its owner calls
// Handle and Start.
type Greylist struct {
	GreylistOptions
	added                       atomic.Int64 // rows of greylist_waiting since they were last counted
	deferred, returned, vouched atomic.Uint64

	mu    sync.Mutex
	known *recent[string, time.Time] // when it was seen last, as the row has it
}

// NewGreylist returns a greylist.
func NewGreylist(o GreylistOptions) *Greylist {
	if o.Waiting <= 0 {
		o.Waiting = 1_000_000
	}
	if o.Known <= 0 {
		o.Known = 1_000_000
	}
	return &Greylist{GreylistOptions: o, known: newRecent[string, time.Time](remember, nil)}
}

const (
	selectKnown   = `SELECT seen FROM greylist_known WHERE name = $1 AND seen > $2`
	selectWaiting = `SELECT first FROM greylist_waiting WHERE triplet = $1 AND first > $2`
	insertWaiting = `INSERT INTO greylist_waiting (triplet, first) VALUES ($1, $2)
		ON CONFLICT (triplet) DO UPDATE SET first = excluded.first WHERE greylist_waiting.first <= $3`
	deleteWaiting = `DELETE FROM greylist_waiting WHERE triplet = $1`
	upsertKnown   = `INSERT INTO greylist_known (name, seen) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET seen = excluded.seen WHERE greylist_known.seen < excluded.seen`
)

// Pass returns what lets recipients of one message pass if its client is known: a network that came a second time, or a client that SPF
// allows to send for a domain from which mail came before, which is asked for once. Others are put off (Temporary Client), and known once
// they come again in time.
func (l *Greylist) Pass(c mailauth.Client) func(ctx context.Context, to message.Address) error {
	var asked, permitted bool
	return func(ctx context.Context, to message.Address) error {
		return l.pass(ctx, c, to, func() bool {
			if !asked {
				asked, permitted = true, l.permitted(ctx, c)
			}
			return permitted
		})
	}
}

func (l *Greylist) pass(ctx context.Context, c mailauth.Client, to message.Address, permitted func() bool) error {
	if exempt(l.Exempt).has(c.Address) {
		return nil
	}
	now := l.Clock.Now()
	// A message may be sent again from another server of those that share a queue.
	network, domain := netblock.Near(c.Address).String(), message.FoldDomain(c.From.Domain)
	vouched := network + " " + domain // what SPF said of them
	if l.isFresh(network, now) || l.isFresh(vouched, now) {
		return nil
	}
	triplet := tripletOf(network, c.From, to)
	var seen, ofDomain, first time.Time
	err := l.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if seen, err = timeTx(ctx, tx, selectKnown, network, now.Add(-keptFor)); err != nil || !seen.IsZero() {
			return err
		}
		if domain != "" {
			if ofDomain, err = timeTx(ctx, tx, selectKnown, domain, now.Add(-keptFor)); err != nil {
				return err
			}
		}
		first, err = timeTx(ctx, tx, selectWaiting, triplet, now.Add(-within))
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("greylist: %w", err)
	case !seen.IsZero():
		return l.learn(ctx, network, now, seen)
	case !ofDomain.IsZero() && permitted():
		l.vouched.Add(1)
		l.setFresh(vouched, now)
		return nil
	case first.IsZero():
		return l.putOff(ctx, c, to, triplet, now)
	case now.Sub(first) < putOff:
		l.deferred.Add(1)
		return later(putOff - now.Sub(first))
	}
	if err := l.admit(ctx, network, triplet, now); err != nil {
		return err
	}
	l.returned.Add(1)
	l.Log.InfoContext(ctx, "known from now on, as it came again", "network", network, "from", c.From.String(), "after", now.Sub(first).Round(time.Second))
	return nil
}

// permitted asks for SPF, as long as for lists.
func (l *Greylist) permitted(ctx context.Context, c mailauth.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, lookUpTime)
	defer cancel()
	return l.SPF(ctx, c)
}

// putOff writes down that the triplet was seen.
func (l *Greylist) putOff(ctx context.Context, c mailauth.Client, to message.Address, triplet string, now time.Time) error {
	if n := l.added.Add(1); n > max(l.Waiting/10, 1) {
		if n%1000 == 1 {
			l.Log.WarnContext(ctx, "so many strangers come that they are let in without being put off", "since", "the last purge", "triplets", n)
		}
		return nil
	}
	err := l.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, insertWaiting, triplet, now.UnixMicro(), now.Add(-within).UnixMicro())
		return err
	})
	if err != nil {
		return fmt.Errorf("greylist: %w", err)
	}
	l.deferred.Add(1)
	l.Log.InfoContext(ctx, "put off, as it was never seen", "remote", c.Address, "from", c.From.String(), "to", to.String())
	return later(putOff)
}

func later(wait time.Duration) error {
	return fault.New(fault.Temporary, fault.Client, "greylisted: you were not seen here before; try again in %d seconds", int((wait+time.Second-1)/time.Second))
}

// admit makes a network known.
func (l *Greylist) admit(ctx context.Context, network, triplet string, now time.Time) error {
	err := l.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if _, err := tx.Exec(ctx, deleteWaiting, triplet); err != nil {
			return err
		}
		return l.learnTx(ctx, tx, network, now)
	})
	if err != nil {
		return fmt.Errorf("greylist: %w", err)
	}
	return nil
}

// learn makes what is known known for longer, where its row is more than a day old.
func (l *Greylist) learn(ctx context.Context, name string, now, seen time.Time) error {
	if now.Sub(seen) < day {
		l.setFresh(name, seen)
		return nil
	}
	err := l.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return l.learnTx(ctx, tx, name, now) })
	if err != nil {
		return fmt.Errorf("greylist: %w", err)
	}
	return nil
}

func (l *Greylist) learnTx(ctx context.Context, tx *db.Tx, name string, now time.Time) error {
	if _, err := tx.Exec(ctx, upsertKnown, name, now.UnixMicro()); err != nil {
		return err
	}
	tx.OnCommit(func() { l.setFresh(name, now) })
	return nil
}

// Delivered returns what is to be done in the transaction that stores a message: the domain of its reverse-path is known if SPF proves
// it. It is nil where there is nothing to do, which is so all day once it was done.
func (l *Greylist) Delivered(v *mailauth.Verdict) func(context.Context, *db.Tx) error {
	if v.Local || v.Client.From.IsZero() || v.SPF.Result != dkim.Pass || exempt(l.Exempt).has(v.Client.Address) {
		return nil
	}
	domain, now := message.FoldDomain(v.Client.From.Domain), l.Clock.Now()
	if domain == "" || l.isFresh(domain, now) {
		return nil
	}
	return func(ctx context.Context, tx *db.Tx) error { return l.learnTx(ctx, tx, domain, now) }
}

func (l *Greylist) isFresh(name string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.known.find(name)
	return seen != nil && now.Sub(*seen) < day
}

func (l *Greylist) setFresh(name string, seen time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.known.get(name) = seen
}

// tripletOf names a triplet. The local part of the recipient is folded as the directory does; what a sender wrote there does not count.
func tripletOf(network string, from, to message.Address) string {
	text := strings.Join([]string{network, strings.ToLower(from.String()), strings.ToLower(to.String())}, "\x00")
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// timeTx reads a time; the zero time where there is no row.
func timeTx(ctx context.Context, tx *db.Tx, query, name string, after time.Time) (time.Time, error) {
	var micro int64
	err := tx.QueryRow(ctx, query, name, after.UnixMicro()).Scan(&micro)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	}
	return time.UnixMicro(micro).UTC(), nil
}

// GreylistStats is what a greylist counted since the start.
type GreylistStats struct{ Deferred, Returned, Vouched uint64 }

// Stats returns what was counted: recipients put off, networks that came again, and clients that a known domain's SPF vouched for.
func (l *Greylist) Stats() GreylistStats {
	return GreylistStats{l.deferred.Load(), l.returned.Load(), l.vouched.Load()}
}
