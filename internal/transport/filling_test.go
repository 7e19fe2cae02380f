package transport_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/mailbox/content"
	"github.com/pennypost/pennypost/internal/message/sieve"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// filling is a world with ann, whose mailbox holds 100,000 bytes.
type filling struct {
	*transporttest.World
	ann directory.EntityID
	box mailbox.ID
	// tell does the jobs.
	tell job.Handler
}

func onBothFilling(t *testing.T, fn func(f *filling), change ...func(*transport.Options)) {
	t.Helper()
	transporttest.OnBoth(t, func(o *transport.Options) {
		for _, c := range change {
			c(o)
		}
	}, func(w *transporttest.World) {
		ann := w.User("ann")
		w.SetQuota(ann, 100_000)
		fn(&filling{w, ann, w.Box(ann), w.TellFilling})
	})
}

// hold makes the mailbox hold so many bytes, by a message in Sent Items.
func (f *filling) hold(bytes int64) {
	f.T.Helper()
	d, err := f.Mailboxes.Details(f.T.Context(), f.box)
	f.Must(err)
	if d.Bytes >= bytes {
		for _, folder := range []mailbox.FolderID{mailbox.SentID, mailbox.InboxID} {
			_, err := f.Mailboxes.Expunge(f.T.Context(), f.box, folder, mailbox.AllUIDs(), false)
			f.Must(err)
		}
		d.Bytes = 0
	}
	_, err = f.Mailboxes.Deliver(f.T.Context(), f.of(bytes-d.Bytes), mailbox.Target{Mailbox: f.box, Folder: mailbox.SentID})
	f.Must(err)
}

func (f *filling) of(bytes int64) mailbox.Message {
	const header = "From: x@y.z\r\n\r\n"
	b := []byte(header + strings.Repeat("x", int(bytes)-len(header)))
	return content.Message(b, mailbox.Source{Bytes: b})
}

// bring brings a message, as an import does.
func (f *filling) bring(bytes int64) {
	f.T.Helper()
	_, err := f.Mailboxes.DeliverAll(f.T.Context(), f.box, mailbox.SentID, []mailbox.Arrival{{Message: f.of(bytes)}}, func(context.Context, *db.Tx, []mailbox.Stored) error { return nil })
	f.Must(err)
}

// due are the times, from now on, at which jobs of the kind are due.
func (f *filling) due() (times []time.Duration) {
	f.T.Helper()
	list, err := job.List(f.T.Context(), f.DB, 0, 100)
	f.Must(err)
	for _, j := range list {
		if j.Kind == transport.FillingKind {
			times = append(times, max(0, j.Due.Sub(f.Clock.Now())))
		}
	}
	return times
}

// run lets time pass, and does the jobs that become due.
func (f *filling) run(pass time.Duration) {
	f.T.Helper()
	f.Clock.Advance(pass)
	runner := job.NewRunner(f.DB, f.Clock, f.Log)
	runner.Handle(transport.FillingKind, func(ctx context.Context, j job.Job) error { return f.tell(ctx, j) })
	ctx, cancel := context.WithCancel(f.T.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	for end := time.Now().Add(time.Minute); slices.Contains(f.due(), 0); {
		if time.Now().After(end) {
			f.T.Fatal("the jobs never end")
		}
		<-time.After(time.Millisecond)
	}
	cancel()
	f.Must(<-ended)
}

// notices are in the inbox.
func (f *filling) notices() (texts []string) {
	f.T.Helper()
	for it, err := range f.Mailboxes.Fetch(f.T.Context(), f.box, mailbox.InboxID, mailbox.AllUIDs(), mailbox.WantBody, 0) {
		f.Must(err)
		b, err := f.Mailboxes.Open(f.T.Context(), it)
		f.Must(err)
		text := make([]byte, b.Size())
		_, err = b.ReadAt(text, 0)
		f.Must(err)
		f.Must(b.Close())
		texts = append(texts, string(text))
	}
	return texts
}

func (f *filling) want(what string, notices int, due ...time.Duration) {
	f.T.Helper()
	if n := len(f.notices()); n != notices {
		f.T.Errorf("%s: %d notices, want %d", what, n, notices)
	}
	if got := f.due(); !slices.Equal(got, due) {
		f.T.Errorf("%s: jobs are due in %v, want %v", what, got, due)
	}
}

// TestTheOwnerOfAMailboxThatFillsIsTold once for each time it comes to nine tenths, and not twice in a day.
func TestTheOwnerOfAMailboxThatFillsIsTold(t *testing.T) {
	onBothFilling(t, func(f *filling) {
		f.hold(80_000)
		f.hold(89_500)
		f.want("below", 0)
		x := outside(f.World, 0)
		add(f.World, x, annsAddress)
		f.Must(store(t.Context(), x, strings.Replace(simple, "body", strings.Repeat("a line\r\n", 100), 1)))
		f.want("a letter", 1, 0)
		f.run(0)
		f.want("told", 2)
		said := f.notices()[1]
		for _, part := range []string{
			"Return-Path: <>\r\nDelivered-To: ann@acme.awsapps.com\r\n", "To: <ann@acme.awsapps.com>\r\n", "MAILER-DAEMON@mail.acme.awsapps.com",
			"Subject: Your mailbox is nearly full (90 %)\r\n", "Auto-Submitted: auto-generated\r\n", "of the 0.1 MB that it may, which is 90 %", "Delete what you do not need",
		} {
			if !strings.Contains(said, part) {
				t.Errorf("the notice lacks %q:\n%s", part, said)
			}
		}

		f.hold(10_000) // nothing is left of both
		f.hold(91_000)
		f.run(time.Hour)
		f.want("again on the same day", 0, 23*time.Hour)
		f.hold(10_000)
		f.hold(91_000)
		f.run(time.Hour)
		f.want("and again", 0, 22*time.Hour)
		f.run(22 * time.Hour)
		f.want("the next day", 1)
		f.hold(10_000)
		f.hold(91_000)
		f.hold(10_000)
		f.run(48 * time.Hour)
		f.want("what fell below in between", 0)
		f.hold(99_900)
		f.want("and came again", 0, 0)
		f.run(0)
		f.want("a mailbox that has no room for it", 0)
		f.run(48 * time.Hour)
		f.want("is not told later", 0)
	})
}

// TestANoticeIsStoredOnceWhateverBefalls the job: before it, or after the notice is stored and before that is known.
func TestANoticeIsStoredOnceWhateverBefalls(t *testing.T) {
	onBothFilling(t, func(f *filling) {
		killed, n := errors.New("killed"), 0
		f.tell = func(ctx context.Context, j job.Job) error {
			n++
			if n == 1 {
				return killed
			}
			if err := f.TellFilling(ctx, j); err != nil || n > 2 {
				return err
			}
			return killed
		}
		f.hold(91_000)
		for n < 3 {
			f.run(time.Minute)
		}
		f.want("after three attempts", 1)
		f.run(48 * time.Hour)
		f.want("and days", 1)
	})
}

// TestAnImportIsOverBeforeItIsTold that the mailbox is nearly full.
func TestAnImportIsOverBeforeItIsTold(t *testing.T) {
	onBothFilling(t, func(f *filling) {
		f.bring(89_000)
		f.want("below", 0)
		f.bring(2000)
		f.run(30 * time.Minute)
		f.want("half an hour later", 0, 30*time.Minute)
		f.bring(100)
		f.want("as long as more comes", 0, time.Hour)
		f.run(59 * time.Minute)
		f.want("not yet", 0, time.Minute)
		f.run(time.Minute)
		f.want("over", 1)
		f.run(48 * time.Hour)
		f.bring(20)
		f.want("another import", 1)
	})
}

// meanwhile does something before mailboxes' rules are looked for.
type meanwhile struct {
	transport.Scripts
	do func()
}

func (m *meanwhile) Active(ctx context.Context, boxes ...mailbox.ID) (map[mailbox.ID]*sieve.Script, error) {
	m.do()
	return m.Scripts.Active(ctx, boxes...)
}

// TestAMailboxThatGetsRoomWhileItsNoticeIsMade: it is not told, and is when it fills again.
func TestAMailboxThatGetsRoomWhileItsNoticeIsMade(t *testing.T) {
	m := &meanwhile{do: func() {}}
	onBothFilling(t, func(f *filling) {
		f.hold(91_000)
		m.do = func() { f.SetQuota(f.ann, 1_000_000) }
		f.run(0)
		f.want("with room again", 0)
		m.do = func() {}
		f.SetQuota(f.ann, 100_000)
		f.want("a smaller quota", 0, 0)
		f.run(0)
		f.want("told", 1)
	}, func(o *transport.Options) {
		m.Scripts = o.Scripts
		o.Scripts = m
	})
}
