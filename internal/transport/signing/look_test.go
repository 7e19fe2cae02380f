package signing

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
)

// The life of a domain's keys, with DNS.
func TestRotation(t *testing.T) {
	onBoth(t, func(w *world) {
		w.vouch(domain)
		w.look(domain)
		w.publish(w.key(domain, RSA, Current))
		w.look(domain)
		if s := w.state(domain); s.Status != directory.DomainVerified || !s.Checked.Equal(w.clock.Now()) {
			t.Errorf("with one record: %+v", s)
		}
		first, second := w.key(domain, RSA, Current), w.key(domain, RSA, Next)
		w.clock.Advance(rotation)
		w.look(domain)
		if got := w.key(domain, RSA, Current); got.Selector != first.Selector {
			t.Errorf("%s signs, which is not in DNS", got.Selector)
		}
		w.publish(second)
		w.look(domain)
		if got := w.signedBy(domain); !slices.Equal(got, []string{second.Selector}) {
			t.Errorf("signed by %q", got)
		}
		if w.key(domain, RSA, Old).Selector != first.Selector || w.key(domain, Ed25519, Old) != nil {
			t.Errorf("keys are %+v", w.state(domain).Keys)
		}
		w.look(domain) // at once, to make the next
		third := w.key(domain, RSA, Next)
		if third == nil || third.Selector == first.Selector || third.Selector == second.Selector {
			t.Fatalf("next is %+v", third)
		}
		w.clock.Advance(keepOld - time.Second)
		w.look(domain)
		if w.key(domain, RSA, Old) == nil {
			t.Error("the old key is gone too early")
		}
		w.clock.Advance(time.Second)
		w.look(domain)
		if w.key(domain, RSA, Old) != nil {
			t.Error("the old key stays")
		}
		want := []string{
			"MailDomainDkimState acme.example VERIFIED",
			"RotateDkimKey acme.example rsa: " + second.Selector + " after " + first.Selector,
		}
		if got := w.audited(); !slices.Equal(got, want) {
			t.Errorf("the audit trail has %q", got)
		}
	})
}

// What dies in the middle of a rotation is finished by the next start.
func TestACrashInTheMiddleOfARotation(t *testing.T) {
	onBoth(t, func(w *world) {
		w.vouch(domain)
		w.look(domain)
		w.publishAll(domain)
		w.look(domain)
		second := w.key(domain, RSA, Next)
		w.clock.Advance(rotation)
		w.look(domain)
		w.failing.Store(true)
		if err := w.tend(t.Context(), w.org.Key, domain); err == nil {
			t.Error("keys can be made")
		}
		if got := w.signedBy(domain); len(got) != 2 || got[0] != second.Selector {
			t.Errorf("without a next key, signed by %q", got)
		}
		next := w.again()
		next.failing.Store(false)
		next.look(domain)
		if k := next.key(domain, RSA, Next); k == nil || k.Selector == second.Selector || len(next.state(domain).Keys) != 6 {
			t.Errorf("after the next start: %+v", next.state(domain).Keys)
		}
		if got := next.signedBy(domain); len(got) != 2 || got[0] != second.Selector {
			t.Errorf("after the next start, signed by %q", got)
		}
	})
}

// Two who rotate at the same time rotate once.
func TestALookThatIsOld(t *testing.T) {
	onBoth(t, func(w *world) {
		w.vouch(domain)
		w.look(domain)
		w.publishAll(domain)
		w.clock.Advance(rotation)
		second := w.key(domain, RSA, Next)
		stale := look{dns: w.lookUp(t.Context(), domain, w.state(domain).Keys)}
		w.look(domain)
		w.look(domain)
		w.write(func(ctx context.Context, tx *db.Tx) error { return w.applyTx(ctx, tx, w.org.Key, domain, stale) })
		if got := w.key(domain, RSA, Current); got.Selector != second.Selector || len(w.state(domain).Keys) != 6 {
			t.Errorf("keys are %+v", w.state(domain).Keys)
		}
	})
}

func TestDNSThatDoesNotAnswerDecidesNothing(t *testing.T) {
	onBoth(t, func(w *world) {
		w.vouch(domain)
		w.look(domain)
		w.publishAll(domain)
		w.look(domain)
		checked := w.clock.Now()
		for _, k := range w.state(domain).Keys {
			w.zone.Fail(k.Name, mdns.TypeTXT, mdns.RcodeServerFailure)
		}
		w.clock.Advance(2 * rotation)
		w.look(domain)
		if s := w.state(domain); s.Status != directory.DomainVerified || !s.Checked.Equal(checked) || len(s.Keys) != 4 || s.Keys[0].Seen.IsZero() {
			t.Errorf("without an answer: %+v", s)
		}
	})
}

// now is when the look of a step takes place.
var now = time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)

func TestStatus(t *testing.T) {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		before domainRow
		found  finding
		want   directory.DomainStatus
		wait   time.Duration
	}{
		"just begun":            {domainRow{directory.DomainPending, ago(0), ago(0), time.Time{}}, missing, directory.DomainPending, lookAtFirst},
		"begun yesterday":       {domainRow{directory.DomainPending, ago(aDay), ago(0), time.Time{}}, missing, directory.DomainPending, lookPending},
		"found":                 {domainRow{directory.DomainPending, ago(aDay), ago(0), time.Time{}}, found, directory.DomainVerified, lookDaily},
		"not found in time":     {domainRow{directory.DomainPending, ago(patience + 1), ago(0), time.Time{}}, missing, directory.DomainFailed, lookFailed},
		"no answer in time":     {domainRow{directory.DomainPending, ago(patience + 1), ago(0), time.Time{}}, unknown, directory.DomainPending, lookPending},
		"missing today":         {domainRow{directory.DomainVerified, ago(rotation), ago(0), ago(patience)}, missing, directory.DomainVerified, lookDaily},
		"missing for long":      {domainRow{directory.DomainVerified, ago(rotation), ago(0), ago(patience + 1)}, missing, directory.DomainFailed, lookFailed},
		"no answer for long":    {domainRow{directory.DomainVerified, ago(rotation), ago(0), ago(rotation)}, unknown, directory.DomainVerified, lookDaily},
		"found after it failed": {domainRow{directory.DomainFailed, ago(rotation), ago(0), ago(rotation)}, found, directory.DomainVerified, lookDaily},
		"still missing":         {domainRow{directory.DomainFailed, ago(rotation), ago(0), ago(rotation)}, missing, directory.DomainFailed, lookFailed},
	} {
		d := c.before
		k := Key{Algorithm: RSA, Role: Current, Selector: "s", Created: ago(aDay), Since: ago(aDay), Seen: ago(aDay)}
		kept, events := step(&d, []Key{k}, look{dns: map[string]finding{"s": c.found}}, now, rotation)
		if d.status != c.want || (len(events) > 0) != (d.status != c.before.status) || d.checked.Equal(now) != (c.found != unknown || c.before.checked.Equal(now)) {
			t.Errorf("%s: %+v, %v", name, d, events)
		}
		kept[0].Seen = now
		if got := pause(&d, kept, now); got != c.wait {
			t.Errorf("%s: the next look is after %v, want %v", name, got, c.wait)
		}
	}
	d := domainRow{status: directory.DomainVerified}
	if got := pause(&d, []Key{{Role: Current, Seen: now}, {Role: Next, Created: ago(aDay)}}, now); got != lookUnseen {
		t.Errorf("with a new key that is not in DNS the next look is after %v", got)
	}
}

// A domain's keys through years of looks, with DNS and owners of all kinds, hold what package signing promises.
func TestYearsOfLooks(t *testing.T) {
	for seed := range uint64(300) {
		years(t, rand.New(rand.NewPCG(seed, 1)))
	}
}

func years(t *testing.T, r *rand.Rand) {
	t.Helper()
	every := []time.Duration{0, 30 * aDay, rotation}[r.IntN(3)]
	at := now
	d := &domainRow{begun: at}
	var keys []Key
	used := map[string]bool{}        // selectors that signed
	goneAt := map[string]time.Time{} // when old ones became old
	published := map[string]bool{}
	n := 0
	for range 200 {
		for _, p := range without(keys) { // Ensure
			n++
			k := Key{Algorithm: p.algorithm, Role: p.role, Selector: p.algorithm.String() + strings.Repeat("x", n), Created: at, Since: at}
			keys = append(keys, k)
		}
		l := look{dns: map[string]finding{}, broken: map[string]bool{}}
		for _, k := range keys {
			if !published[k.Selector] && r.IntN(4) == 0 {
				published[k.Selector] = true
			} else if published[k.Selector] && r.IntN(50) == 0 {
				delete(published, k.Selector)
			}
			switch {
			case r.IntN(10) == 0:
			case published[k.Selector]:
				l.dns[k.Selector] = found
			default:
				l.dns[k.Selector] = missing
			}
			l.broken[k.Selector] = k.Role != Old && r.IntN(100) == 0
		}
		before := map[string]Key{}
		for _, k := range keys {
			before[k.Selector] = k
		}
		status := d.status
		kept, events := step(d, slices.Clone(keys), l, at, every)
		rotated := 0
		for _, a := range []Algorithm{RSA, Ed25519} {
			i, j := find(keys, place{a, Current}), find(kept, place{a, Current})
			if j < 0 {
				t.Fatalf("nothing signs by %s", a)
			}
			was, is := keys[i], kept[j]
			if was.Selector == is.Selector {
				continue
			}
			rotated++
			if next := before[is.Selector]; next.Role != Next || l.broken[is.Selector] || used[is.Selector] {
				t.Fatalf("%+v signs now", next)
			}
			regular := every > 0 && at.Sub(was.Since) >= every && l.dns[is.Selector] == found
			if !regular && !l.broken[was.Selector] {
				t.Fatalf("%+v after %+v at %v, %+v", is, was, at, l)
			}
			if k := find(kept, place{a, Old}); k < 0 || kept[k].Selector != was.Selector {
				t.Fatalf("%s is not kept: %+v", was.Selector, kept)
			}
			used[is.Selector], goneAt[was.Selector] = true, at
		}
		if changed := d.status != status; len(events) != rotated+map[bool]int{true: 1}[changed] {
			t.Fatalf("%d rotated, the status was %v and is %v, told is %+v", rotated, status, d.status, events)
		}
		for _, k := range keys {
			if i := slices.IndexFunc(kept, func(o Key) bool { return o.Selector == k.Selector }); i >= 0 {
				if was := goneAt[k.Selector]; !was.IsZero() && (kept[i].Role != Old || at.Sub(was) >= keepOld) {
					t.Fatalf("%v after it signed: %+v", at.Sub(was), kept[i])
				}
				if l.dns[k.Selector] == found != kept[i].Seen.Equal(at) || l.dns[k.Selector] == missing && !kept[i].Seen.IsZero() {
					t.Fatalf("DNS says %v, and %+v", l.dns[k.Selector], kept[i])
				}
				continue
			}
			replaced := find(kept, place{k.Algorithm, Old}) >= 0 // by one that broke
			if was := goneAt[k.Selector]; !(k.Role == Next && l.broken[k.Selector]) && !(k.Role == Old && (at.Sub(was) >= keepOld || replaced)) {
				t.Fatalf("%+v is gone at %v", k, at)
			}
		}
		if len(kept) > 6 {
			t.Fatalf("too many: %+v", kept)
		}
		keys = kept
		at = at.Add(max(pause(d, kept, at), time.Duration(r.Int64N(int64(10*aDay)))))
	}
}
