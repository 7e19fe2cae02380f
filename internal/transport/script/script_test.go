package script

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/principal"
)

// world is a service on a store, with a mailbox for each test.
type world struct {
	*Service
	t     *testing.T
	clock *clock.Fake
	id    mailbox.ID
	ann   principal.Principal
}

const (
	keep    = "keep;\r\n"
	discard = "discard;\r\n"
)

// TestScripts runs all that stands on a store, on both engines.
func TestScripts(t *testing.T) {
	parts := []struct {
		name string
		test func(w *world)
	}{
		{"life", testLife},
		{"quota", testQuota},
		{"what is refused changes nothing", testRefused},
		{"active", testActive},
		{"at most one is active", testOneActive},
		{"memory", testMemory},
		{"memory is bounded", testMemoryBounded},
		{"one of many claims", testClaim},
		{"others", testOthers},
		{"the end of a mailbox", testPurge},
	}
	migrations := slices.Concat(audit.Migrations(), mailbox.Migrations(), Migrations())
	dbtest.Run(t, migrations, func(t *testing.T, d *db.DB) {
		c := clock.NewFake(time.Date(2026, 11, 26, 4, 0, 0, 0, time.UTC))
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		var s *Service
		store := mailbox.New(mailbox.Options{DB: d, Feed: feed.New(), Clock: c, Log: log, Forget: func(ctx context.Context, tx *db.Tx, id mailbox.ID, limit int) (int, error) {
			return s.ForgetTx(ctx, tx, id, limit)
		}})
		s = New(Options{
			DB: d, Mailboxes: store, Audit: audit.New(d, c, audit.Config{}), Clock: c, Log: log, Key: []byte("key"),
			Limits: Limits{Scripts: 3, Bytes: 100, Total: 250, Memory: 10},
		})
		for i, p := range parts {
			t.Run(p.name, func(t *testing.T) {
				w := &world{Service: s, t: t, clock: c}
				w.ann = principal.Principal{Kind: principal.User, Organization: "m-acme", ID: fmt.Sprintf("ann%d", i)}
				w.write(func(ctx context.Context, tx *db.Tx) (err error) {
					w.id, err = store.CreateTx(ctx, tx, mailbox.Owner{Org: 1, Entity: w.ann.ID}, 1<<20)
					return err
				})
				p.test(w)
			})
		}
	})
}

func (w *world) write(fn db.Func) {
	w.t.Helper()
	w.must(w.DB.Write(w.t.Context(), fn))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(name, source string) error {
	return w.Put(w.t.Context(), w.ann, w.id, name, []byte(source))
}

func (w *world) activate(name string) error { return w.Activate(w.t.Context(), w.ann, w.id, name) }

// has wants scripts as "name size", the active one with a star.
func (w *world) has(want ...string) {
	w.t.Helper()
	list, err := w.List(w.t.Context(), w.ann, w.id)
	w.must(err)
	got := []string{}
	for _, s := range list {
		line := fmt.Sprintf("%s %d", s.Name, s.Size)
		if s.Active {
			line += "*"
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("scripts %q, want %q", got, want)
	}
}

func (w *world) refused(err error, kind fault.Kind, subject fault.Subject) {
	w.t.Helper()
	if !fault.Is(err, kind, subject) {
		w.t.Errorf("%v, want %v %s", err, kind, subject)
	}
}

func testLife(w *world) {
	ctx := w.t.Context()
	w.has()
	w.refused(w.activate("work"), fault.NotFound, fault.Script)
	w.must(w.put("work", keep))
	w.must(w.put("Ferien", discard))
	w.must(w.activate("work"))
	w.has("Ferien 10", "work 7*")
	w.must(w.put("work", discard)) // an active one stays active
	w.has("Ferien 10", "work 10*")
	got, err := w.Get(ctx, w.ann, w.id, "work")
	w.must(err)
	if string(got) != discard {
		w.t.Errorf("the script is %q", got)
	}
	w.refused(w.Rename(ctx, w.ann, w.id, "work", "Ferien"), fault.Exists, fault.Script)
	w.refused(w.Rename(ctx, w.ann, w.id, "gone", "Ferien"), fault.NotFound, fault.Script)
	w.must(w.Rename(ctx, w.ann, w.id, "work", "u\u0308ber")) // is normalised
	w.has("Ferien 10", "\u00fcber 10*")
	w.refused(w.Delete(ctx, w.ann, w.id, "\u00fcber"), fault.InUse, fault.Script)
	w.must(w.activate("Ferien"))
	w.must(w.Delete(ctx, w.ann, w.id, "\u00fcber"))
	w.refused(w.Delete(ctx, w.ann, w.id, "\u00fcber"), fault.NotFound, fault.Script)
	w.must(w.activate(""))
	w.has("Ferien 10")
	_, err = w.Get(ctx, w.ann, w.id, "work")
	w.refused(err, fault.NotFound, fault.Script)

	records, err := w.Audit.Read(ctx, audit.Query{Organization: "m-acme"})
	w.must(err)
	var operations []string
	for _, r := range records {
		if r.Subject == w.ann.ID {
			operations = append(operations, r.Operation+" "+r.Detail)
		}
	}
	want := []string{
		"PutScript work", "PutScript Ferien", "ActivateScript work", "PutScript work", "RenameScript work to \u00fcber", "ActivateScript Ferien",
		"DeleteScript \u00fcber", "ActivateScript ",
	}
	if !slices.Equal(operations, want) {
		w.t.Errorf("audit records %q, want %q", operations, want)
	}
}

func testQuota(w *world) {
	ctx := w.t.Context()
	long := func(n int) string { return strings.Repeat(" ", n-len(keep)) + keep }
	w.refused(w.put("a", long(101)), fault.TooLarge, fault.Script)
	w.refused(w.HaveSpace(ctx, w.ann, w.id, "a", 101), fault.TooLarge, fault.Script)
	w.must(w.put("a", long(100)))
	w.must(w.put("b", long(100)))
	w.refused(w.put("c", long(51)), fault.OverQuota, fault.Script)
	w.refused(w.HaveSpace(ctx, w.ann, w.id, "c", 51), fault.OverQuota, fault.Script)
	w.must(w.HaveSpace(ctx, w.ann, w.id, "c", 50))
	w.must(w.put("c", long(50)))
	w.must(w.put("a", long(99))) // in the place of what is there
	w.refused(w.put("d", keep), fault.Limit, fault.Script)
	w.refused(w.HaveSpace(ctx, w.ann, w.id, "d", 1), fault.Limit, fault.Script)
	w.has("a 99", "b 100", "c 50")
}

func testRefused(w *world) {
	w.must(w.put("a", keep))
	w.must(w.activate("a"))
	for _, bad := range []string{"nonsense;", "keep", "keep; \xff", "keep;\x00"} {
		err := w.put("a", bad)
		w.refused(err, fault.Invalid, fault.Script)
		if again := w.Compile(w.t.Context(), []byte(bad)); fmt.Sprint(again) != fmt.Sprint(err) {
			w.t.Errorf("Compile says %v, Put %v", again, err)
		}
	}
	for range cap(w.turns) {
		w.turns <- struct{}{}
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	cancel()
	if err := w.Compile(ctx, []byte(keep)); !errors.Is(err, context.Canceled) {
		w.t.Errorf("without a turn: %v", err)
	}
	for range cap(w.turns) {
		<-w.turns
	}
	w.refused(w.activate("gone"), fault.NotFound, fault.Script) // leaves the other one active
	w.has("a 7*")
}

func (w *world) actives(ids ...mailbox.ID) int {
	w.t.Helper()
	found, err := w.Active(w.t.Context(), ids...)
	w.must(err)
	return len(found)
}

func testActive(w *world) {
	ctx := w.t.Context()
	others := []mailbox.ID{w.id}
	for i := range 20 {
		others = append(others, w.id+1000+mailbox.ID(i))
	}
	if n := w.actives(others...); n != 0 {
		w.t.Errorf("%d scripts are active before there are any", n)
	}
	w.must(w.put("a", keep))
	if n := w.actives(w.id); n != 0 {
		w.t.Errorf("%d scripts are active before one is made so", n)
	}
	w.must(w.activate("a"))
	first, err := w.Active(ctx, others...)
	w.must(err)
	again, err := w.Active(ctx, w.id)
	w.must(err)
	if len(first) != 1 || first[w.id] == nil || first[w.id] != again[w.id] {
		w.t.Errorf("active: %v, then %v", first, again)
	}
	w.must(w.put("a", discard))
	if again, err = w.Active(ctx, w.id); err != nil || again[w.id] == nil || again[w.id] == first[w.id] {
		w.t.Errorf("after a change: %v, %v", again, err)
	}
	anew := New(w.Options) // after a restart
	if again, err = anew.Active(ctx, w.id); err != nil || again[w.id] == nil {
		w.t.Errorf("after a restart: %v, %v", again, err)
	}
	// One that another version stored.
	w.write(func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE sieve_script SET source = $2 WHERE mailbox = $1`, int64(w.id), []byte("old words;"))
		return err
	})
	if again, err = New(w.Options).Active(ctx, w.id); err != nil || len(again) != 0 {
		w.t.Errorf("one that does not compile: %v, %v", again, err)
	}
	w.must(w.activate(""))
	if n := w.actives(w.id); n != 0 {
		w.t.Errorf("%d scripts are active after none was made so", n)
	}
}

func testOneActive(w *world) {
	names := []string{"a", "b", "c"}
	for _, name := range names {
		w.must(w.put(name, keep))
	}
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			if err := w.activate(names[i%len(names)]); err != nil {
				w.t.Error(err)
			}
		})
	}
	all.Wait()
	list, err := w.List(w.t.Context(), w.ann, w.id)
	w.must(err)
	n := 0
	for _, s := range list {
		if s.Active {
			n++
		}
	}
	if n != 1 || w.actives(w.id) != 1 {
		w.t.Errorf("%d scripts are active", n)
	}
}

func (w *world) seen(kind Kind, text string) (seen bool) {
	w.t.Helper()
	w.must(w.DB.Read(w.t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
		seen, err = w.SeenTx(ctx, tx, w.id, kind, text)
		return err
	}))
	return seen
}

func (w *world) remember(kind Kind, text string, d time.Duration) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *db.Tx) error {
		return w.RememberTx(ctx, tx, w.id, kind, text, w.clock.Now().Add(d))
	})
}

func (w *world) claim(text string, d time.Duration) (first bool) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *db.Tx) (err error) {
		first, err = w.ClaimTx(ctx, tx, w.id, Answered, text, w.clock.Now().Add(d))
		return err
	})
	return first
}

func (w *world) rows() (n int64) {
	w.t.Helper()
	w.must(w.DB.Read(w.t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT COUNT(*) FROM sieve_memory WHERE mailbox = $1`, int64(w.id)).Scan(&n)
	}))
	return n
}

func testMemory(w *world) {
	const id = "<1@far.example>"
	w.remember(Duplicate, id, time.Minute)
	if !w.seen(Duplicate, id) || w.seen(Answered, id) || w.seen(Duplicate, id+"x") {
		w.t.Error("what is remembered is not that alone")
	}
	w.remember(Duplicate, id, time.Hour) // for longer
	if !w.claim("bob", time.Minute) || w.claim("bob", time.Hour) {
		w.t.Error("a claim is not the first's alone")
	}
	w.clock.Advance(time.Minute)
	if !w.seen(Duplicate, id) {
		w.t.Error("forgotten too early")
	}
	if !w.claim("bob", time.Minute) {
		w.t.Error("a claim that is over still holds")
	}
	w.clock.Advance(time.Hour)
	if w.seen(Duplicate, id) {
		w.t.Error("not forgotten")
	}
	w.remember(Duplicate, "new", time.Hour)
	w.must(w.Prune(w.t.Context()))
	if n := w.rows(); n != 1 {
		w.t.Errorf("%d rows after pruning, want 1", n)
	}
}

func testMemoryBounded(w *world) {
	w.claim("bob", time.Minute)
	w.write(func(ctx context.Context, tx *db.Tx) error {
		for i := range 1000 {
			if err := w.RememberTx(ctx, tx, w.id, Duplicate, fmt.Sprint(i), w.clock.Now().Add(time.Duration(i)*time.Second)); err != nil {
				return err
			}
		}
		return nil
	})
	if n := w.rows(); n > 500 { // on average 10 and 64
		w.t.Errorf("%d rows are kept", n)
	}
	if !w.seen(Duplicate, "999") {
		w.t.Error("what ends last is forgotten")
	}
	if w.claim("bob", time.Minute) {
		w.t.Error("ids of duplicates had a sender's answer forgotten")
	}
}

func testClaim(w *world) {
	var all sync.WaitGroup
	first := make(chan bool, 8)
	for range cap(first) {
		all.Go(func() { first <- w.claim("bob", time.Hour) })
	}
	all.Wait()
	close(first)
	n := 0
	for f := range first {
		if f {
			n++
		}
	}
	if n != 1 {
		w.t.Errorf("%d claims were the first", n)
	}
}

func testOthers(w *world) {
	ctx := w.t.Context()
	w.must(w.put("a", keep))
	ann := w.ann
	w.ann.ID = "somebody else"
	_, listErr := w.List(ctx, w.ann, w.id)
	_, getErr := w.Get(ctx, w.ann, w.id, "a")
	for _, err := range []error{listErr, getErr, w.put("a", discard), w.activate("a"), w.Delete(ctx, w.ann, w.id, "a"), w.Rename(ctx, w.ann, w.id, "a", "b"), w.HaveSpace(ctx, w.ann, w.id, "a", 1)} {
		w.refused(err, fault.Denied, fault.Mailbox)
	}
	w.ann = ann
	w.has("a 7")
}

func testPurge(w *world) {
	w.must(w.put("a", keep))
	w.must(w.activate("a"))
	w.remember(Duplicate, "x", time.Hour)
	w.write(func(ctx context.Context, tx *db.Tx) error {
		_, err := w.Mailboxes.CloseTx(ctx, tx, mailbox.Owner{Org: 1, Entity: w.ann.ID}, w.clock.Now())
		return err
	})
	w.refused(w.put("a", discard), fault.State, fault.Mailbox)
	for done := false; !done; {
		var err error
		done, err = w.Mailboxes.PurgeBatch(w.t.Context(), w.id)
		w.must(err)
	}
	if n := w.actives(w.id); n != 0 {
		w.t.Errorf("%d scripts are active in a mailbox that is gone", n)
	}
	w.refused(w.put("a", keep), fault.NotFound, fault.Mailbox)
	check := func() (found []string) {
		w.must(w.DB.Read(w.t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
			found, err = w.Check(ctx, tx)
			return err
		}))
		return found
	}
	if found := check(); len(found) > 0 {
		w.t.Errorf("left behind: %q", found)
	}
	w.remember(Duplicate, "x", time.Hour)
	if found := check(); len(found) != 1 {
		w.t.Errorf("the check does not see what is left: %q", found)
	}
}

// TestCompiledAreBounded keeps scripts until there are too many: some stay.
func TestCompiledAreBounded(t *testing.T) {
	m := memory{most: 1000, may: map[mailbox.ID]struct{}{}, compiled: map[mailbox.ID]compiled{}}
	for i := range 100 {
		m.keep(mailbox.ID(i%20), compiled{bytes: 100 + i}, true, 0)
		sum := 0
		for _, c := range m.compiled {
			sum += c.bytes
		}
		if sum != m.bytes || sum > m.most || i >= 20 && len(m.compiled) < 4 {
			t.Fatalf("%d scripts with %d bytes are kept, %d are counted", len(m.compiled), sum, m.bytes)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"a":                           "a",
		" mit Leerzeichen ":           " mit Leerzeichen ",
		"../x":                        "../x",
		"u\u0308":                     "\u00fc",
		strings.Repeat("\u00fc", 128): strings.Repeat("\u00fc", 128),
		strings.Repeat("\u00fc", 129): "",
		"":                            "",
		"a\nb":                        "",
		"a\x7f":                       "",
		"a\u0085":                     "",
		"a\u2028":                     "",
		"a\u2029":                     "",
		"\xff":                        "",
	} {
		got, err := cleanName(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", name, got, err, want)
		}
	}
}
