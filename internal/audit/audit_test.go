package audit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/principal"
)

var (
	newYear = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	admin   = principal.Principal{
		Kind: principal.Administrator, ID: "AKIA", Name: "root", Protocol: "API",
		Address: netip.MustParseAddr("::ffff:192.0.2.1"), RequestID: "req-1",
	}
)

func onBoth(t *testing.T, c Config, fn func(t *testing.T, l *Log, d *db.DB, now *clock.Fake)) {
	t.Helper()
	dbtest.Run(t, append(Migrations(), job.Migrations()...), func(t *testing.T, d *db.DB) {
		now := clock.NewFake(newYear)
		fn(t, New(d, now, c), d, now)
	})
}

func operations(records []Record) (names []string) {
	for _, r := range records {
		names = append(names, r.Operation)
	}
	return names
}

func TestRecords(t *testing.T) {
	onBoth(t, Config{}, func(t *testing.T, l *Log, d *db.DB, now *clock.Fake) {
		undone := errors.New("undone")
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			if err := l.AppendTx(ctx, tx, Of(admin, "m-1", "Undone", "")); err != nil {
				return err
			}
			return undone
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		refused := Refused(admin, "m-1", "DeleteUser", "u", fault.New(fault.State, fault.Entity, "user secret is enabled"))
		for _, r := range []Record{Of(admin, "m-1", "CreateUser", "u"), refused, Of(admin, "m-2", "CreateUser", "v"), Of(principal.TheSystem("job"), "m-1", "Purge", "")} {
			if err := l.Record(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			now.Advance(time.Second)
		}
		all, err := l.Read(t.Context(), Query{Organization: "m-1"})
		if err != nil || !slices.Equal(operations(all), []string{"CreateUser", "DeleteUser", "Purge"}) {
			t.Fatalf("read %v, %v", operations(all), err)
		}
		first := all[0]
		if first.Key == 0 || !first.Time.Equal(newYear) || first.Organization != "m-1" || first.Subject != "u" || first.Outcome != Done ||
			first.Actor.ID != "AKIA" || first.Actor.Kind != principal.Administrator || first.Actor.Address != netip.MustParseAddr("192.0.2.1") ||
			first.Actor.RequestID != "req-1" || first.Actor.Protocol != "API" || first.Actor.Name != "root" {
			t.Errorf("first record %+v", first)
		}
		if all[1].Outcome != "state: entity" || strings.Contains(fmt.Sprint(all[1]), "secret") {
			t.Errorf("refusal %+v", all[1])
		}
		if last := all[2]; last.Actor.Kind != principal.System || last.Actor.Address.IsValid() {
			t.Errorf("the system's record %+v", last)
		}
		mine, err := l.Read(t.Context(), Query{Organization: "m-1", Limit: 2})
		if err != nil || !slices.Equal(operations(mine), []string{"CreateUser", "DeleteUser"}) {
			t.Errorf("m-1: %v, %v", operations(mine), err)
		}
		rest, err := l.Read(t.Context(), Query{Organization: "m-1", After: &mine[1]})
		if err != nil || !slices.Equal(operations(rest), []string{"Purge"}) {
			t.Errorf("the rest of m-1: %v, %v", operations(rest), err)
		}
		late, err := l.Read(t.Context(), Query{Organization: "m-1", Since: newYear.Add(2 * time.Second)})
		if err != nil || len(late) != 1 {
			t.Errorf("since the third: %v, %v", operations(late), err)
		}
	})
}

func TestRecordsHoldWhateverComes(t *testing.T) {
	onBoth(t, Config{}, func(t *testing.T, l *Log, _ *db.DB, _ *clock.Fake) {
		wild := Record{Organization: "a\x00b", Operation: "\xff", Detail: strings.Repeat("é", 600), Actor: principal.Principal{Name: strings.Repeat("x", 1000)}}
		if err := l.Record(t.Context(), wild); err != nil {
			t.Fatal(err)
		}
		all, err := l.Read(t.Context(), Query{Organization: "a\uFFFDb"})
		if err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		if d := all[0].Detail; len(d) > detailLimit || !utf8.ValidString(d) || len(all[0].Actor.Name) > fieldLimit {
			t.Errorf("kept %d bytes of detail, %d of a name", len(d), len(all[0].Actor.Name))
		}
	})
}

func TestPrune(t *testing.T) {
	onBoth(t, Config{Retention: time.Hour}, func(t *testing.T, l *Log, d *db.DB, now *clock.Fake) {
		organizations := []string{"", "m-1", "m-2"}
		for _, o := range organizations {
			err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				for range pruneBatch + 10 {
					if err := l.AppendTx(ctx, tx, Of(admin, o, "Old", "")); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		now.Advance(time.Hour)
		for _, o := range organizations[1:] {
			if err := l.Record(t.Context(), Of(admin, o, "Young", "")); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := l.Prune(t.Context()); n != 0 || err != nil {
			t.Errorf("at the edge %d went, %v", n, err)
		}
		now.Advance(time.Microsecond)
		if n, err := l.Prune(t.Context()); n != 3*(pruneBatch+10) || err != nil {
			t.Errorf("%d went, %v", n, err)
		}
		for i, o := range organizations {
			left, err := l.Read(t.Context(), Query{Organization: o})
			if err != nil || !slices.Equal(operations(left), []string{"Young", "Young"}[:min(i, 1)]) {
				t.Errorf("left of %q: %v, %v", o, operations(left), err)
			}
		}
	})
}

// TestRecordsAreKeptWhenTheTableIsClusteredAnew opens what the first version of the table holds.
func TestRecordsAreKeptWhenTheTableIsClusteredAnew(t *testing.T) {
	dbtest.Upgrade(t, Migrations()[:1], Migrations(), func(t *testing.T, before *db.DB) {
		err := before.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO audit_record (time, key, organization, operation, subject, outcome, detail,
				actor_kind, actor_id, actor_name, protocol, address, request)
				VALUES (2, 1, 'm-1', 'Second', '', '', '', 0, '', '', '', '', ''), (1, 2, 'm-1', 'First', '', '', '', 0, '', '', '', '', '')`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T, after *db.DB) {
		all, err := New(after, clock.NewFake(newYear), Config{}).Read(t.Context(), Query{Organization: "m-1"})
		if err != nil || !slices.Equal(operations(all), []string{"First", "Second"}) {
			t.Errorf("kept %v, %v", operations(all), err)
		}
	})
}
