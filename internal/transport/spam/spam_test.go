package spam_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/spool"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/spam"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// world is a server whose mail is judged. All of its mail is from the domain in from, proven by DMARC, or from the network of client.
type world struct {
	*transporttest.World
	*spam.Service
	from   string
	client netip.Addr
}

func (w *world) Check(_ context.Context, c mailauth.Client, _ []byte) *mailauth.Verdict {
	v := &mailauth.Verdict{
		Client: c, IPRev: mailauth.Outcome{Result: dkim.Fail}, SPF: mailauth.Outcome{Result: dkim.None}, Hello: mailauth.Outcome{Result: dkim.None},
		DMARC: mailauth.DMARC{Result: dkim.None, From: w.from},
	}
	if w.from != "" {
		v.DMARC.Result = dkim.Pass
	}
	return v
}

// onBoth runs fn on both engines; change may change the options.
func onBoth(t *testing.T, change func(*spam.Options), fn func(w *world)) {
	t.Helper()
	var w *world
	hook := func(o *transport.Options) {
		w = &world{client: netip.MustParseAddr("192.0.2.7")}
		so := spam.Options{DB: o.DB, Directory: o.Directory, Mailboxes: o.Mailboxes, Clock: o.Clock, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Key: []byte("key")}
		if change != nil {
			change(&so)
		}
		w.Service = spam.New(so)
		o.Auth, o.Spam = w, w.Service
	}
	transporttest.OnBoth(t, hook, func(tw *transporttest.World) {
		w.World = tw
		tw.Filed = w.FiledTx
		fn(w)
	})
}

// onSQLite is a world for benchmarks.
func onSQLite(b *testing.B) *world {
	b.Helper()
	w := &world{World: transporttest.OnSQLite(b), client: netip.MustParseAddr("192.0.2.7")}
	w.Service = spam.New(spam.Options{DB: w.DB, Directory: w.Directory, Mailboxes: w.Mailboxes, Clock: w.Clock, Log: slog.New(slog.DiscardHandler), Key: []byte("key")})
	w.Auth, w.Spam, w.Filed = w, w.Service, w.FiledTx
	return w
}

func (w *world) clientOf() mailauth.Client {
	return mailauth.Client{Address: w.client, Hello: "mx.example", From: message.Address{Local: "x", Domain: "far.example"}}
}

func (w *world) box(id directory.EntityID) mailbox.ID {
	w.T.Helper()
	d, err := w.Mailboxes.ByOwner(w.T.Context(), w.Owner(id))
	w.Must(err)
	return d.ID
}

// send hands a message in for users of acme.
func (w *world) send(text string, to ...string) error {
	w.T.Helper()
	ctx := w.T.Context()
	p := principal.TheSystem("SMTP")
	p.Address = w.client
	x, err := w.Begin(ctx, transport.Sender{Principal: p, Hello: "mx.example", From: message.Address{Local: "x", Domain: "far.example"}})
	w.Must(err)
	for _, name := range to {
		w.Must(x.Add(ctx, queue.Recipient{Address: message.Address{Local: name, Domain: "acme.awsapps.com"}}))
	}
	m := spool.New("", 0)
	defer m.Close()
	const trace = "Received: from mx.example\r\n"
	_, err = m.Write([]byte(trace + text))
	w.Must(err)
	return x.Store(ctx, m, len(trace))
}

func (w *world) deliver(text string, to ...string) {
	w.T.Helper()
	w.Must(w.send(text, to...))
}

// move moves all messages of a folder to another, and has what that says learned.
func (w *world) move(box mailbox.ID, from, to mailbox.FolderID) {
	w.T.Helper()
	_, err := w.Mailboxes.Move(w.T.Context(), box, from, mailbox.AllUIDs(), to)
	w.Must(err)
	w.learn(box)
}

// bring stores messages as import does.
func (w *world) bring(box mailbox.ID, f mailbox.FolderID, n int, text func() string, flags mailbox.Flags, age time.Duration) {
	w.T.Helper()
	for ; n > 0; n -= 50 {
		var all []mailbox.Arrival
		for range min(n, 50) {
			all = append(all, mailbox.Arrival{Message: asMessage(text()), Flags: flags, Received: w.Clock.Now().Add(-age)})
		}
		_, err := w.Mailboxes.DeliverAll(w.T.Context(), box, f, all, func(context.Context, *db.Tx, []mailbox.Stored) error { return nil })
		w.Must(err)
	}
}

func (w *world) learn(box mailbox.ID) {
	w.T.Helper()
	w.Must(w.Train(w.T.Context(), box))
}

// trained returns the numbers of messages that a mailbox's words are of.
func (w *world) trained(box mailbox.ID) (spam, ham int) {
	w.T.Helper()
	w.Must(w.DB.Read(w.T.Context(), func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT COALESCE(SUM(spam), 0), COALESCE(SUM(ham), 0) FROM spam_corpus WHERE mailbox = $1`, int64(box)).Scan(&spam, &ham)
	}))
	return spam, ham
}

func (w *world) number(query string, args ...any) (n int) {
	w.T.Helper()
	w.Must(w.DB.Read(w.T.Context(), func(ctx context.Context, tx *db.Tx) error { return tx.QueryRow(ctx, query, args...).Scan(&n) }))
	return n
}

// mark sets flags on all messages of a folder.
func (w *world) mark(box mailbox.ID, f mailbox.FolderID, flags mailbox.Flags) {
	w.T.Helper()
	_, err := w.Mailboxes.StoreFlags(w.T.Context(), box, f, mailbox.AllUIDs(), mailbox.FlagChange{Add: flags}, mailbox.Always)
	w.Must(err)
}

// TestMailIsJudgedByWhatItsReaderCalledSpam trains a user by moves and flags; of new mail nearly all spam must then be found, and no
// ham taken for it. A colleague who trained nothing gets all of it.
func TestMailIsJudgedByWhatItsReaderCalledSpam(t *testing.T) {
	onBoth(t, nil, func(w *world) {
		ann, bob := w.User("ann"), w.User("bob")
		box := w.box(ann)
		w.client = netip.MustParseAddr("127.0.0.1") // no reputation
		c := newCorpus(7)
		for range spam.MinTrained + 5 {
			w.deliver(c.message(true), "ann")
		}
		w.move(box, mailbox.InboxID, mailbox.JunkID)
		for range spam.MinTrained + 5 {
			w.deliver(c.message(false), "ann")
		}
		if n := len(w.Inbox(ann)); n != spam.MinTrained+5 {
			t.Errorf("a user who called nothing ham has %d messages in the inbox", n)
		}
		w.mark(box, mailbox.InboxID, mailbox.NotJunk)
		w.learn(box)
		if s, h := w.trained(box); s != spam.MinTrained+5 || h != spam.MinTrained+5 {
			t.Fatalf("trained by %d of spam and %d of ham", s, h)
		}
		const more = 25
		found := 0
		for range more {
			before := len(w.Junk(ann))
			w.deliver(c.message(true), "ann", "bob")
			found += len(w.Junk(ann)) - before
			before = len(w.Junk(ann))
			w.deliver(c.message(false), "ann", "bob")
			if len(w.Junk(ann)) > before {
				t.Error("ham is in Junk E-mail")
			}
		}
		t.Logf("%d of %d messages of spam were found", found, more)
		if found < more*9/10 {
			t.Errorf("only %d of %d messages of spam were found", found, more)
		}
		if n := len(w.Inbox(bob)); n != 2*more {
			t.Errorf("bob, who trained nothing, has %d messages in the inbox", n)
		}
		for _, m := range w.Inbox(bob) {
			if strings.Contains(m.Text, "X-Spam") {
				t.Fatalf("bob's message has a verdict:\n%s", m.Text)
			}
		}
		junk := w.Junk(ann)
		last := junk[len(junk)-1].Text
		if !strings.Contains(last, "\r\nX-Spam-Status: Yes, score=") || !strings.Contains(last, ";\r\n\twords +") || !strings.Contains(last, "\r\nX-Spam-Score: ") {
			t.Errorf("what is in Junk E-mail does not say why:\n%s", last)
		}
		inbox := w.Inbox(ann)
		if last := inbox[len(inbox)-1].Text; !strings.Contains(last, "\r\nX-Spam-Status: No, score=-") {
			t.Errorf("what is in the inbox does not say why:\n%s", last)
		}
	})
}

// TestReputation shows what the operator's lists and colleagues' words do to a sender.
func TestReputation(t *testing.T) {
	onBoth(t, nil, func(w *world) {
		names := []string{"ann", "bob", "cyd", "dan", "eve"}
		boxes := map[string]mailbox.ID{}
		for _, n := range names {
			boxes[n] = w.box(w.User(n))
		}
		c := newCorpus(5)
		junk := func(text, name string) bool {
			t.Helper()
			before := w.number(`SELECT COUNT(*) FROM item WHERE mailbox = $1 AND folder = $2`, int64(boxes[name]), int64(mailbox.JunkID))
			w.deliver(text, name)
			return w.number(`SELECT COUNT(*) FROM item WHERE mailbox = $1 AND folder = $2`, int64(boxes[name]), int64(mailbox.JunkID)) > before
		}
		j, err := w.Judge(t.Context(), spam.Message{Listed: []string{"bl.example"}, Recipients: []spam.Recipient{{Mailbox: boxes["ann"], Org: 1}}, Bytes: []byte("\r\n")})
		w.Must(err)
		if o := j.Of(boxes["ann"]); !o.Spam() || !strings.Contains(o.Fields(), "listed by bl.example") {
			t.Errorf("who is on the operator's list: %+v", o)
		}
		w.from = "bulk.example"
		for range 3 {
			w.deliver(c.message(true), "ann")
		}
		w.move(boxes["ann"], mailbox.InboxID, mailbox.JunkID)
		w.Must(w.Flush(t.Context()))
		if junk(c.message(true), "eve") {
			t.Error("one user's word takes mail from another")
		}
		for _, n := range names[1:4] {
			w.deliver(c.message(true), n)
			w.deliver(c.message(true), n)
			w.move(boxes[n], mailbox.InboxID, mailbox.JunkID)
		}
		w.Must(w.Flush(t.Context()))
		if !junk(c.message(true), "eve") {
			t.Error("what four users call spam is not spam for the fifth")
		}
		w.from = "other.example"
		if junk(c.message(true), "eve") {
			t.Error("another sender is in Junk E-mail")
		}
		w.from = ""
		if junk(c.message(true), "eve") {
			t.Error("somebody who proves nothing has the reputation of a domain")
		}
		w.from = "bulk.example"
		for _, n := range names[:4] {
			w.move(boxes[n], mailbox.JunkID, mailbox.InboxID)
		}
		if junk(c.message(true), "eve") {
			t.Error("what was taken back counts")
		}
		for _, n := range names[:4] {
			w.move(boxes[n], mailbox.InboxID, mailbox.JunkID)
		}
		w.Clock.Advance(365 * 24 * time.Hour)
		for range 20 { // it behaves since
			w.deliver(c.message(true), "dan")
		}
		w.Must(w.Flush(t.Context()))
		if junk(c.message(true), "eve") {
			t.Error("what was said a year ago counts as if it were today")
		}
	})
}

// TestSendersAreBounded makes up new domains until an organisation knows enough of them.
func TestSendersAreBounded(t *testing.T) {
	onBoth(t, func(o *spam.Options) { o.MaxSenders = 3 }, func(w *world) {
		box, c := w.box(w.User("ann")), newCorpus(6)
		for i := range 5 {
			w.from = fmt.Sprintf("a%d.example", i)
			w.deliver(c.message(false), "ann")
		}
		w.Must(w.Flush(t.Context()))
		w.from = "a0.example"
		w.deliver(c.message(false), "ann")
		w.from = "b.example"
		w.deliver(c.message(false), "ann")
		w.Must(w.Flush(t.Context()))
		if n := w.number(`SELECT COUNT(*) FROM spam_sender`); n != 3 {
			t.Errorf("%d senders are known", n)
		}
		if n := w.number(`SELECT COUNT(*) FROM spam_sender s WHERE sender = 'a0.example' AND delivered > 1.5 * (SELECT MIN(delivered) FROM spam_sender)`); n != 1 {
			t.Error("a known sender is not counted any more")
		}
		w.move(box, mailbox.InboxID, mailbox.JunkID)
		if n := w.number(`SELECT COUNT(*) FROM spam_sender WHERE junk > 0`); n != 6 {
			t.Errorf("%d senders are known of whom a user said something", n)
		}
	})
}

// TestFadedSendersAreForgotten has some on each page that is looked at, between others that stay.
func TestFadedSendersAreForgotten(t *testing.T) {
	onBoth(t, nil, func(w *world) {
		add := func(name string, n int) {
			w.Write(func(ctx context.Context, tx *db.Tx) error {
				for i := range n {
					if _, err := tx.Exec(ctx, `INSERT INTO spam_sender (org, sender, delivered, junk, good, reporters) VALUES ($1, $2, $3, 0, 0, 0)`,
						w.Acme.Key, fmt.Sprintf("%d.%s", i, name), 1.0); err != nil {
						return err
					}
				}
				return nil
			})
		}
		add("old.example", spam.ForgetBatch+100)
		w.Write(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO spam_sender (org, sender, delivered, junk, good, reporters) SELECT org, 'new.' || sender, 1e12, 0, 0, 0 FROM spam_sender`)
			return err
		})
		w.Clock.Advance(365 * 24 * time.Hour)
		w.Must(w.ForgetSenders(t.Context()))
		if n := w.number(`SELECT COUNT(*) FROM spam_sender`); n != spam.ForgetBatch+100 {
			t.Errorf("%d senders are left", n)
		}
		if n := w.number(`SELECT COUNT(*) FROM spam_sender WHERE delivered < 2`); n > 0 {
			t.Errorf("%d faded senders are left", n)
		}
	})
}
