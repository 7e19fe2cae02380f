package autoreply_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/autoreply"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// TestWhoWasAnsweredIsForgotten with the setting that stood, by a job, and with the mailbox.
func TestWhoWasAnsweredIsForgotten(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		id := w.User("ann")
		box := w.Box(id)
		put := func(r autoreply.Setting) autoreply.Standing {
			t.Helper()
			w.Must(w.Autoreply.Put(t.Context(), transporttest.Admin, w.Acme.ID, string(id), r))
			all, err := w.Autoreply.Standing(t.Context(), box)
			w.Must(err)
			return all[box]
		}
		remember := func(st autoreply.Standing) (fresh bool) {
			w.Write(func(ctx context.Context, tx *db.Tx) (err error) {
				fresh, err = w.Autoreply.RememberTx(ctx, tx, box, st, message.Address{Local: "Bob", Domain: "b.example"})
				return err
			})
			return fresh
		}
		count := func() (n int) {
			w.Must(w.DB.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				return tx.QueryRow(ctx, `SELECT COUNT(*) FROM auto_reply_answered`).Scan(&n)
			}))
			return n
		}
		setting := autoreply.Setting{State: autoreply.Enabled, Internal: "x", Audience: autoreply.All}
		first := put(setting)
		if !remember(first) || remember(first) {
			t.Error("a sender is to be answered once")
		}
		second := put(setting)
		if remember(first) || !remember(second) {
			t.Error("a setting that was changed meanwhile answers nobody, the new one does")
		}
		runner := job.NewRunner(w.DB, clock.System{}, slog.New(slog.NewTextHandler(t.Output(), nil)))
		w.Autoreply.Handle(runner)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		ended := make(chan error, 1)
		go func() { ended <- runner.Run(ctx) }()
		for count() > 1 && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(time.Millisecond):
			}
		}
		cancel()
		w.Must(<-ended)
		if n := count(); n != 1 {
			t.Errorf("%d senders are left, want that of the setting that stands", n)
		}
		check := func(want int) {
			t.Helper()
			w.Must(w.DB.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				faults, err := w.Autoreply.Check(ctx, tx)
				if len(faults) != want {
					t.Errorf("found is %q", faults)
				}
				return err
			}))
		}
		check(0)
		w.Write(func(ctx context.Context, tx *db.Tx) error {
			return w.Autoreply.PutTx(ctx, tx, 1<<40, setting)
		})
		check(1)
		for _, gone := range []int{1, 1, 0} {
			w.Write(func(ctx context.Context, tx *db.Tx) error {
				if n, err := w.Autoreply.ForgetTx(ctx, tx, box, 1); n != gone || err != nil {
					t.Errorf("%d rows went, want %d: %v", n, gone, err)
				}
				return nil
			})
		}
		if all, err := w.Autoreply.Standing(t.Context(), box); len(all) != 0 || err != nil {
			t.Errorf("there stands %v, %v", all, err)
		}
	})
}

// TestOldSettingNotedLast: the one that stands is read, whichever was told of last.
func TestOldSettingNotedLast(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		box := w.Box(w.User("ann"))
		_, err := w.Autoreply.Standing(t.Context(), box)
		w.Must(err)
		w.Write(func(ctx context.Context, tx *db.Tx) error {
			if err := w.Autoreply.PutTx(ctx, tx, box, autoreply.Setting{State: autoreply.Disabled, External: "x", Audience: autoreply.All}); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `UPDATE auto_reply SET state = $1`, string(autoreply.Enabled)) // of another, whose note came before
			return err
		})
		if all, err := w.Autoreply.Standing(t.Context(), box); err != nil || len(all) != 1 {
			t.Errorf("there stands %v, %v", all, err)
		}
	})
}
