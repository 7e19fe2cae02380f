package transport_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// senders is a world with ann and bob of acme, who have addresses in the test domain and in acme.test, and with eve of
// another organisation of the same account.
type senders struct {
	*transporttest.World
	ann, bob, eve directory.EntityID
	other         *directory.Organization
}

func onBothSenders(t *testing.T, daily transport.Daily, fn func(s *senders)) {
	t.Helper()
	onBothSendersWith(t, func(o *transport.Options) { o.Daily = daily }, fn)
}

func onBothSendersWith(t *testing.T, change func(*transport.Options), fn func(s *senders)) {
	t.Helper()
	transporttest.OnBoth(t, change, func(w *transporttest.World) {
		s := &senders{World: w, ann: w.User("ann"), bob: w.User("bob"), other: w.Organization("other")}
		s.eve = w.UserOf(s.other, "eve")
		w.Write(func(ctx context.Context, tx *db.Tx) error {
			o, err := w.Directory.GateTx(ctx, tx, w.Acme.ID)
			if err != nil {
				return err
			}
			return w.Directory.RegisterDomainTx(ctx, tx, o, "acme.test")
		})
		w.Must(w.Directory.VouchForDomain(t.Context(), transporttest.Admin, w.Acme.ID, "acme.test"))
		for name, id := range map[string]directory.EntityID{"ann": s.ann, "bob": s.bob} {
			w.Must(w.Directory.CreateAlias(t.Context(), transporttest.Admin, w.Acme.ID, id, name+"@acme.test"))
		}
		fn(s)
	})
}

const (
	external = "eve@other.awsapps.com"
	internal = "bob@acme.awsapps.com"
)

// begin starts a message of a user of acme, or of eve, to the recipients; from is its reverse-path.
func (s *senders) begin(id directory.EntityID, from string, to ...string) (*transport.Transaction, error) {
	p := user(s.World, id)
	if id == s.eve {
		p.Organization = string(s.other.ID)
	}
	sender := transport.Sender{Principal: p, Submitted: true}
	if from != "" {
		sender.From = address(from)
	}
	x, err := s.Begin(s.T.Context(), sender)
	if err != nil {
		return nil, err
	}
	for _, a := range to {
		if err := x.Add(s.T.Context(), asked(a)); err != nil {
			return x, err
		}
	}
	return x, nil
}

// send sends a whole message, from the same address in the reverse-path and in From.
func (s *senders) send(id directory.EntityID, from string, to ...string) error {
	x, err := s.begin(id, from, to...)
	if err != nil {
		return err
	}
	return store(s.T.Context(), x, "From: "+from+"\r\n\r\nx\r\n")
}

// counted returns the recipients counted for the clock's day by "scope subject".
func (s *senders) counted() map[string]int {
	s.T.Helper()
	counts := map[string]int{}
	s.Must(s.DB.Read(s.T.Context(), func(ctx context.Context, tx *db.Tx) error {
		rows, err := tx.Query(ctx, `SELECT scope, subject, recipients FROM sent_recipients WHERE day = $1`, s.Clock.Now().Unix()/86400)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var scope, n int
			var subject string
			if err := rows.Scan(&scope, &subject, &n); err != nil {
				return err
			}
			counts[fmt.Sprint(scope, " ", subject)] = n
		}
		return rows.Err()
	}))
	return counts
}

// key is a user as counts name it.
func (s *senders) key(id directory.EntityID) (key string) {
	s.T.Helper()
	s.Must(s.DB.Read(s.T.Context(), func(ctx context.Context, tx *db.Tx) error {
		e, err := s.Directory.EntityByIDTx(ctx, tx, s.Acme.Key, id)
		if err == nil {
			key = fmt.Sprint("1 ", e.Key)
		}
		return err
	}))
	return key
}

const (
	accountExternal = "2 000000000000"
	accountTest     = "3 000000000000"
)

func exceeded(err error) bool { return fault.Is(err, fault.Limit, fault.Allowance) }

func TestWhoCountsInTheLimitsOfADay(t *testing.T) {
	onBothSenders(t, transport.Daily{UserExternal: 1000, AccountExternal: 1000, AccountTest: 1000}, func(s *senders) {
		as := s.User("as")
		s.Must(s.Directory.CreateAlias(t.Context(), transporttest.Admin, s.Acme.ID, as, "as@acme.test"))
		s.Grant(as, s.ann, policy.SendAs)
		s.Group("team", s.bob, as)
		for _, c := range []struct {
			name                string
			reversePath, from   string
			to                  []string
			user, account, test int
		}{
			{"from an own domain, inside", "ann@acme.test", "ann@acme.test", []string{internal, "bob@acme.test"}, 0, 0, 0},
			{"from an own domain, outside", "ann@acme.test", "ann@acme.test", []string{external, internal}, 1, 1, 0},
			{"from the test domain, inside", "ann@acme.awsapps.com", "ann@acme.awsapps.com", []string{internal}, 0, 0, 1},
			{"from the test domain, outside", "ann@acme.awsapps.com", "ann@acme.awsapps.com", []string{external, internal}, 1, 1, 2},
			{"the reverse-path alone in the test domain", "ann@acme.awsapps.com", "ann@acme.test", []string{internal}, 0, 0, 1},
			{"From alone in the test domain", "ann@acme.test", "ann@ACME.awsapps.com", []string{internal}, 0, 0, 1},
			{"From alone, no reverse-path", "", "ann@acme.awsapps.com", []string{internal}, 0, 0, 1},
			{"no reverse-path, from an own domain", "", "ann@acme.test", []string{external}, 1, 1, 0},
			{"as somebody who allowed it: the user pays, as whom it is sent says from where", "ann@acme.awsapps.com", "as@acme.test", []string{external}, 1, 1, 0},
			{"an address twice", "ann@acme.test", "ann@acme.test", []string{external, external}, 2, 2, 0},
			{"a group is one recipient", "ann@acme.awsapps.com", "ann@acme.awsapps.com", []string{"team@acme.awsapps.com"}, 0, 0, 1},
		} {
			s.Clock.Advance(24 * time.Hour)
			x, err := s.begin(s.ann, c.reversePath, c.to...)
			s.Must(err)
			if got := s.counted(); len(got) != 0 {
				t.Errorf("%s: counted before it was stored: %v", c.name, got)
			}
			s.Must(store(t.Context(), x, "From: "+c.from+"\r\n\r\nx\r\n"))
			want := map[string]int{s.key(s.ann): c.user, accountExternal: c.account, accountTest: c.test}
			maps.DeleteFunc(want, func(_ string, n int) bool { return n == 0 })
			if got := s.counted(); !maps.Equal(got, want) {
				t.Errorf("%s: counted %v, want %v", c.name, got, want)
			}
		}
	})
}

// Each limit lets through as many as it says, refuses the next recipient at once, and leaves those alone whom it doesn't
// bound.
func TestLimitsOfADay(t *testing.T) {
	for _, c := range []struct {
		name  string
		daily transport.Daily
		fn    func(s *senders)
	}{
		{"user", transport.Daily{UserExternal: 2}, func(s *senders) {
			s.Must(s.send(s.ann, "ann@acme.test", external, internal))
			x, err := s.begin(s.ann, "ann@acme.awsapps.com", external)
			s.Must(err)
			err = x.Add(s.T.Context(), asked(external))
			want := "the limit of 2 external recipients per user and day leaves no room for this; the next day begins at 2026-11-24T00:00:00Z"
			if !exceeded(err) || err.Error() != want {
				s.T.Errorf("the third: %v", err)
			}
			s.Must(x.Add(s.T.Context(), asked(internal)))
			y, err := s.begin(s.ann, "ann@acme.test", external)
			s.Must(err)
			s.Must(store(s.T.Context(), x, "From: ann@acme.test\r\n\r\nx\r\n"))
			if _, err := s.begin(s.ann, "ann@acme.test", external); !exceeded(err) {
				s.T.Errorf("once all are used: %v", err)
			}
			s.Must(y.Add(s.T.Context(), asked(internal))) // it isn't this recipient for whom there is no room
			if err := store(s.T.Context(), y, "From: ann@acme.test\r\n\r\nx\r\n"); !exceeded(err) {
				s.T.Errorf("begun before all were used: %v", err)
			}
			s.Must(s.send(s.ann, "ann@acme.test", internal))
			s.Must(s.send(s.bob, "bob@acme.test", external))
		}},
		{"account", transport.Daily{AccountExternal: 2}, func(s *senders) {
			s.Must(s.send(s.ann, "ann@acme.test", external))
			s.Must(s.send(s.eve, external, internal)) // outside for eve, and of the same account
			if err := s.send(s.bob, "bob@acme.test", external); !exceeded(err) {
				s.T.Errorf("the third: %v", err)
			}
			s.Must(s.send(s.bob, "bob@acme.test", internal))
		}},
		{"test domains", transport.Daily{AccountTest: 2}, func(s *senders) {
			s.Must(s.send(s.ann, "ann@acme.awsapps.com", internal))
			s.Must(s.send(s.eve, external, external))
			if err := s.send(s.bob, internal, internal); !exceeded(err) {
				s.T.Errorf("the third: %v", err)
			}
			s.Must(s.send(s.bob, "bob@acme.test", internal, external))
			// Only its header says that this one is from a test domain.
			x, err := s.begin(s.bob, "", "ann@acme.test")
			s.Must(err)
			if err := store(s.T.Context(), x, "From: "+internal+"\r\n\r\nx\r\n"); !exceeded(err) || len(s.Inbox(s.ann)) != 0 {
				s.T.Errorf("known by its From: %v, ann has %d", err, len(s.Inbox(s.ann)))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) { onBothSenders(t, c.daily, c.fn) })
	}
}

func TestNothingIsCountedWithoutALimit(t *testing.T) {
	onBothSenders(t, transport.Daily{}, func(s *senders) {
		s.Must(s.send(s.ann, "ann@acme.awsapps.com", external, internal))
		x := outside(s.World, 0)
		add(s.World, x, internal)
		s.Must(store(t.Context(), x, simple))
		s.Must(s.Start(t.Context()))
		if prunes(t, s.DB) != 0 {
			t.Error("pruning is scheduled")
		}
		if n := rows(t, s.DB); n != 0 {
			t.Errorf("%d counts are kept", n)
		}
	})
}

func TestMailFromOtherServersIsNotCounted(t *testing.T) {
	onBothSenders(t, transport.Daily{UserExternal: 1, AccountExternal: 1, AccountTest: 1}, func(s *senders) {
		for range 2 {
			x := outside(s.World, 0)
			add(s.World, x, internal)
			add(s.World, x, external)
			s.Must(store(t.Context(), x, simple))
		}
		if got := s.counted(); len(got) != 0 {
			t.Errorf("counted %v", got)
		}
	})
}

// What is refused for another reason, at whatever point, takes nothing of the limit.
func TestRefusedMailIsNotCounted(t *testing.T) {
	onBothSenders(t, transport.Daily{UserExternal: 1, AccountTest: 3}, func(s *senders) {
		x, err := s.begin(s.ann, "ann@acme.test", external)
		s.Must(err)
		if err := x.Add(t.Context(), asked("friend@elsewhere.test")); !fault.Is(err, fault.Unsupported, fault.Address) {
			t.Errorf("another server: %v", err)
		}
		if err := store(t.Context(), x, "From: bob@acme.test\r\n\r\nx\r\n"); !fault.Is(err, fault.Denied, fault.Address) {
			t.Errorf("a forged From: %v", err)
		}
		x, err = s.begin(s.ann, "ann@acme.awsapps.com", external, internal)
		s.Must(err)
		s.SetQuota(s.bob, 1)
		if err := store(t.Context(), x, "From: ann@acme.test\r\n\r\nx\r\n"); !fault.Is(err, fault.Temporary, fault.Mailbox) {
			t.Errorf("a mailbox that filled: %v", err)
		}
		// Two limits count, and the second refuses: the first is not counted either.
		s.SetQuota(s.bob, 1<<20)
		s.Must(s.send(s.bob, internal, internal, internal))
		x, err = s.begin(s.ann, "ann@acme.test", external, internal)
		s.Must(err)
		if err := store(t.Context(), x, "From: ann@acme.awsapps.com\r\n\r\nx\r\n"); !exceeded(err) {
			t.Errorf("beyond the second limit: %v", err)
		}
		if got := s.counted(); !maps.Equal(got, map[string]int{accountTest: 2}) {
			t.Errorf("counted %v", got)
		}
		if n := len(s.InboxOf(s.other, s.eve)); n != 0 {
			t.Errorf("%d refused messages are stored", n)
		}
		s.Must(s.send(s.ann, "ann@acme.test", external))
	})
}

// Everybody passes RCPT while there is room, and then all end DATA at once.
func TestLimitsOfADayHoldUnderConcurrency(t *testing.T) {
	const clients, limit = 24, 10
	onBothSenders(t, transport.Daily{UserExternal: limit, AccountExternal: 2 * limit}, func(s *senders) {
		transactions := make([]*transport.Transaction, 3*clients)
		for i := range transactions {
			id, from, to := s.ann, "ann@acme.test", external
			switch i % 3 {
			case 1:
				id, from = s.bob, "bob@acme.test"
			case 2: // the account's last straw, and locks in another order of mailboxes
				id, from, to = s.eve, external, internal
			}
			var err error
			transactions[i], err = s.begin(id, from, to)
			s.Must(err)
		}
		var wg sync.WaitGroup
		results := make([]error, len(transactions))
		for i, x := range transactions {
			wg.Go(func() {
				from := []string{"ann@acme.test", "bob@acme.test", external}[i%3]
				results[i] = store(t.Context(), x, "From: "+from+"\r\n\r\nx\r\n")
			})
		}
		wg.Wait()
		stored := [3]int{}
		for i, err := range results {
			switch {
			case err == nil:
				stored[i%3]++
			case !exceeded(err):
				t.Errorf("client %d: %v", i, err)
			}
		}
		total := stored[0] + stored[1] + stored[2]
		if total != 2*limit || stored[0] > limit || stored[1] > limit || stored[2] > limit {
			t.Errorf("stored %v, want %d in all and %d each at most", stored, 2*limit, limit)
		}
		counts := s.counted()
		if counts[s.key(s.ann)] != stored[0] || counts[s.key(s.bob)] != stored[1] || counts[accountExternal] != total {
			t.Errorf("counted %v, stored %v", counts, stored)
		}
		if e, b := len(s.InboxOf(s.other, s.eve)), len(s.Inbox(s.bob)); e != stored[0]+stored[1] || b != stored[2] {
			t.Errorf("eve has %d and bob %d messages, stored %v", e, b, stored)
		}
	})
}

func TestCountsOutliveTheServerAndEndWithTheDay(t *testing.T) {
	onBothSenders(t, transport.Daily{UserExternal: 1, AccountExternal: 5, AccountTest: 5}, func(s *senders) {
		s.Must(s.send(s.ann, "ann@acme.awsapps.com", external))
		s.Transport = transport.New(s.Options) // another server on the same store
		if err := s.send(s.ann, "ann@acme.test", external); !exceeded(err) {
			t.Errorf("after a restart: %v", err)
		}
		s.Clock.Advance(12*time.Hour - time.Microsecond)
		if err := s.send(s.ann, "ann@acme.test", external); !exceeded(err) {
			t.Errorf("before midnight: %v", err)
		}
		s.Clock.Advance(time.Microsecond)
		s.Must(s.send(s.ann, "ann@acme.test", external))
		if got, want := s.counted(), (map[string]int{s.key(s.ann): 1, accountExternal: 1}); !maps.Equal(got, want) {
			t.Errorf("counted %v, want %v", got, want)
		}
	})
}

// The server's runner prunes a day's counts the day after the next, in batches, as long as anything is limited.
func TestCountsOfPastDaysArePruned(t *testing.T) {
	migrations := slices.Concat(job.Migrations(), transport.Migrations())
	dbtest.Bubble(t, migrations, func(t *testing.T, d *db.DB) {
		today := time.Now().Unix() / 86400
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			for i := range int64(1012) {
				if _, err := tx.Exec(ctx, `INSERT INTO sent_recipients (day, scope, subject, recipients) VALUES ($1, 1, $2, 1)`,
					today-max(2-i, 0), fmt.Sprint(i)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		o := transport.Options{DB: d, Clock: clock.System{}, Daily: transport.Daily{UserExternal: 1}}
		limited := transport.New(o)
		if err := limited.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, want := range []int{1011, 1010, 0} {
			stop := run(t, d, limited) // for an hour a day: looking for jobs is what takes time
			<-time.After(time.Hour)
			if n := rows(t, d); n != want {
				t.Errorf("on day %d there are %d rows, want %d", i, n, want)
			}
			stop()
			<-time.After(23 * time.Hour)
		}
		if jobs := prunes(t, d); jobs != 1 {
			t.Errorf("%d jobs are scheduled, want 1", jobs)
		}

		if err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO sent_recipients (day, scope, subject, recipients) VALUES ($1, 1, '1', 1)`, time.Now().Unix()/86400)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		o.Daily = transport.Daily{}
		<-time.After(24 * time.Hour)
		stop := run(t, d, transport.New(o))
		<-time.After(time.Hour)
		stop()
		if n, jobs := rows(t, d), prunes(t, d); n != 0 || jobs != 0 {
			t.Errorf("without a limit %d rows and %d jobs are left", n, jobs)
		}
	})
}

// run runs the jobs of a transport until the returned function is called.
func run(t *testing.T, d *db.DB, p *transport.Transport) (stop func()) {
	runner := job.NewRunner(d, clock.System{}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	p.Handle(runner)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the job runner: %v", err)
		}
	}
}

func rows(t *testing.T, d *db.DB) (n int) {
	t.Helper()
	err := d.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT COUNT(*) FROM sent_recipients`).Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// prunes returns how many jobs of pruning there are.
func prunes(t *testing.T, d *db.DB) (n int) {
	t.Helper()
	jobs, err := job.List(t.Context(), d, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		if j.Kind == "sent-recipients-prune" {
			n++
		}
	}
	return n
}
