package manage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/queue/queuetest"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

var (
	admin    = transporttest.Admin
	operator = principal.Principal{Kind: principal.Operator, Name: "operator"}
	yes, no  = true, false
)

// bench is a queue of two organisations: acme's messages 1 and 2, one of the server's own, and one of an organisation that is gone.
type bench struct {
	w *transporttest.World
	*Queue
	queue *queuetest.Queue
}

func start(t *testing.T, fn func(t testing.TB, b *bench)) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		b := &bench{w: w, queue: &queuetest.Queue{}}
		b.Queue = &Queue{Manager: b.queue, DB: w.DB, Directory: w.Directory, Audit: w.Audit}
		acme := w.Acme.Key
		b.queue.Add(
			queue.Entry{Organization: acme, Trace: "t-1", From: "ann@acme.awsapps.com", Recipient: "x@there.example", Destination: queue.Destination{Domain: "there.example"}, Queued: transporttest.Start},
			queue.Entry{Organization: acme, Trace: "t-2", From: "bob@acme.awsapps.com", Recipient: "y@xn--bcher-kva.example", Destination: queue.Destination{Domain: "xn--bcher-kva.example"}, Held: true, Queued: transporttest.Start},
			queue.Entry{Trace: "t-3", Recipient: "z@there.example", Destination: queue.Destination{Domain: "there.example"}, Queued: transporttest.Start.Add(-time.Hour)},
			queue.Entry{Organization: 1 << 40, Trace: "t-4", Recipient: "z@there.example", Destination: queue.Destination{Domain: "there.example"}, Queued: transporttest.Start},
		)
		fn(w.T, b)
	})
}

// listed are the numbers of messages and whose they are, in pages of one.
func (b *bench) listed(t testing.TB, p principal.Principal, c Choice) string {
	t.Helper()
	var found []string
	for page := (directory.Page{Limit: 1}); ; {
		entries, next, err := b.List(t.Context(), p, c, page)
		if err != nil {
			return err.Error()
		}
		for _, e := range entries {
			whose := map[directory.OrgID]string{b.w.Acme.ID: "acme", "": "nobody's"}[e.OrganizationID]
			found = append(found, fmt.Sprint(e.Message, " ", whose))
		}
		if page.After = next; next == "" {
			return strings.Join(found, ", ")
		}
	}
}

func TestList(t *testing.T) {
	start(t, func(t testing.TB, b *bench) {
		acme := b.w.Acme.ID
		for name, c := range map[string]struct {
			p    principal.Principal
			c    Choice
			want string
		}{
			"an administrator":            {admin, Choice{Organization: acme}, "1 acme, 2 acme"},
			"an operator, of one":         {operator, Choice{Organization: acme}, "1 acme, 2 acme"},
			"an operator, of all":         {operator, Choice{}, "1 acme, 2 acme, 3 nobody's, 4 nobody's"},
			"a message":                   {operator, Choice{Message: 3}, "3 nobody's"},
			"a foreign message":           {admin, Choice{Organization: acme, Message: 3}, ""},
			"a trace":                     {admin, Choice{Organization: acme, Trace: "t-2"}, "2 acme"},
			"a sender":                    {admin, Choice{Organization: acme, From: "ANN@acme.awsapps.com"}, "1 acme"},
			"a recipient":                 {operator, Choice{Recipient: "Z@there.example"}, "3 nobody's, 4 nobody's"},
			"a domain as people write it": {admin, Choice{Organization: acme, Domain: "BÜCHER.example."}, "2 acme"},
			"held":                        {operator, Choice{Held: &yes}, "2 acme"},
			"not held":                    {admin, Choice{Organization: acme, Held: &no}, "1 acme"},
			"an unknown organization":     {admin, Choice{Organization: "m-0"}, "organization m-0 does not exist"},
			"none":                        {admin, Choice{}, "organization  does not exist"},
			"unknown to an operator":      {operator, Choice{Organization: "m-0"}, "organization m-0 does not exist"},
			"a user":                      {principal.Principal{Kind: principal.User}, Choice{Organization: acme}, "a user may not administer the organization"},
		} {
			if got := b.listed(t, c.p, c.c); got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
		for _, cursor := range []string{"x", "-1", "0"} {
			if _, _, err := b.List(t.Context(), admin, Choice{Organization: acme}, directory.Page{After: cursor}); !fault.Is(err, fault.Invalid, fault.Token) {
				t.Errorf("the cursor %q: %v", cursor, err)
			}
		}
	})
}

// TestOperatorsReachInactiveOrganizations: mail of an organisation that is on its way out can still be taken off the queue.
func TestOperatorsReachInactiveOrganizations(t *testing.T) {
	start(t, func(t testing.TB, b *bench) {
		err := b.w.DB.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			o, err := b.w.Directory.HoldTx(ctx, tx, b.w.Acme.ID)
			if err != nil {
				return err
			}
			_, err = b.w.Directory.SetStateTx(ctx, tx, o, directory.OrgActive, directory.OrgDeleting, "")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		c := Choice{Organization: b.w.Acme.ID, All: true}
		if _, err := b.Drop(t.Context(), admin, c, false); !fault.Is(err, fault.State, fault.Organization) {
			t.Errorf("an administrator: %v", err)
		}
		if n, err := b.Drop(t.Context(), operator, c, false); n != 2 || err != nil {
			t.Errorf("an operator dropped %d, %v", n, err)
		}
	})
}

func TestChanges(t *testing.T) {
	start(t, func(t testing.TB, b *bench) {
		ctx, acme := t.Context(), b.w.Acme.ID
		domain := Choice{Organization: acme, Domain: "there.example"}
		for _, step := range []struct {
			name  string
			do    func() (int, error)
			n     int
			after string // held ones of all
		}{
			{"hold", func() (int, error) { return b.Hold(ctx, admin, domain) }, 1, "1 acme, 2 acme"},
			{"hold again", func() (int, error) { return b.Hold(ctx, admin, domain) }, 0, "1 acme, 2 acme"},
			{"hold by an operator", func() (int, error) { return b.Hold(ctx, operator, Choice{Domain: "there.example"}) }, 2, "1 acme, 2 acme, 3 nobody's, 4 nobody's"},
			{"release one", func() (int, error) { return b.Release(ctx, admin, Choice{Organization: acme, Message: 2}) }, 1, "1 acme, 3 nobody's, 4 nobody's"},
			{"release a foreign one", func() (int, error) { return b.Release(ctx, admin, Choice{Organization: acme, Message: 3}) }, 0, "1 acme, 3 nobody's, 4 nobody's"},
			{"release all", func() (int, error) { return b.Release(ctx, admin, Choice{Organization: acme, All: true}) }, 1, "3 nobody's, 4 nobody's"},
			{"retry", func() (int, error) { return b.Retry(ctx, admin, Choice{Organization: acme, All: true}) }, 2, "3 nobody's, 4 nobody's"},
			{"drop and bounce", func() (int, error) { return b.Drop(ctx, operator, Choice{Held: &yes}, true) }, 2, ""},
			{"drop", func() (int, error) {
				return b.Drop(ctx, admin, Choice{Organization: acme, From: "bob@acme.awsapps.com"}, false)
			}, 1, ""},
		} {
			if n, err := step.do(); n != step.n || err != nil {
				t.Errorf("%s: %d, %v; want %d", step.name, n, err, step.n)
			}
			if got := b.listed(t, operator, Choice{Held: &yes}); got != step.after {
				t.Errorf("after %s are held: %s, want %s", step.name, got, step.after)
			}
		}
		if got := b.listed(t, operator, Choice{}); got != "1 acme" {
			t.Errorf("left is %s", got)
		}
		want := []string{
			"AKIATEST HoldQueuedMessages  done domain=there.example",
			"AKIATEST HoldQueuedMessages  done domain=there.example",
			"AKIATEST ReleaseQueuedMessages 2 done message=2",
			"AKIATEST ReleaseQueuedMessages 3 done message=3",
			"AKIATEST ReleaseQueuedMessages  done all",
			"AKIATEST RetryQueuedMessages  done all",
			"AKIATEST DropQueuedMessages  done from=bob@acme.awsapps.com",
		}
		if got := b.recorded(t, string(acme)); !slices.Equal(got, want) {
			t.Errorf("the trail of acme is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		want = []string{" HoldQueuedMessages  done domain=there.example", " DropQueuedMessages  done held=true bounced"}
		if got := b.recorded(t, ""); !slices.Equal(got, want) {
			t.Errorf("the trail of nobody is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// recorded are the queue's records in an organisation's audit trail.
func (b *bench) recorded(t testing.TB, organization string) (lines []string) {
	t.Helper()
	records, err := b.w.Audit.Read(t.Context(), audit.Query{Organization: organization})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if strings.HasSuffix(r.Operation, "QueuedMessages") {
			lines = append(lines, strings.Join([]string{r.Actor.ID, r.Operation, r.Subject, r.Outcome, r.Detail}, " "))
		}
	}
	return lines
}

// TestChangesSayWhatTheyMean: a filter that was left out by mistake must not mean everything.
func TestChangesSayWhatTheyMean(t *testing.T) {
	start(t, func(t testing.TB, b *bench) {
		acme := b.w.Acme.ID
		for _, c := range []Choice{{Organization: acme}, {Organization: acme, All: true, Trace: "t-1"}} {
			if _, err := b.Drop(t.Context(), admin, c, false); !fault.Is(err, fault.Invalid, fault.None) {
				t.Errorf("%v: %v", c, err)
			}
		}
		if _, err := b.Drop(t.Context(), operator, Choice{}, false); !fault.Is(err, fault.Invalid, fault.None) {
			t.Errorf("an operator: %v", err)
		}
		if _, err := b.Drop(t.Context(), admin, Choice{Organization: "m-0"}, false); !fault.Is(err, fault.NotFound, fault.Organization) {
			t.Errorf("the organization must be told first: %v", err)
		}
		if got := b.recorded(t, string(acme)); len(got) > 0 {
			t.Errorf("what was refused is in the trail: %q", got)
		}
	})
}

func TestAChangeThatFailsIsRecordedTwice(t *testing.T) {
	start(t, func(t testing.TB, b *bench) {
		b.queue.Fails = fault.New(fault.Temporary, fault.None, "the disk is full")
		n, err := b.Hold(t.Context(), operator, Choice{All: true})
		if n != 1 || !errors.Is(err, b.queue.Fails) || fault.KindOf(err) != fault.Temporary {
			t.Errorf("held %d, %v", n, err)
		}
		want := []string{" HoldQueuedMessages  done all", " HoldQueuedMessages  temporary after 1 entries"}
		if got := b.recorded(t, ""); !slices.Equal(got, want) {
			t.Errorf("the trail is %q, want %q", got, want)
		}
	})
}

// TestNoChangeWithoutARecord lets the audit trail fail.
func TestNoChangeWithoutARecord(t *testing.T) {
	start(t, func(t testing.TB, b *bench) {
		gone, err := db.Open(t.Context(), db.Options{Path: t.TempDir() + "/x.db", Log: slog.New(slog.DiscardHandler)}) // without the table
		if err != nil {
			t.Fatal(err)
		}
		defer gone.Close()
		b.Queue.Audit = audit.New(gone, clock.System{}, audit.Config{})
		if n, err := b.Hold(t.Context(), operator, Choice{All: true}); n != 0 || err == nil {
			t.Errorf("held %d, %v", n, err)
		}
		if got := b.listed(t, operator, Choice{Held: &yes}); got != "2 acme" {
			t.Errorf("held are %s", got)
		}
	})
}

func TestTrace(t *testing.T) {
	start(t, func(t testing.TB, b *bench) {
		ctx, acme := t.Context(), b.w.Acme.ID
		for range 2 {
			if _, err := b.Retry(ctx, admin, Choice{Organization: acme, Trace: "t-1"}); err != nil {
				t.Fatal(err)
			}
		}
		var names []string
		for page := (directory.Page{Limit: 2}); ; {
			events, next, err := b.Trace(ctx, admin, acme, "t-1", page)
			if err != nil || len(events) > 2 {
				t.Fatalf("%v, %v", events, err)
			}
			for _, e := range events {
				names = append(names, EventName(e.Kind))
			}
			if page.After = next; next == "" {
				break
			}
		}
		if want := []string{"QUEUED", "RETRIED", "RETRIED"}; !slices.Equal(names, want) {
			t.Errorf("the events are %q, want %q", names, want)
		}
		if events, next, err := b.Trace(ctx, admin, acme, "t-1", directory.Page{After: "7"}); len(events) > 0 || next != "" || err != nil {
			t.Errorf("behind the end: %v, %q, %v", events, next, err)
		}
		if _, _, err := b.Trace(ctx, admin, acme, "t-3", directory.Page{}); !fault.Is(err, fault.NotFound, fault.Message) {
			t.Errorf("a foreign trace: %v", err)
		}
		if events, _, err := b.Trace(ctx, operator, "", "t-3", directory.Page{}); len(events) != 1 || err != nil {
			t.Errorf("an operator: %v, %v", events, err)
		}
		if _, _, err := b.Trace(ctx, admin, acme, "t-1", directory.Page{After: "x"}); !fault.Is(err, fault.Invalid, fault.Token) {
			t.Errorf("a bad cursor: %v", err)
		}
	})
}

func TestDescribe(t *testing.T) {
	start(t, func(t testing.TB, b *bench) {
		d, err := b.Describe(t.Context(), admin)
		if want := (Depth{3, 1, transporttest.Start.Add(-time.Hour)}); d != want || err != nil {
			t.Errorf("%+v, %v; want %+v", d, err, want)
		}
		if _, err := b.Describe(t.Context(), principal.Principal{Kind: principal.User}); fault.KindOf(err) != fault.Denied {
			t.Errorf("a user: %v", err)
		}
	})
}
