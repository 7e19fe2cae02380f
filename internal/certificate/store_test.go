package certificate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/secret"
)

// TestIssuedCertificatesAreNotLost has a store that takes nothing, before an order and after it.
func TestIssuedCertificatesAreNotLost(t *testing.T) {
	d := dbtest.SQLite(t, Migrations())
	h := newHouse(t, d, "a.example")
	full := func(trigger string) {
		t.Helper()
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, trigger)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if names, _ := h.work(); len(names) != 1 {
		t.Fatal(names)
	}
	first := h.shown("a.example")
	h.clock.Advance(61 * day)
	full("CREATE TRIGGER disk_full BEFORE UPDATE ON acme_certificate BEGIN SELECT RAISE(ABORT, 'full'); END")
	if _, err := h.round(t.Context()); err == nil || len(h.ca.ordered()) > 0 {
		t.Errorf("ordered with nowhere to put it: %v", err)
	}
	full("DROP TRIGGER disk_full")
	full("CREATE TRIGGER disk_full BEFORE UPDATE OF chain ON acme_certificate BEGIN SELECT RAISE(ABORT, 'full'); END")
	for i, want := range []int{1, 0} {
		if _, err := h.round(t.Context()); err == nil || len(h.ca.ordered()) != want || h.shown("a.example").NotAfter.Equal(first.NotAfter) {
			t.Errorf("%d: %v", i, err)
		}
		h.clock.Advance(time.Minute)
	}
	full("DROP TRIGGER disk_full")
	if names, _ := h.work(); len(names) > 0 || h.again(nil).shown("a.example").NotAfter.Equal(first.NotAfter) {
		t.Errorf("ordered again: %v", names)
	}
}

// TestARetryMeanwhileCounts asks while an order is under way.
func TestARetryMeanwhileCounts(t *testing.T) {
	dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
		h := newHouse(t, d, "a.example")
		retry := func(replace bool) {
			h.ca.forge = func(*x509.Certificate) {
				h.ca.forge = nil
				if _, err := h.Retry(t.Context(), "", replace); err != nil {
					t.Error(err)
				}
			}
		}
		orders := func(what string, want ...int) {
			t.Helper()
			for i, n := range want {
				if names, _ := h.work(); len(names) != n {
					t.Errorf("%s, round %d: ordered %v", what, i+1, names)
				}
			}
		}
		retry(false)
		orders("a success is one", 1, 0)
		for _, replace := range []bool{false, true} {
			h.clock.Advance(61 * day)
			retry(replace)
			orders(fmt.Sprint("a renewal, replace ", replace), 1, map[bool]int{true: 1}[replace], 0)
		}
		h.clock.Advance(61 * day)
		h.ca.validity = -day // of no use
		orders("the first failure", 1, 0)
		h.clock.Advance(time.Minute)
		retry(false)
		orders("a failure", 1, 1, 0)
		h.Authority = nil
		if _, err := h.Retry(t.Context(), "", true); !fault.Is(err, fault.State, fault.Resource) {
			t.Errorf("nobody is there to be asked: %v", err)
		}
	})
}

func TestDamagedKeysAreFoundAndReplaced(t *testing.T) {
	h := newHouse(t, dbtest.SQLite(t, Migrations()), "a.example")
	h.work()
	if err := h.store.keepAccount(t.Context(), h.ca.directory, &account{key: h.ca.key}, h.clock.Now()); err != nil {
		t.Fatal(err)
	}
	h = h.again(func(o *Options) { o.Root = secret.Ephemeral() })
	if faults := h.check(); len(faults) != 2 || !strings.Contains(faults[0], "a.example") || !strings.Contains(faults[1], h.ca.directory) {
		t.Errorf("found: %q", faults)
	}
	if h.shown("a.example") != nil {
		t.Error("a certificate without its key is shown")
	}
	h.ca.fail[""] = errors.New("down")
	h.work()
	if names, _ := h.work(); len(names) > 0 {
		t.Error("the failure is not waited out")
	}
	h.ca.fail = map[string]error{}
	if _, names := h.pass(); len(names) != 1 || h.shown("a.example") == nil {
		t.Errorf("ordered %v", names)
	}
}
