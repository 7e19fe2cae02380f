package journal_test

import (
	"context"
	"errors"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/transport/journal"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

func TestRules(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ctx := t.Context()
		set := func(n journal.Settings) error { return w.Journal.SetRules(ctx, transporttest.Admin, w.Acme.ID, n) }
		is := func(to string) {
			t.Helper()
			r, err := w.Journal.Rule(ctx, w.Acme.Key)
			w.Must(err)
			got := ""
			if r != nil {
				got = r.To.String() + " " + r.Failures.String() + " " + r.From.String()
			}
			if got != to {
				t.Errorf("the rule is %q, want %q", got, to)
			}
		}
		is("")
		if n, err := w.Journal.Rules(ctx, transporttest.Admin, w.Acme.ID); err != nil || n != (journal.Settings{}) {
			t.Errorf("at first the settings are %+v, %v", n, err)
		}
		for _, bad := range []journal.Settings{
			{Enabled: true},
			{Enabled: true, Address: "a@far.example"},
			{Enabled: true, Address: "a@far.example", ReportAddress: "nobody"},
			{Enabled: true, Address: "a@far.example", ReportAddress: "A@FAR.example"},
			{Enabled: true, Address: "AmazonJournaling@acme.awsapps.com", ReportAddress: "a@far.example"},
			{Enabled: true, Address: "a@far.example", ReportAddress: "amazonjournaling@acme.awsapps.com"},
			{Address: "x"},
		} {
			if err := set(bad); !fault.Is(err, fault.Invalid, fault.Address) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		w.Journal.NoneLeaves = true
		if err := set(journal.Settings{Enabled: true, Address: "a@far.example", ReportAddress: "b@acme.awsapps.com"}); !fault.Is(err, fault.Invalid, fault.Address) {
			t.Errorf("where no mail leaves: %v", err)
		}
		w.Must(set(journal.Settings{Address: "a@far.example"}))
		w.Must(set(journal.Settings{Enabled: true, Address: "a@acme.awsapps.com", ReportAddress: "b@acme.awsapps.com"}))
		is("a@acme.awsapps.com b@acme.awsapps.com amazonjournaling@acme.awsapps.com")
		w.Journal.NoneLeaves = false
		w.Must(set(journal.Settings{Enabled: true, Address: "a@far.example", ReportAddress: "b@acme.awsapps.com"}))
		is("a@far.example b@acme.awsapps.com amazonjournaling@acme.awsapps.com")
		w.Must(set(journal.Settings{Address: "a@far.example"}))
		is("")
		n, err := w.Journal.Rules(ctx, transporttest.Admin, w.Acme.ID)
		if want := (journal.Settings{Address: "a@far.example", Modified: transporttest.Start}); err != nil || n != want {
			t.Errorf("the settings are %+v, %v", n, err)
		}
		w.Must(set(journal.Settings{Enabled: true, Address: "c@far.example", ReportAddress: "b@acme.awsapps.com"}))
		is("c@far.example b@acme.awsapps.com amazonjournaling@acme.awsapps.com")

		// Without a change a rule costs no query, and one that is rolled back changes nothing.
		before := w.DB.Stats().Reads
		lost := errors.New("lost")
		err = w.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			if _, err := w.Journal.EraseTx(ctx, tx, w.Acme, 100); err != nil {
				return err
			}
			return lost
		})
		is("c@far.example b@acme.awsapps.com amazonjournaling@acme.awsapps.com")
		if reads := w.DB.Stats().Reads; !errors.Is(err, lost) || reads != before {
			t.Errorf("%d reads, %v", reads-before, err)
		}
		w.Write(func(ctx context.Context, tx *db.Tx) error {
			n, err := w.Journal.EraseTx(ctx, tx, w.Acme, 100)
			if n != 1 {
				t.Errorf("%d rows are erased", n)
			}
			return err
		})
		is("")
	})
}
