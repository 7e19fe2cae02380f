package signing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/principal"
)

// How often keys are looked up, and how long they may be missing: as for the proof of a domain.
const (
	lookAtFirst = time.Minute      // in the first hour, when somebody is waiting
	lookPending = 10 * time.Minute // until patience is over
	lookUnseen  = time.Hour        // for a key that was made within patience, while others are there
	lookFailed  = 6 * time.Hour
	lookDaily   = 24 * time.Hour
	patience    = 72 * time.Hour
)

// keepOld is how long an old key stays published: longer than the five days of the queue.
const keepOld = 14 * 24 * time.Hour

// Handle makes runner make, look up and rotate keys. It waits for DNS: give it a runner that holds nobody up.
func (s *Service) Handle(runner *job.Runner) {
	runner.Handle(keysKind, func(ctx context.Context, j job.Job) error {
		number, domain, _ := strings.Cut(j.Key, "/")
		org, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return fmt.Errorf("job %s: %w", j.Key, err)
		}
		return s.tend(ctx, org, domain)
	})
}

// finding is what DNS said about a key.
type finding uint8

const (
	unknown finding = iota // DNS did not answer: nothing follows from it
	missing                // DNS is certain
	found
)

// look is what was found out about the keys of a domain, by selector.
type look struct {
	dns    map[string]finding
	broken map[string]bool // those that can't be opened
}

// tend brings the keys of a domain forward by one look, and orders the next.
func (s *Service) tend(ctx context.Context, org int64, domain string) error {
	if !s.mayHaveKeys(org, domain) { // the server had another name
		return s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return s.DeregisteredTx(ctx, tx, org, domain) })
	}
	if err := s.Ensure(ctx, org, domain); err != nil {
		return err
	}
	state, err := s.State(ctx, org, domain)
	if err != nil || state == nil {
		return err
	}
	l := look{dns: s.lookUp(ctx, domain, state.Keys)}
	if l.broken, err = s.broken(ctx, org, domain); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return s.applyTx(ctx, tx, org, domain, l) })
}

// lookUp asks DNS for all keys at the same time.
func (s *Service) lookUp(ctx context.Context, domain string, keys []Key) map[string]finding {
	answers, errs := make([]finding, len(keys)), make([]error, len(keys))
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() { answers[i], errs[i] = s.lookUpOne(ctx, &keys[i]) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
		s.Log.WarnContext(ctx, "the DKIM keys of a domain could not be looked up", "domain", domain, "error", err)
	}
	out := make(map[string]finding, len(keys))
	for i := range keys {
		out[keys[i].Selector] = answers[i]
	}
	return out
}

func (s *Service) lookUpOne(ctx context.Context, k *Key) (finding, error) {
	records, err := s.Resolver.LookupTXT(ctx, k.Name)
	switch {
	case err == nil && k.In(records):
		return found, nil
	case err == nil || errors.Is(err, dns.ErrNotFound):
		return missing, nil
	}
	return unknown, err
}

// broken opens the keys that sign or will, and returns those that can't be.
func (s *Service) broken(ctx context.Context, org int64, domain string) (map[string]bool, error) {
	sealed := map[string][]byte{}
	err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		clear(sealed)
		return tx.Each(ctx, func(row db.Row) error {
			var selector string
			var b []byte
			if err := row.Scan(&selector, &b); err != nil {
				return err
			}
			sealed[selector] = b
			return nil
		}, `SELECT selector, sealed FROM dkim_key WHERE organization = $1 AND domain = $2 AND role < 3`, org, domain)
	})
	if err != nil {
		return nil, fmt.Errorf("read the DKIM keys of %s: %w", domain, err)
	}
	broken := map[string]bool{}
	for selector, b := range sealed {
		if _, err := s.open(org, domain, selector, b); err != nil {
			s.Log.ErrorContext(ctx, "a DKIM key is damaged and will be replaced", "domain", domain, "selector", selector, "error", err)
			broken[selector] = true
		}
	}
	return broken, nil
}

// applyTx draws the conclusions from a look.
func (s *Service) applyTx(ctx context.Context, tx *db.Tx, org int64, domain string, l look) error {
	d, err := s.lockTx(ctx, tx, org, domain)
	if err != nil || d == nil {
		return err
	}
	keys, err := keysTx(ctx, tx, org, domain)
	if err != nil {
		return err
	}
	now := s.Clock.Now()
	kept, events := step(d, keys, l, now, s.Rotation)
	if err := s.storeTx(ctx, tx, org, domain, d, keys, kept); err != nil {
		return fmt.Errorf("store the DKIM keys of %s: %w", domain, err)
	}
	if err := s.recordTx(ctx, tx, org, domain, events); err != nil {
		return err
	}
	due := now
	if len(without(kept)) == 0 {
		due = now.Add(pause(d, kept, now))
	}
	return scheduleTx(ctx, tx, org, domain, due)
}

// event is what a look brings about that people want to read of later.
type event struct{ operation, detail string }

// step brings d and its keys forward by what a look at now found out. Keys that are not among what it returns are to go.
func step(d *domainRow, keys []Key, l look, now time.Time, rotation time.Duration) (kept []Key, events []event) {
	kept = slices.Clone(keys)
	for i := range kept {
		switch l.dns[kept[i].Selector] {
		case found:
			kept[i].Seen = now
		case missing:
			kept[i].Seen = time.Time{}
		case unknown:
		}
	}
	kept = slices.DeleteFunc(kept, func(k Key) bool {
		return k.Role == Old && now.Sub(k.Since) >= keepOld || k.Role == Next && l.broken[k.Selector]
	})
	if i := find(kept, place{RSA, Current}); i >= 0 {
		if state := d.judge(l.dns[kept[i].Selector], now); state {
			events = append(events, event{"MailDomainDkimState", d.status.String()})
		}
	}
	for _, a := range []Algorithm{RSA, Ed25519} {
		var e *event
		if kept, e = rotate(kept, a, l, now, rotation); e != nil {
			events = append(events, *e)
		}
	}
	return kept, events
}

// judge draws the conclusion from what DNS said of the current RSA key, and reports whether the status is another now.
func (d *domainRow) judge(f finding, now time.Time) (changed bool) {
	before := d.status
	switch f {
	case found:
		d.status, d.checked, d.seen = directory.DomainVerified, now, now
	case missing:
		d.checked = now
		if d.status == directory.DomainVerified && now.Sub(d.seen) > patience || d.status == directory.DomainPending && now.Sub(d.begun) > patience {
			d.status = directory.DomainFailed
		}
	case unknown:
	}
	return d.status != before
}

// rotate lets the next key of an algorithm sign, where it is in DNS and the current one has served its time, or can't be opened.
func rotate(keys []Key, a Algorithm, l look, now time.Time, rotation time.Duration) ([]Key, *event) {
	current, next := find(keys, place{a, Current}), find(keys, place{a, Next})
	if current < 0 || next < 0 {
		return keys, nil
	}
	old := find(keys, place{a, Old})
	broken := l.broken[keys[current].Selector]
	due := rotation > 0 && now.Sub(keys[current].Since) >= rotation && l.dns[keys[next].Selector] == found && old < 0
	if !due && !broken {
		return keys, nil
	}
	e := &event{"RotateDkimKey", fmt.Sprintf("%s: %s after %s", a, keys[next].Selector, keys[current].Selector)}
	keys[current].Role, keys[current].Since = Old, now
	keys[next].Role, keys[next].Since = Current, now
	if old >= 0 { // there is room for one
		keys = slices.Delete(keys, old, old+1)
	}
	return keys, e
}

// pause is how long to wait for the next look.
func pause(d *domainRow, keys []Key, now time.Time) time.Duration {
	waiting := slices.ContainsFunc(keys, func(k Key) bool { return k.Role != Old && k.Seen.IsZero() && now.Sub(k.Created) < patience })
	switch {
	case d.status == directory.DomainFailed:
		return lookFailed
	case d.status == directory.DomainPending && now.Sub(d.begun) < time.Hour:
		return lookAtFirst
	case d.status == directory.DomainPending:
		return lookPending
	case waiting:
		return lookUnseen
	}
	return lookDaily
}

const (
	deleteKey = `DELETE FROM dkim_key WHERE domain = $1 AND selector = $2`
	updateKey = `UPDATE dkim_key SET role = $3, since = $4, seen = $5 WHERE domain = $1 AND selector = $2`
)

// storeTx writes what became of the keys.
func (s *Service) storeTx(ctx context.Context, tx *db.Tx, org int64, domain string, d *domainRow, before, after []Key) error {
	_, err := tx.Exec(ctx, updateDomain, org, domain, int64(d.status), micros(d.begun), micros(d.checked), micros(d.seen))
	if err != nil {
		return err
	}
	for _, k := range before {
		if !slices.ContainsFunc(after, func(other Key) bool { return other.Selector == k.Selector }) {
			if _, err := tx.Exec(ctx, deleteKey, domain, k.Selector); err != nil {
				return err
			}
		}
	}
	// A role is free before the next key takes it.
	changed := slices.SortedFunc(slices.Values(after), func(a, b Key) int { return cmp.Compare(b.Role, a.Role) })
	for _, k := range changed {
		if _, err := tx.Exec(ctx, updateKey, domain, k.Selector, int64(k.Role), micros(k.Since), micros(k.Seen)); err != nil {
			return err
		}
	}
	return nil
}

// recordTx tells the audit trail what nobody asked for.
func (s *Service) recordTx(ctx context.Context, tx *db.Tx, org int64, domain string, events []event) error {
	if len(events) == 0 {
		return nil
	}
	tx.OnCommit(s.memory.clear)
	var id string
	if org != Server {
		o, err := s.Directory.OrganizationByKeyTx(ctx, tx, org)
		if fault.KindOf(err) != fault.NotFound && err != nil {
			return err
		}
		if err == nil {
			id = string(o.ID)
		}
	}
	for _, e := range events {
		r := audit.Of(principal.TheSystem("job"), id, e.operation, domain)
		r.Detail = e.detail
		if err := s.Audit.AppendTx(ctx, tx, r); err != nil {
			return err
		}
	}
	return nil
}
