package spam_test

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/transport/spam"
)

// TestAMessageCountsOnce moves a message again and again, copies and marks it: what it was counted as last is what counts.
func TestAMessageCountsOnce(t *testing.T) {
	onBoth(t, nil, func(w *world) {
		ann := w.User("ann")
		box, ctx := w.box(ann), t.Context()
		w.deliver(newCorpus(1).message(true), "ann")
		want := func(what string, spam, ham int) {
			t.Helper()
			w.learn(box)
			if s, h := w.trained(box); s != spam || h != ham {
				t.Errorf("%s: counted as %d of spam and %d of ham, want %d and %d", what, s, h, spam, ham)
			}
			if n := w.number(`SELECT COUNT(*) FROM spam_token WHERE mailbox = $1 AND (spam <> $2 OR ham <> $3)`, int64(box), spam, ham); n > 0 {
				t.Errorf("%s: %d tokens are counted differently", what, n)
			}
			if n := w.number(`SELECT COUNT(*) FROM spam_pending`); n > 0 {
				t.Errorf("%s: %d messages wait", what, n)
			}
		}
		move := func(from, to mailbox.FolderID) {
			t.Helper()
			_, err := w.Mailboxes.Move(ctx, box, from, mailbox.AllUIDs(), to)
			w.Must(err)
		}
		want("at first", 0, 0)
		move(mailbox.InboxID, mailbox.JunkID)
		want("moved to junk", 1, 0)
		w.mark(box, mailbox.JunkID, mailbox.Junk)
		want("marked too", 1, 0)
		move(mailbox.JunkID, mailbox.TrashID)
		want("thrown away", 1, 0)
		move(mailbox.TrashID, mailbox.JunkID)
		want("junk again", 1, 0)
		_, err := w.Mailboxes.Copy(ctx, box, mailbox.JunkID, mailbox.AllUIDs(), mailbox.InboxID)
		w.Must(err)
		want("copied out of junk", 0, 1)
		_, err = w.Mailboxes.Expunge(ctx, box, mailbox.JunkID, mailbox.AllUIDs(), false)
		w.Must(err)
		want("the other copy gone", 0, 1)
		for range 3 {
			move(mailbox.InboxID, mailbox.JunkID)
			move(mailbox.JunkID, mailbox.InboxID)
		}
		move(mailbox.InboxID, mailbox.JunkID)
		want("moved to and fro before it was learned", 1, 0)
	})
}

// TestCopiesAreFiledAtOnce moves messages together with copies of them, of which nothing is learned but the message.
func TestCopiesAreFiledAtOnce(t *testing.T) {
	onBoth(t, nil, func(w *world) {
		box, c := w.box(w.User("ann")), newCorpus(1)
		const messages = 12 // and as many copies: a batch has both of some
		for range messages {
			w.deliver(c.message(true), "ann")
		}
		_, err := w.Mailboxes.Copy(t.Context(), box, mailbox.InboxID, mailbox.AllUIDs(), mailbox.InboxID)
		w.Must(err)
		w.move(box, mailbox.InboxID, mailbox.JunkID)
		if s, h := w.trained(box); s != messages || h != 0 {
			t.Errorf("moved: counted as %d of spam and %d of ham", s, h)
		}
		w.mark(box, mailbox.JunkID, mailbox.NotJunk)
		w.learn(box)
		if s, h := w.trained(box); s != 0 || h != messages {
			t.Errorf("marked: counted as %d of spam and %d of ham", s, h)
		}
	})
}

// TestWhatCannotBeReadWaits files a large message while the store of bodies is down.
func TestWhatCannotBeReadWaits(t *testing.T) {
	onBoth(t, nil, func(w *world) {
		box, r := w.box(w.User("ann")), rand.New(rand.NewPCG(1, 2))
		text := []byte("Subject: a\r\n\r\n")
		for len(text) < 2*mailbox.DefaultInlineLimit {
			text = fmt.Appendf(text, "%x\r\n", r.Uint64())
		}
		w.deliver(string(text), "ann")
		_, err := w.Mailboxes.Move(t.Context(), box, mailbox.InboxID, mailbox.AllUIDs(), mailbox.JunkID)
		w.Must(err)
		w.deliver(newCorpus(1).message(true), "ann")
		_, err = w.Mailboxes.Move(t.Context(), box, mailbox.InboxID, mailbox.AllUIDs(), mailbox.JunkID)
		w.Must(err)
		w.FailBlobs(fault.New(fault.Temporary, fault.None, "try again later"))
		if err := w.Train(t.Context(), box); fault.KindOf(err) != fault.Temporary {
			t.Errorf("while the store is down: %v", err)
		}
		if s, _ := w.trained(box); s != 1 {
			t.Errorf("%d messages behind one that can't be read were learned", s)
		}
		w.FailBlobs(nil)
		w.learn(box)
		if s, h := w.trained(box); s != 2 || h != 0 {
			t.Errorf("counted as %d of spam and %d of ham", s, h)
		}
		w.move(box, mailbox.JunkID, mailbox.InboxID)
		w.FailBlobs(fs.ErrNotExist)
		w.move(box, mailbox.InboxID, mailbox.JunkID)
		if n := w.number(`SELECT COUNT(*) FROM spam_pending`); n > 0 {
			t.Errorf("%d messages wait whose bytes are gone", n)
		}
		_, err = w.Mailboxes.Move(t.Context(), box, mailbox.JunkID, mailbox.AllUIDs(), mailbox.InboxID)
		w.Must(err)
		w.FailBlobs(fault.New(fault.Temporary, fault.None, "try again later"))
		w.Clock.Advance(8 * 24 * time.Hour)
		w.learn(box)
		if n := w.number(`SELECT COUNT(*) FROM spam_pending`); n > 0 {
			t.Errorf("%d messages wait for ever", n)
		}
		w.FailBlobs(nil) // the world checks its bodies at the end
	})
}

// TestLearningBehavesAsItsModel moves, copies and marks a few messages at random, has now and then learned what that says, and compares with
// what was said of each message last.
func TestLearningBehavesAsItsModel(t *testing.T) {
	onBoth(t, nil, func(w *world) {
		box, ctx, c := w.box(w.User("ann")), t.Context(), newCorpus(4)
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 2))
		said := map[mailbox.EmailID]bool{} // is spam
		for range 4 {
			w.deliver(c.message(true), "ann")
		}
		folders := []mailbox.FolderID{mailbox.InboxID, mailbox.JunkID, mailbox.TrashID, mailbox.SentID}
		for step := range 80 {
			from, to := folders[r.IntN(4)], folders[r.IntN(4)]
			var items []mailbox.Item
			for it, err := range w.Mailboxes.Fetch(ctx, box, from, mailbox.AllUIDs(), mailbox.WantItem, 0) {
				w.Must(err)
				items = append(items, *it)
			}
			if len(items) == 0 {
				continue
			}
			it := items[r.IntN(len(items))]
			filed := func() {
				switch {
				case from == to:
				case to == mailbox.JunkID:
					said[it.Email] = true
				case from == mailbox.JunkID && to != mailbox.TrashID:
					said[it.Email] = false
				}
			}
			var err error
			switch one := mailbox.UIDs(it.UID); r.IntN(6) {
			case 0:
				if len(items) < 8 {
					_, err = w.Mailboxes.Copy(ctx, box, from, one, to)
					filed()
				}
			case 1:
				flag := []mailbox.Flags{mailbox.Junk, mailbox.NotJunk}[r.IntN(2)]
				_, err = w.Mailboxes.StoreFlags(ctx, box, from, one, mailbox.FlagChange{Add: flag, Remove: mailbox.Junk | mailbox.NotJunk}, mailbox.Always)
				if !it.Flags.Has(flag) {
					said[it.Email] = flag == mailbox.Junk
				}
			default:
				_, err = w.Mailboxes.Move(ctx, box, from, one, to)
				filed()
			}
			w.Must(err)
			if r.IntN(4) == 0 || step == 79 {
				w.learn(box)
				spam, ham := 0, 0
				for _, is := range said {
					if is {
						spam++
					} else {
						ham++
					}
				}
				if s, h := w.trained(box); s != spam || h != ham {
					t.Fatalf("seed %d, step %d: counted are %d of spam and %d of ham, said were %d and %d", seed, step, s, h, spam, ham)
				}
			}
		}
	})
}

// TestHamIsPresumed shows that who only ever calls messages spam is taken to mean the opposite of what was read and left alone.
func TestHamIsPresumed(t *testing.T) {
	onBoth(t, nil, func(w *world) {
		ann := w.User("ann")
		box, c := w.box(ann), newCorpus(3)
		for range 30 {
			w.deliver(c.message(false), "ann")
		}
		w.mark(box, mailbox.InboxID, mailbox.Seen)
		w.deliver(c.message(false), "ann") // not read
		w.learn(box)
		if s, h := w.trained(box); s+h > 0 {
			t.Errorf("who says nothing is taken to say %d and %d", s, h)
		}
		for i := range spam.MinTrained {
			_, err := w.Mailboxes.Deliver(t.Context(), asMessage(c.message(true)), mailbox.Target{Mailbox: box, Folder: mailbox.JunkID, ByUser: true})
			w.Must(err)
			if i == 0 {
				w.learn(box)
				if s, h := w.trained(box); s != 1 || h != 0 {
					t.Errorf("what was read just now is taken for ham: %d, %d", s, h)
				}
			}
		}
		w.Clock.Advance(25 * time.Hour)
		w.learn(box)
		if s, h := w.trained(box); s != spam.MinTrained || h != spam.MinTrained {
			t.Errorf("counted as %d of spam and %d of ham", s, h)
		}
		// Another word of the user counts more.
		w.move(box, mailbox.InboxID, mailbox.JunkID)
		if s, h := w.trained(box); s != spam.MinTrained+31 || h != 0 {
			t.Errorf("after all were called spam they are %d and %d", s, h)
		}
	})
}

// TestImportedJunkIsLearned brings mailboxes as import does: of Junk E-mail, and of what is marked, the recent is learned, and not more of
// it than of what is taken for ham, which is found a day later. Until there is ham nothing is spam.
func TestImportedJunkIsLearned(t *testing.T) {
	const junk = 30 + 210 + 20
	onBoth(t, nil, func(w *world) {
		w.client = netip.MustParseAddr("127.0.0.1") // no reputation
		ann, c := w.User("ann"), newCorpus(9)
		box := w.box(ann)
		bring := func(f mailbox.FolderID, n int, asSpam bool, flags mailbox.Flags, age time.Duration) {
			w.bring(box, f, n, func() string { return c.message(asSpam) }, flags, age)
		}
		counted := func(wantSpam, wantHam int) {
			t.Helper()
			w.learn(box)
			if s, h := w.trained(box); s != wantSpam || h != wantHam {
				t.Errorf("counted as %d of spam and %d of ham, want %d and %d", s, h, wantSpam, wantHam)
			}
		}
		bring(mailbox.JunkID, 30, true, 0, 100*24*time.Hour)
		counted(0, 0)
		bring(mailbox.InboxID, 210, false, mailbox.Seen, 10*24*time.Hour)
		bring(mailbox.JunkID, 210, true, 0, 10*24*time.Hour)
		counted(200, 0)
		bring(mailbox.JunkID, 20, true, 0, 10*24*time.Hour)
		counted(200, 0)
		for range 10 {
			w.deliver(c.message(false), "ann")
			w.deliver(c.message(true), "ann")
		}
		if n := len(w.Junk(ann)); n != junk {
			t.Errorf("with spam alone %d messages are taken for it", n-junk)
		}
		w.Clock.Advance(25 * time.Hour)
		for want := 50; want <= 200; want += 50 {
			counted(200, want)
		}
		counted(200, 200)
		for range 10 {
			w.deliver(c.message(false), "ann")
			w.deliver(c.message(true), "ann")
		}
		if n := len(w.Junk(ann)); n < junk+9 || n > junk+10 {
			t.Errorf("of 10 messages of spam %d are in Junk E-mail", n-junk)
		}
		bring(mailbox.InboxID, 10, false, mailbox.NotJunk, 0)
		counted(200, 200)
		// What the user says is counted as ever.
		w.move(box, mailbox.JunkID, mailbox.InboxID)
		if s, h := w.trained(box); s != 0 || h <= 400 {
			t.Errorf("after all of it was called ham it is %d and %d", s, h)
		}
	})
}

// TestFoldersBelowJunkAndTrashSayNothing files spam there, and has it read.
func TestFoldersBelowJunkAndTrashSayNothing(t *testing.T) {
	onBoth(t, nil, func(w *world) {
		box, c := w.box(w.User("ann")), newCorpus(8)
		list, err := w.Mailboxes.Folders(t.Context(), box)
		w.Must(err)
		for _, f := range list.Folders {
			if f.ID != mailbox.JunkID && f.ID != mailbox.TrashID {
				continue
			}
			below, err := w.Mailboxes.CreateFolder(t.Context(), box, f.Path+"/a/b", mailbox.Mail, 0)
			w.Must(err)
			w.deliver(c.message(true), "ann")
			w.mark(box, mailbox.InboxID, mailbox.Seen)
			w.move(box, mailbox.InboxID, mailbox.JunkID)
			w.move(box, mailbox.JunkID, below.ID)
			_, err = w.Mailboxes.Deliver(t.Context(), asMessage(c.message(true)), mailbox.Target{Mailbox: box, Folder: below.ID})
			w.Must(err)
			w.mark(box, below.ID, mailbox.Seen)
		}
		w.Clock.Advance(25 * time.Hour)
		for range 3 {
			w.deliver(c.message(true), "ann")
		}
		w.move(box, mailbox.InboxID, mailbox.JunkID)
		_, err = w.Mailboxes.Deliver(t.Context(), asMessage(c.message(true)), mailbox.Target{Mailbox: box, Folder: mailbox.JunkID, ByUser: true})
		w.Must(err)
		w.learn(box)
		if s, h := w.trained(box); s != 6 || h != 0 {
			t.Errorf("counted as %d of spam and %d of ham", s, h)
		}
	})
}

// TestWhatIsLearnedIsBounded fills a mailbox with more tokens than are kept, and purges it.
func TestWhatIsLearnedIsBounded(t *testing.T) {
	onBoth(t, func(o *spam.Options) { o.MaxTokens = 500 }, func(w *world) {
		ann := w.User("ann")
		box, c := w.box(ann), newCorpus(11)
		often := "alwayspresent"
		for range 12 {
			w.deliver(c.message(true)+often+"\r\n", "ann")
		}
		w.move(box, mailbox.InboxID, mailbox.JunkID)
		if n := w.number(`SELECT COUNT(*) FROM spam_token WHERE mailbox = $1`, int64(box)); n > 500 || n < 300 {
			t.Errorf("%d tokens are kept", n)
		}
		if n := w.number(`SELECT MAX(spam) FROM spam_token WHERE mailbox = $1`, int64(box)); n != 12 {
			t.Errorf("the token that was seen most was seen %d times", n)
		}
		w.Clock.Advance(200 * 24 * time.Hour)
		w.learn(box)
		if n := w.number(`SELECT COUNT(*) FROM spam_trained`); n > 0 {
			t.Errorf("%d messages are remembered for ever", n)
		}
		for {
			var n int
			w.Write(func(ctx context.Context, tx *db.Tx) (err error) {
				n, err = w.ForgetTx(ctx, tx, box, 100)
				return err
			})
			if n < 100 {
				break
			}
		}
		w.from = "x.example"
		w.deliver(c.message(true), "ann")
		w.Must(w.Flush(t.Context()))
		w.Write(func(ctx context.Context, tx *db.Tx) error {
			_, err := w.EraseTx(ctx, tx, w.Acme, 100)
			return err
		})
		if n := w.number(`SELECT COUNT(*) FROM spam_sender`); n > 0 {
			t.Errorf("%d senders are left of an organisation that is gone", n)
		}
		for id, want := range map[mailbox.ID]int{box: 0, 4711: 1} {
			var faults []string
			w.Write(func(ctx context.Context, tx *db.Tx) (err error) {
				if _, err = tx.Exec(ctx, `INSERT INTO spam_corpus (mailbox, spam, ham) VALUES ($1, 1, 1)`, int64(id)); err != nil {
					return err
				}
				if faults, err = w.Service.Check(ctx, tx); err == nil {
					_, err = tx.Exec(ctx, `DELETE FROM spam_corpus WHERE mailbox = $1`, int64(id))
				}
				return err
			})
			if len(faults) != want {
				t.Errorf("check of what mailbox %s learned: %q", id, faults)
			}
		}
		if n := w.number(`SELECT (SELECT COUNT(*) FROM spam_token) + (SELECT COUNT(*) FROM spam_corpus)`); n > 0 {
			t.Errorf("%d rows are left of a mailbox that is gone", n)
		}
	})
}

// TestNothingIsLearnedForThoseWhoAreGone erases an organisation while deliveries wait to be written, here and on another server, and purges a
// mailbox between a message's being read and counted. The check finds what would have been left.
func TestNothingIsLearnedForThoseWhoAreGone(t *testing.T) {
	onBoth(t, nil, func(w *world) {
		w.User("ann")
		w.from = "x.example"
		w.deliver(newCorpus(1).message(true), "ann")
		w.Write(func(ctx context.Context, tx *db.Tx) error {
			_, err := w.EraseTx(ctx, tx, w.Acme, 100)
			return err
		})
		w.Must(w.Flush(t.Context()))
		if n := w.number(`SELECT COUNT(*) FROM spam_sender`); n > 0 {
			t.Errorf("%d senders are left of an organisation that is gone", n)
		}
		w.deliver(newCorpus(1).message(true), "ann")
		w.Write(func(ctx context.Context, tx *db.Tx) error {
			_, err := w.Directory.SetStateTx(ctx, tx, w.Acme, directory.OrgActive, directory.OrgDeleting, "")
			return err
		})
		w.Must(w.Flush(t.Context()))
		if n := w.number(`SELECT COUNT(*) FROM spam_sender`); n > 0 {
			t.Errorf("%d senders are left of an organisation that another server deletes", n)
		}
		const gone = 4711
		w.Write(func(ctx context.Context, tx *db.Tx) error { return w.CountTx(ctx, tx, gone) })
		if n := w.number(`SELECT (SELECT COUNT(*) FROM spam_token) + (SELECT COUNT(*) FROM spam_corpus) + (SELECT COUNT(*) FROM spam_trained)`); n > 0 {
			t.Errorf("%d rows are left of a mailbox that is gone", n)
		}
		for table, insert := range map[string]string{
			"spam_corpus":  `INSERT INTO spam_corpus (mailbox, spam, ham) VALUES ($1, 1, 1)`,
			"spam_token":   `INSERT INTO spam_token (mailbox, token, spam, ham, seen) VALUES ($1, 1, 1, 1, 1)`,
			"spam_pending": `INSERT INTO spam_pending (mailbox, email, org, folder, uid, class, since, stamp, day, counted) VALUES ($1, 1, 1, 1, 1, 1, 1, 1, 1, FALSE)`,
			"spam_trained": `INSERT INTO spam_trained (mailbox, email, org, sender, class, version, day) VALUES ($1, 1, 1, 'x', 1, 1, 1)`,
			"spam_sender":  `INSERT INTO spam_sender (org, sender, delivered, junk, good, reporters) VALUES ($1, 'x', 1, 0, 0, 0)`,
		} {
			var faults []string
			w.Write(func(ctx context.Context, tx *db.Tx) (err error) {
				if _, err = tx.Exec(ctx, insert, gone); err != nil {
					return err
				}
				if faults, err = w.Service.Check(ctx, tx); err == nil {
					_, err = tx.Exec(ctx, `DELETE FROM `+table)
				}
				return err
			})
			if len(faults) != 1 {
				t.Errorf("check of %s: %q", table, faults)
			}
		}
	})
}

// TestLearningIsAJob runs it as the server does.
func TestLearningIsAJob(t *testing.T) {
	onBoth(t, nil, func(w *world) {
		ann := w.User("ann")
		box := w.box(ann)
		w.deliver(newCorpus(2).message(true), "ann")
		_, err := w.Mailboxes.Move(t.Context(), box, mailbox.InboxID, mailbox.AllUIDs(), mailbox.JunkID)
		w.Must(err)
		runner := job.NewRunner(w.DB, w.Clock, slog.New(slog.DiscardHandler))
		w.Handle(runner)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		ended := make(chan error, 1)
		done := make(chan struct{})
		go func() { ended <- runner.Run(ctx) }()
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				if list, err := job.List(ctx, w.DB, 0, 1); err != nil || len(list) == 0 {
					return
				}
			}
		}()
		<-done
		cancel()
		w.Must(<-ended)
		if s, _ := w.trained(box); s != 1 {
			t.Errorf("%d messages were learned", s)
		}
	})
}

func asMessage(text string) mailbox.Message {
	return mailbox.Message{Source: mailbox.Source{Bytes: []byte(text)}, Envelope: []byte{}, Structure: []byte{}}
}
