package imap

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// TestClientsSeeRetentionAsExpunges lets retention (PutRetentionPolicy) remove mail, a month from now, under an idle client, one that comes back by
// QRESYNC, and one that counts its quota; then some of it is recovered.
func TestClientsSeeRetentionAsExpunges(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		for i := range 4 {
			r.deliver("INBOX", fmt.Sprintf("Subject: %d\r\n\r\nx\r\n", i), 0)
		}
		idle, back := r.login(), r.login()
		folders := back.ok("a LIST \"\" *")
		back.ok("b ENABLE QRESYNC")
		selected := strings.Join(back.ok("c SELECT INBOX"), "\n")
		var validity, modseq int
		for _, line := range strings.Split(selected, "\n") {
			_, _ = fmt.Sscanf(line, "* OK [UIDVALIDITY %d]", &validity)
			_, _ = fmt.Sscanf(line, "* OK [HIGHESTMODSEQ %d]", &modseq)
		}
		idle.ok("a SELECT INBOX")
		idle.ok("b STORE 2 +FLAGS (\\Flagged)") // it changed, which doesn't help it a month later
		idle.Send("c IDLE\r\n")
		if got := idle.Line(); !strings.HasPrefix(got, "+") {
			t.Fatalf("IDLE: %q", got)
		}
		back.ok("d CLOSE")

		month := clock.NewFake(time.Now().Add(31 * 24 * time.Hour))
		later := mailbox.New(mailbox.Options{DB: r.db, Blobs: r.blobs, Feed: r.Feed, Clock: month})
		due, err := later.DueFolders(ctx, r.box, []mailbox.Rule{{Use: mailbox.Inbox, Before: month.Now().Add(-30 * 24 * time.Hour), Recoverable: true}})
		if err != nil || len(due) != 1 {
			t.Fatalf("due is %+v, %v", due, err)
		}
		err = r.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			n, _, err := later.RetainTx(ctx, tx, r.box, due[0])
			if n != 4 {
				t.Errorf("%d items went", n)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		idle.Wait()
		for range 4 {
			if got := idle.Line(); !strings.HasSuffix(got, " EXPUNGE") {
				t.Errorf("the idle client reads %q", got)
			}
		}
		idle.Send("DONE\r\n")
		for got := idle.Line(); got != "c OK IDLE done"; got = idle.Line() {
			t.Errorf("the idle client reads %q", got)
		}
		got := back.ok(fmt.Sprintf("e SELECT INBOX (QRESYNC (%d %d))", validity, modseq))
		if !slices.Contains(got, "* VANISHED (EARLIER) 1:4") || !slices.Contains(got, "* 0 EXISTS") {
			t.Errorf("the client that comes back reads %q", got)
		}
		if now := back.ok("f LIST \"\" *"); !slices.Equal(now, folders) {
			t.Errorf("the folders were %q and are %q", folders, now)
		}
		if quota := strings.Join(back.ok("g GETQUOTAROOT INBOX"), " "); !strings.Contains(quota, "(STORAGE 0 ") {
			t.Errorf("the quota says %q", quota)
		}

		items, err := later.Recoverable(ctx, r.box, 0, 10)
		if err != nil || len(items) != 4 {
			t.Fatalf("recoverable are %+v, %v", items, err)
		}
		if _, err := later.Recover(ctx, r.box, []mailbox.ItemID{items[1].ID}, 0); err != nil {
			t.Fatal(err)
		}
		if got := back.ok("h NOOP"); !slices.Contains(got, "* 1 EXISTS") {
			t.Errorf("the client is told of what was recovered by %q", got)
		}
		if got := strings.Join(back.ok("i UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"), "\n"); !strings.Contains(got, "Subject: 1") ||
			!strings.Contains(got, "\\Flagged") || !strings.Contains(got, "UID 5") {
			t.Errorf("what was recovered is %q", got)
		}
	})
}
