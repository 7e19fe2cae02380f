package spam

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
)

// sender is who sends to whom.
type sender struct {
	org  int64
	name string
}

// reputation gathers deliveries until they are written.
type reputation struct {
	mu        sync.Mutex
	delivered map[sender]int
}

const (
	halfLife    = 30 * 24 * time.Hour
	flushEvery  = time.Minute
	maxGathered = 10_000 // senders between two writes; of more, deliveries are not counted
	flushBatch  = 200    // senders in one transaction
	forgetBelow = 0.05   // faded counts of a sender that is forgotten
	forgetEvery = 24 * time.Hour
	forgetBatch = 1000
	maxSenders  = 50_000
	agreeing    = 3 // users whose word takes mail from their colleagues
	reputable   = 20
)

// epoch is when a count weighs 1: 2026-01-01 UTC, in seconds.
const epoch = 1_767_225_600

// weight is what a count weighs that is made at a time: twice as much as one half-life before. A float64 holds eighty years of it.
func weight(t time.Time) float64 {
	return math.Exp2(float64(t.Sub(time.Unix(epoch, 0))) / float64(halfLife))
}

// Delivered counts a message that was stored for the recipients that were judged. What went to Junk E-mail is not counted: nobody says
// more of it, and a bad sender would become better by sending more.
func (s *Service) Delivered(j *Judgement) {
	if j == nil || j.sender == "" {
		return
	}
	r := &s.reputation
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.delivered == nil {
		r.delivered = map[sender]int{}
	}
	for _, o := range j.opinions {
		if o.Spam() {
			continue
		}
		k := sender{o.org, j.sender}
		if _, known := r.delivered[k]; known || len(r.delivered) < maxGathered {
			r.delivered[k]++
		}
	}
}

// Run writes the counts of deliveries now and then, and forgets senders that are long gone, until ctx ends. What can't be written is kept.
func (s *Service) Run(ctx context.Context) error {
	var forgotten time.Time
	for {
		if now := s.Clock.Now(); now.Sub(forgotten) >= forgetEvery {
			if err := s.forgetSenders(ctx, now); err != nil && ctx.Err() == nil {
				s.Log.WarnContext(ctx, "senders that are long gone could not be forgotten; it is tried again", "error", err)
			}
			forgotten = now
		}
		err := s.Clock.Sleep(ctx, flushEvery)
		last, end := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		if err := s.Flush(last); err != nil {
			s.Log.WarnContext(ctx, "the deliveries of senders could not be counted; it is tried again", "error", err)
		}
		end()
		if err != nil {
			return err
		}
	}
}

const flushTimeout = 10 * time.Second

const (
	countSenders = `SELECT COUNT(*) FROM (SELECT 1 FROM spam_sender WHERE org = $1 LIMIT $2) AS known`
	addToKnown   = `UPDATE spam_sender SET delivered = delivered + $3 WHERE org = $1 AND sender = $2`
	addDelivered = `INSERT INTO spam_sender (org, sender, delivered, junk, good, reporters) VALUES ($1, $2, $3, 0, 0, 0)
ON CONFLICT (org, sender) DO UPDATE SET delivered = spam_sender.delivered + excluded.delivered`
)

// room returns how many senders more each of the organisations may have.
func (s *Service) room(ctx context.Context, gathered map[sender]int) (map[int64]int, error) {
	most := cmp.Or(s.MaxSenders, maxSenders)
	room := map[int64]int{}
	err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		clear(room)
		for k := range gathered {
			if _, known := room[k.org]; known {
				continue
			}
			var n int
			if err := tx.QueryRow(ctx, countSenders, k.org, most).Scan(&n); err != nil {
				return err
			}
			room[k.org] = most - n
		}
		return nil
	})
	return room, err
}

// Flush writes the counts of deliveries. Anybody can send from ever new domains, so an organisation that knows MaxSenders gets no new ones
// by it, but by its users' reports.
func (s *Service) Flush(ctx context.Context) error {
	r := &s.reputation
	r.mu.Lock()
	gathered := r.delivered
	r.delivered = nil
	r.mu.Unlock()
	if len(gathered) == 0 {
		return nil
	}
	room, err := s.room(ctx, gathered)
	if err != nil {
		s.giveBack(gathered)
		return fmt.Errorf("count the senders that are known: %w", err)
	}
	w := weight(s.Clock.Now())
	keys := slices.SortedFunc(maps.Keys(gathered), func(a, b sender) int {
		return cmp.Or(cmp.Compare(a.org, b.org), strings.Compare(a.name, b.name))
	})
	for batch := range slices.Chunk(keys, flushBatch) {
		var left map[int64]int
		err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			left = maps.Clone(room)
			stays := map[int64]bool{}
			for _, k := range batch {
				if _, known := stays[k.org]; !known {
					o, err := s.Directory.OrganizationByKeyTx(ctx, tx, k.org)
					if notThere(err) != nil {
						return err
					}
					stays[k.org] = err == nil && o.State == directory.OrgActive
				}
				if !stays[k.org] { // nobody would remove it
					continue
				}
				n, err := tx.Exec(ctx, addToKnown, k.org, k.name, w*float64(gathered[k]))
				if err == nil && n == 0 && left[k.org] > 0 {
					left[k.org]--
					_, err = tx.Exec(ctx, addDelivered, k.org, k.name, w*float64(gathered[k]))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			s.giveBack(gathered)
			return fmt.Errorf("count what senders delivered: %w", err)
		}
		room = left
		for _, k := range batch {
			delete(gathered, k)
		}
	}
	return nil
}

func (s *Service) giveBack(gathered map[sender]int) {
	r := &s.reputation
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, n := range r.delivered {
		gathered[k] += n
	}
	r.delivered = gathered
}

const (
	readSenders  = `SELECT org, sender, delivered + junk + good FROM spam_sender WHERE (org, sender) > ($1, $2) ORDER BY org, sender LIMIT $3`
	forgetSender = `DELETE FROM spam_sender WHERE org = $1 AND sender = $2 AND delivered + junk + good < $3`
)

// forgetSenders looks for those that are long gone outside of writes, which others wait for.
func (s *Service) forgetSenders(ctx context.Context, now time.Time) error {
	below := forgetBelow * weight(now)
	var last sender
	for n := forgetBatch; n == forgetBatch; {
		var faded []sender
		err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			faded, n = faded[:0], 0
			rows, err := tx.Query(ctx, readSenders, last.org, last.name, forgetBatch)
			if err != nil {
				return err
			}
			defer rows.Close()
			var k sender
			for ; rows.Next(); n++ {
				var sum float64
				if err := rows.Scan(&k.org, &k.name, &sum); err != nil {
					return err
				}
				if sum < below {
					faded = append(faded, k)
				}
			}
			if err := rows.Err(); err != nil {
				return err
			}
			last = k
			return nil
		})
		if err != nil {
			return err
		}
		for batch := range slices.Chunk(faded, flushBatch) {
			err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
				for _, k := range batch {
					if _, err := tx.Exec(ctx, forgetSender, k.org, k.name, below); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// EraseTx removes up to limit senders of an organisation that is being deleted, and returns how many.
func (s *Service) EraseTx(ctx context.Context, tx *db.Tx, o *directory.Organization, limit int) (int, error) {
	n, err := tx.Exec(ctx, `DELETE FROM spam_sender WHERE org = $1 AND sender IN (SELECT sender FROM spam_sender WHERE org = $1 LIMIT $2)`, o.Key, limit)
	if err != nil {
		return 0, fmt.Errorf("forget the senders of an organisation: %w", err)
	}
	tx.OnCommit(func() {
		r := &s.reputation
		r.mu.Lock()
		defer r.mu.Unlock()
		maps.DeleteFunc(r.delivered, func(k sender, _ int) bool { return k.org == o.Key })
	})
	return int(n), nil
}

// standing is what an organisation's users think of a sender, faded to now.
type standing struct {
	delivered, junk, good float64
	reporters             int64
}

const readSender = `SELECT delivered, junk, good, reporters FROM spam_sender WHERE org = $1 AND sender = $2`

// standings reads what organisations think of a sender.
func (s *Service) standings(ctx context.Context, name string, orgs []int64) (map[int64]standing, error) {
	found := map[int64]standing{}
	if name == "" {
		return found, nil
	}
	w := weight(s.Clock.Now())
	err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		clear(found)
		for _, org := range orgs {
			var t standing
			err := tx.QueryRow(ctx, readSender, org, name).Scan(&t.delivered, &t.junk, &t.good, &t.reporters)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			t.delivered, t.junk, t.good = t.delivered/w, t.junk/w, t.good/w
			found[org] = t
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the reputation of %s: %w", name, err)
	}
	return found, nil
}

// points are what a standing adds to a score.
func (t standing) points(proven bool) float64 {
	all := max(t.delivered, t.junk+t.good)
	against := t.junk - t.good
	switch {
	case all <= 0:
		return 0
	case against > 0:
		most := 4.0
		if t.reporters >= agreeing {
			most = 7
		}
		return min(8*(against/all)*(against/(against+1)), most)
	case proven: // anybody can come from a network
		return -all / (all + reputable)
	}
	return 0
}

// reportTx counts what a user said of a message of a sender, or takes it back: n is 1 or -1.
func (s *Service) reportTx(ctx context.Context, tx *db.Tx, k sender, c class, n int, now time.Time) error {
	if k.name == "" || c == presumed {
		return nil
	}
	junk, good := 0.0, 0.0
	if c == spam {
		junk = float64(n) * weight(now)
	} else {
		good = float64(n) * weight(now)
	}
	// What is taken back weighed less when it was given; nothing goes below nothing.
	_, err := tx.Exec(ctx, `INSERT INTO spam_sender (org, sender, delivered, junk, good, reporters) VALUES ($1, $2, 0, 0, 0, 0)
ON CONFLICT (org, sender) DO NOTHING`, k.org, k.name)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE spam_sender SET junk = CASE WHEN junk + $3 > 0 THEN junk + $3 ELSE 0 END,
good = CASE WHEN good + $4 > 0 THEN good + $4 ELSE 0 END,
reporters = (SELECT COUNT(DISTINCT mailbox) FROM spam_trained WHERE org = $1 AND sender = $2 AND class = 1)
WHERE org = $1 AND sender = $2`, k.org, k.name, junk, good)
	return err
}
