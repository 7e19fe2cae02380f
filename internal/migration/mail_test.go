package migration_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/migration"
	"github.com/pennypost/pennypost/internal/organization"
)

func TestImportBringsFoldersFlagsAndDates(t *testing.T) {
	inBoth(t, func(w *world) {
		o := w.origin()
		o.folder("INBOX", mail("a", `\Seen`, `\Recent`), mail("b", `\Flagged`, "$Forwarded", "Project-X"))
		o.folder("Gesendet", mail("c")).use = `\Sent`
		o.folder("Trash", mail("d", `\Deleted`))
		o.folder("Trash.Old", mail("e"))
		o.folder("Clients.Meyer/Söhne", mail("f", `\Draft`, `\Answered`))
		want := []string{
			"INBOX: a seen", "INBOX: b flagged $Forwarded Project-X", "Clients/Meyer_Söhne: f answered draft",
			"Deleted Items: d deleted", "Deleted Items/Old: e", "Sent Items: c",
		}
		if _, n := o.run(); n != 6 {
			t.Errorf("%d messages were stored", n)
		}
		w.want(want...)
		f, err := w.mailboxes.Folder(w.ctx, w.ann, "Clients/Meyer_Söhne")
		if w.ok(err); !f.Subscribed {
			t.Error("the folder is not subscribed")
		}
		if sum, n := o.run(); n != 0 || sum.Flagged+sum.Removed+sum.Kept != 0 {
			t.Errorf("a second run did %+v and stored %d", sum, n)
		}
		w.want(want...)
	})
}

func TestDeltaRun(t *testing.T) {
	inBoth(t, func(w *world) {
		o := w.origin()
		in := o.folder("INBOX", mail("stays"), mail("read there"), mail("read here", `\Flagged`), mail("goes"), mail("goes, flagged here"), mail("moved here"), mail("deleted here"))
		o.run()
		stored := w.items(mailbox.InboxID)
		w.flag(stored[2], mailbox.FlagChange{Add: mailbox.Seen})
		w.flag(stored[4], mailbox.FlagChange{Add: mailbox.Flagged})
		_, err := w.mailboxes.Move(w.ctx, w.ann, mailbox.InboxID, mailbox.UIDs(stored[5].UID), mailbox.JunkID)
		w.ok(err)
		_, err = w.mailboxes.Expunge(w.ctx, w.ann, mailbox.InboxID, mailbox.UIDs(stored[6].UID), false)
		w.ok(err)

		in.mail[2] = mail("read there", `\Seen`, "Later")
		in.mail[3] = mail("read here", `\Answered`) // and not flagged any more: both flags follow, \Seen is ours
		delete(in.mail, 4)
		delete(in.mail, 5)
		in.mail[6] = mail("moved here", `\Seen`)
		in.mail[8] = mail("new")
		sum, n := o.run()
		if n != 1 || sum.Flagged != 2 || sum.Removed != 1 || sum.Kept != 1 {
			t.Errorf("%+v, %d stored", sum, n)
		}
		want := []string{
			"INBOX: stays", "INBOX: read there seen Later", "INBOX: read here seen answered", "INBOX: goes, flagged here flagged", "INBOX: new",
			"Junk E-mail: moved here",
		}
		w.want(want...)

		// What was changed here once is its owner's: it stays when it goes at the source.
		delete(in.mail, 3)
		delete(in.mail, 6)
		delete(in.mail, 2)
		if sum, _ := o.run(); sum.Removed != 1 || sum.Kept != 2 {
			t.Errorf("%+v", sum)
		}
		w.want(slices.Delete(want, 1, 2)...)
	})
}

func (w *world) items(f mailbox.FolderID) (items []mailbox.Item) {
	w.t.Helper()
	for it, err := range w.mailboxes.Fetch(w.ctx, w.ann, f, mailbox.AllUIDs(), mailbox.WantItem, 0) {
		w.ok(err)
		items = append(items, *it)
	}
	return items
}

func (w *world) flag(it mailbox.Item, c mailbox.FlagChange) {
	w.t.Helper()
	_, err := w.mailboxes.StoreFlags(w.ctx, w.ann, mailbox.InboxID, mailbox.UIDs(it.UID), c, mailbox.Always)
	w.ok(err)
}

func TestImportAfterUIDValidityChanged(t *testing.T) {
	inBoth(t, func(w *world) {
		o := w.origin()
		in := o.folder("INBOX", mail("a"), mail("twin"), mail("twin"), mail("goes"), mail("b"))
		o.run()
		before := w.items(mailbox.InboxID)
		in.validity = 4711
		in.mail = map[uint32]originMail{11: mail("b", `\Seen`), 12: mail("a"), 13: mail("twin"), 14: mail("twin"), 15: mail("twin"), 16: mail("new")}
		sum, n := o.run()
		if n != 2 || sum.Removed != 1 || sum.Flagged != 1 {
			t.Errorf("%+v, %d stored", sum, n)
		}
		w.want("INBOX: a", "INBOX: twin", "INBOX: twin", "INBOX: b seen", "INBOX: twin", "INBOX: new")
		if after := w.items(mailbox.InboxID); after[0].ID != before[0].ID || after[3].ID != before[4].ID {
			t.Error("messages are not the same any more")
		}
		if sum, n := o.run(); n != 0 || sum.Removed+sum.Flagged+sum.Kept != 0 {
			t.Errorf("a further run: %+v, %d stored", sum, n)
		}
		// A run that was ended in between is gone on with, whatever the numbers are by then.
		in.validity = 4712
		o.plan()
		in.validity = 4711
		o.plan()
		if sum, n := o.run(); n != 0 || sum.Removed != 0 {
			t.Errorf("after two runs that did nothing: %+v, %d stored", sum, n)
		}
	})
}

func TestImportFollowsRenamedFolders(t *testing.T) {
	inBoth(t, func(w *world) {
		o := w.origin()
		o.folder("INBOX")
		o.folder("Old", mail("a"), mail("b"))
		o.folder("Old.Below", mail("c"))
		o.folder("Renamed here", mail("d"))
		o.folder("Goes", mail("e"))
		o.run()
		w.ok(w.mailboxes.RenameFolder(w.ctx, w.ann, "Renamed here", "Ours"))
		before, err := w.mailboxes.Folder(w.ctx, w.ann, "Old")
		w.ok(err)
		rename := func(from, to string) { o.folders[to] = o.folders[from]; delete(o.folders, from) }
		rename("Old", "New")
		rename("Old.Below", "New.Below")
		rename("Renamed here", "Renamed there")
		// Another folder that happens to have the UIDVALIDITY of one that went.
		validity := o.folders["Goes"].validity
		delete(o.folders, "Goes")
		o.folder("Unlike", mail("f"), mail("g")).validity = validity
		if sum, n := o.run(); n != 2 || sum.Removed != 1 {
			t.Errorf("%+v, %d stored", sum, n)
		}
		w.want("New: a", "New: b", "New/Below: c", "Ours: d", "Unlike: f", "Unlike: g")
		after, err := w.mailboxes.Folder(w.ctx, w.ann, "New")
		if w.ok(err); after.ID != before.ID {
			t.Error("the folder is another one")
		}
		delete(o.folders, "New")
		delete(o.folders, "New.Below")
		o.run()
		if _, err := w.mailboxes.Folder(w.ctx, w.ann, "New"); !fault.Is(err, fault.NotFound, fault.Folder) {
			t.Errorf("a folder that is gone at the source: %v", err)
		}
		w.want("Ours: d", "Unlike: f", "Unlike: g")
	})
}

func TestPlanSaysHowMuchCameFromTheSource(t *testing.T) {
	inBoth(t, func(w *world) {
		o := w.origin()
		in := o.folder("INBOX", mail("a"), mail("b"))
		o.folder("Gone", mail("c"), mail("d"), mail("e"))
		o.folder("Renamed", mail("f"))
		o.folder("Refused", mail("g"))
		if p := o.plan(); p.Known != 0 {
			t.Errorf("%d before the first run", p.Known)
		}
		o.run()
		in.validity = 4711
		delete(o.folders, "Gone")
		o.folders["Other"] = o.folders["Renamed"]
		delete(o.folders, "Renamed")
		list := o.list()
		for i := range list {
			list[i].Unread = list[i].Name == "Refused"
		}
		for range 2 {
			p, err := o.Plan(w.ctx, operator, migration.MailPlan{Mailbox: int64(w.ann), Source: source, Folders: list})
			w.ok(err)
			if p.Known != 6 {
				t.Errorf("%d messages came from what is read, want 6", p.Known)
			}
		}
	})
}

func TestImportIntoAFullMailbox(t *testing.T) {
	inBoth(t, func(w *world) {
		o := w.origin()
		in := o.folder("INBOX")
		for i := range 9 {
			in.mail[uint32(i+1)] = originMail{fmt.Sprintf("Message-ID: <%d>\r\n\r\n%s", i, bytes.Repeat([]byte{'x'}, 300<<10)), nil}
		}
		in.mail[5] = mail("small")
		in.mail[9] = originMail{string(make([]byte, 1<<20+1)), nil}
		w.ok(w.life.SetQuota(w.ctx, admin, w.org, "ann", 1))
		key := o.plan().Folders[0].Key
		taken := o.deliver(key, in, mailbox.UIDSet{{First: 1, Last: 9}})
		if !taken.Full || taken.Messages != 4 || len(taken.Left) != 5 || !strings.Contains(taken.Left[0].Reason, "at most 1048576") {
			t.Errorf("%d stored, full %v, left %v", taken.Messages, taken.Full, taken.Left)
		}
		// What a client repeats because it heard no answer is not stored again.
		w.ok(w.life.SetQuota(w.ctx, admin, w.org, "ann", 100))
		if again := o.deliver(key, in, mailbox.UIDSet{{First: 1, Last: 9}}); again.Messages != 4 || again.Full {
			t.Errorf("again: %d stored, full %v", again.Messages, again.Full)
		}
		if n := len(w.items(mailbox.InboxID)); n != 8 {
			t.Errorf("%d messages", n)
		}
	})
}

// TestTwoImportsOfOneMailboxAtOnce: no message comes twice. Whoever ran an import again right after it was killed was told that another one
// runs, as the server still stored the last batch of the first.
func TestTwoImportsOfOneMailboxAtOnce(t *testing.T) {
	inBoth(t, func(w *world) {
		o := w.origin()
		in := o.folder("INBOX")
		for i := range 50 {
			in.mail[uint32(i+1)] = mail(fmt.Sprint(i))
		}
		b := migration.MailBatch{Mailbox: int64(w.ann), Key: o.plan().Folders[0].Key}
		var body []byte
		for _, u := range in.uids() {
			m := in.mail[u]
			b.Messages = append(b.Messages, migration.MessageHead{UID: u, Size: int64(len(m.text)), Received: received, Identity: m.identity()})
			body = append(body, m.text...)
		}
		stored := make([]int64, 4)
		var both sync.WaitGroup
		for i := range stored {
			both.Go(func() {
				taken, err := w.Deliver(w.ctx, operator, b, bytes.NewReader(body))
				if stored[i] = taken.Messages; err != nil {
					t.Errorf("run %d: %v", i, err)
				}
			})
		}
		both.Wait()
		if n := stored[0] + stored[1] + stored[2] + stored[3]; n != 50 || len(w.items(mailbox.InboxID)) != 50 {
			t.Errorf("%d stored, %d are here", n, len(w.items(mailbox.InboxID)))
		}
	})
}

func TestImportTellsWhatCannotBe(t *testing.T) {
	inBoth(t, func(w *world) {
		o := w.origin()
		long := strings.Repeat("n", 300)
		o.folder("INBOX", mail("a", "ok", "not(ok", strings.Repeat("k", 200)))
		o.folder(long, mail("b"))
		o.folder("All Mail", mail("a")).use = `\All`
		for i, f := range o.plan().Folders {
			if got := f.Reason != ""; got != (o.names()[i] != "INBOX") {
				t.Errorf("%.20q: reason %q", o.names()[i], f.Reason)
			}
		}
		sum, _ := o.run()
		w.want("INBOX: a ok")
		if len(sum.Dropped) != 2 {
			t.Errorf("keywords left out: %q", sum.Dropped)
		}
		for _, c := range []struct {
			address string
			kind    fault.Kind
			subject fault.Subject
		}{{"nobody@acme.awsapps.com", fault.NotFound, fault.Entity}, {"bob", fault.State, fault.Entity}, {"all", fault.Unsupported, fault.Entity}} {
			if c.address == "bob" {
				_, err := w.directory.CreateUser(w.ctx, admin, w.org, directory.NewUser{Name: "bob", DisplayName: "bob"})
				w.ok(err)
				_, err = w.directory.CreateGroup(w.ctx, admin, w.org, directory.NewGroup{Name: "all"})
				w.ok(err)
			}
			for _, dry := range []bool{false, true} {
				_, err := w.Open(w.ctx, operator, migration.Account{Organization: string(w.org), Address: c.address, Source: source, Dry: dry})
				if !fault.Is(err, c.kind, c.subject) {
					t.Errorf("%s: %v", c.address, err)
				}
			}
		}
		if _, err := w.Open(w.ctx, admin, migration.Account{Organization: string(w.org), Address: "ann", Source: source}); fault.KindOf(err) != fault.Denied {
			t.Errorf("not the operator: %v", err)
		}
	})
}

func TestImportIsInTheAuditTrail(t *testing.T) {
	inBoth(t, func(w *world) {
		opened, err := w.Open(w.ctx, operator, migration.Account{Organization: string(w.org), Address: "ann@acme.awsapps.com", Source: source})
		if w.ok(err); mailbox.ID(opened.Mailbox) != w.ann || opened.MaxMessage != 1<<20 || opened.Quota == 0 {
			t.Errorf("%+v", opened)
		}
		_, err = w.Open(w.ctx, operator, migration.Account{Organization: string(w.org), Address: "ann", Source: source, Dry: true})
		w.ok(err)
		records, err := w.audit.Read(w.ctx, audit.Query{Organization: string(w.org)})
		w.ok(err)
		n := 0
		for _, r := range records {
			if r.Operation == "ImportMail" && r.Detail == "from "+source && r.Subject != "" && r.Actor.Name == operator.Name {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d records of %d", n, len(records))
		}
	})
}

func TestImportIsForgottenWithItsMailbox(t *testing.T) {
	inBoth(t, func(w *world) {
		o := w.origin()
		o.folder("INBOX", mail("a"))
		o.folder("Other", mail("b"))
		o.run()
		w.ok(w.db.Write(w.ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE import_folder SET mailbox = mailbox + 1000, previous = 1 WHERE name = 'Other'`)
			if err == nil {
				_, err = tx.Exec(ctx, `UPDATE import_item SET folder = folder + 1000000 WHERE folder <> (SELECT key FROM import_folder WHERE name = 'Other')`)
			}
			return err
		}))
		w.check(3)
		w.ok(w.db.Write(w.ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE import_folder SET mailbox = mailbox - 1000, previous = 0 WHERE name = 'Other'`)
			if err == nil {
				_, err = tx.Exec(ctx, `UPDATE import_item SET folder = folder - 1000000 WHERE folder <> (SELECT key FROM import_folder WHERE name = 'Other')`)
			}
			return err
		}))
		w.check(0)
		_, err := w.life.Delete(w.ctx, admin, w.org, organization.Deletion{Force: true})
		w.ok(err)
		for range 100 {
			synctest.Wait()
			if d, err := w.directory.DescribeOrganization(w.ctx, admin, w.org); err == nil && d.State == directory.OrgDeleted {
				break
			}
			w.ok((clock.System{}).Sleep(w.ctx, time.Second)) // the bubble's
		}
		w.ok(w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error {
			for _, table := range []string{"import_folder", "import_item"} {
				var n int
				if err := tx.QueryRow(ctx, "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
					return err
				}
				if n > 0 {
					t.Errorf("%d rows are left in %s", n, table)
				}
			}
			return nil
		}))
	})
}
