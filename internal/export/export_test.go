package export_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/export"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/organization"
)

// large are sizes of bodies beside the database, and of such as are read by pages.
var large = []int{100_000, 200_000, 1<<20 + 1, 3 << 20}

// furnish fills ann's mailbox with messages of all sorts, and returns how many.
func (w *world) furnish(sizes ...int) int {
	w.t.Helper()
	deep, odd := w.mkdir("Projects/Ünïcode 2026"), w.mkdir(`What? <a:b> "c" ..`)
	label, err := w.mailboxes.DefineKeywords(w.ctx, w.ann, []string{"label-1", "$Forwarded"})
	w.ok(err)
	n := 0
	for _, f := range []mailbox.FolderID{mailbox.InboxID, mailbox.SentID, deep, odd} {
		for i := range 13 {
			flags := mailbox.Flags(0)
			if i%2 == 0 {
				flags = mailbox.Seen | label
			}
			w.deliver(w.ann, f, fmt.Sprint("small ", f, " ", i), i*100, i%3 == 0, flags)
			n++
		}
	}
	for i, size := range sizes {
		w.deliver(w.ann, deep, fmt.Sprint("text ", i), size, false, 0)
		w.deliver(w.ann, mailbox.InboxID, fmt.Sprint("noise ", i), size, true, mailbox.Flagged)
		n += 2
	}
	return n
}

func TestExport(t *testing.T) {
	inBoth(t, func(w *world) {
		n := w.furnish(large...)
		id := w.start("ann", "memory")
		j := w.until(id, export.Completed)
		if j.Progress != 100 || j.End.Before(j.Start) || j.Start.IsZero() || j.Error != "" || j.Path != "exports/ann/"+id+".zip" || j.RoleARN != role || j.Description != "all of it" {
			w.t.Errorf("the job is %+v", j)
		}
		if w.bucket.Keys[j.Path] != key {
			w.t.Errorf("it was encrypted under %q", w.bucket.Keys[j.Path])
		}
		z := w.zip(j)
		if len(z.Messages) != n {
			w.t.Errorf("%d messages, want %d", len(z.Messages), n)
		}
		w.same(w.ann, z)
		w.nothingLeft()
	})
}

// TestADirectoryStandsForABucket exports the same to a directory.
func TestADirectoryStandsForABucket(t *testing.T) {
	inBoth(t, func(w *world) {
		w.furnish(large...)
		j := w.until(w.start("ann@acme.awsapps.com", "files"), export.Completed)
		data, err := os.ReadFile(filepath.Join(w.files, j.Path))
		w.ok(err)
		w.same(w.ann, read(w.t, data))
		if all, err := filepath.Glob(filepath.Join(w.files, "exports", "ann", "*")); err != nil || len(all) != 1 {
			w.t.Errorf("the directory has %q, %v", all, err)
		}
		w.nothingLeft()
	})
}

func TestAnEmptyMailbox(t *testing.T) {
	inBoth(t, func(w *world) {
		z := w.zip(w.until(w.start("ann", "memory"), export.Completed))
		if len(z.Messages) != 0 || len(z.Folders) != 5 || z.Log["totalNonExportableItems"] != "0" {
			w.t.Errorf("it holds %+v", z)
		}
	})
}

// TestAKilledServerGoesOn kills the server in every call to the bucket, one after the other, with what a crash may leave: more bytes
// in the files than the last checkpoint knows.
func TestAKilledServerGoesOn(t *testing.T) {
	inBoth(t, func(w *world) {
		var sizes []int
		for i := range 20 {
			sizes = append(sizes, 130_000+i*1000)
		}
		w.furnish(sizes...)
		var at, kills int
		killed := make(chan struct{})
		hook := func(ctx context.Context, verb string, _ int) error {
			if verb == "abort" || verb == "begin" {
				return nil
			}
			if at++; at > 3+kills%2 {
				select {
				case killed <- struct{}{}:
					<-ctx.Done()
				case <-ctx.Done():
				}
				return ctx.Err()
			}
			return nil
		}
		w.bucket.Set(hook)
		id := w.start("ann", "memory")
		for w.job(id).State == export.Running && kills < 300 {
			select {
			case <-killed:
			case <-time.After(time.Minute):
				continue
			}
			w.stopJobs()
			kills++
			parts, err := filepath.Glob(filepath.Join(w.dir, "*", "part-*"))
			w.ok(err)
			for _, name := range parts {
				f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
				w.ok(err)
				_, err = f.WriteString("what the last checkpoint doesn't know")
				w.ok(errors.Join(err, f.Close()))
			}
			if kills%7 == 3 { // what was written and not kept may be gone when it goes on
				_, err := w.mailboxes.Expunge(w.ctx, w.ann, mailbox.InboxID, mailbox.UIDs(mailbox.UID(8+kills)), false)
				w.ok(err)
			}
			at = 0
			w.restart()
		}
		j := w.until(id, export.Completed)
		if kills < 10 {
			w.t.Errorf("it was killed only %d times", kills)
		}
		w.same(w.ann, w.zip(j))
		w.nothingLeft()
	})
}

// TestMessagesThatMoveAreExportedOnce moves messages in both directions while the export goes through the folders.
func TestMessagesThatMoveAreExportedOnce(t *testing.T) {
	inBoth(t, func(w *world) {
		// Folders are walked by name, the inbox first.
		a, z := w.mkdir("A"), w.mkdir("Z")
		want := map[int64]bool{}
		for i := range 20 {
			for _, f := range []mailbox.FolderID{mailbox.InboxID, a, z} {
				want[int64(w.deliver(w.ann, f, fmt.Sprint(f, i), 20_000, true, 0))] = true
			}
		}
		moves := 0
		w.bucket.Set(func(ctx context.Context, verb string, n int) error {
			if verb != "put" {
				return nil
			}
			moves++
			var err error
			switch n {
			case 2: // the walk is in the inbox
				_, err = w.mailboxes.Move(ctx, w.ann, z, mailbox.UIDSet{{First: 1, Last: 5}}, mailbox.InboxID)
			case 4:
				_, err = w.mailboxes.Move(ctx, w.ann, mailbox.InboxID, mailbox.UIDSet{{First: 1, Last: 3}}, z)
				fresh := w.mkdir("A new one")
				if err == nil {
					_, err = w.mailboxes.Move(ctx, w.ann, z, mailbox.UIDSet{{First: 6, Last: 8}}, fresh)
				}
			case 9:
				_, err = w.mailboxes.Move(ctx, w.ann, z, mailbox.UIDSet{{First: 9, Last: 10}}, a)
			}
			return err
		})
		zip := w.zip(w.until(w.start("ann", "memory"), export.Completed))
		for item := range want {
			if _, there := zip.Messages[item]; !there {
				w.t.Errorf("item %d is missing", item)
			}
		}
		if len(zip.Messages) != len(want) || moves < 9 {
			w.t.Errorf("%d messages, want %d; %d parts", len(zip.Messages), len(want), moves)
		}
	})
}

func TestABucketThatComesBack(t *testing.T) {
	inBoth(t, func(w *world) {
		w.furnish(large...)
		fails := 0
		w.bucket.Set(func(_ context.Context, verb string, n int) error {
			if fails < 9 && (verb != "put" || n%5 == 0) {
				fails++
				return errors.New("connection refused")
			}
			return nil
		})
		began := time.Now()
		id := w.start("ann", "memory")
		w.same(w.ann, w.zip(w.until(id, export.Completed)))
		if fails != 9 || time.Since(began) < time.Minute {
			w.t.Errorf("%d failures in %v", fails, time.Since(began))
		}
		w.nothingLeft()
	})
}

func TestABucketThatIsGone(t *testing.T) {
	inBoth(t, func(w *world) {
		w.furnish(large...)
		bob := w.user("bob")
		w.deliver(bob, mailbox.InboxID, "bob", 10, false, 0)
		gone := true
		w.bucket.Set(func(_ context.Context, _ string, n int) error {
			if gone && n >= 30 {
				return errors.New("connection refused by 10.0.0.1")
			}
			return nil
		})
		id := w.start("ann", "memory")
		synctest.Wait()
		// Who waits for a bucket is in nobody's way.
		w.until(w.start("bob", "files"), export.Completed)
		if j := w.job(id); j.State != export.Running || j.Progress == 0 || j.Progress > 99 {
			w.t.Errorf("after a failure the job is %+v", j)
		}
		j := w.until(id, export.Failed)
		if took := j.End.Sub(j.Start); took < 6*time.Hour || took > 7*time.Hour {
			w.t.Errorf("it was tried for %v", took)
		}
		if !strings.Contains(j.Error, "memory could not be reached") || !strings.Contains(j.Error, "6h") || strings.Contains(j.Error, "10.0.0.1") {
			w.t.Errorf("the error is %q", j.Error)
		}
		w.nothingLeft()
		// A failed export may be repeated at once.
		gone = false
		w.same(w.ann, w.zip(w.until(w.start("ann", "memory"), export.Completed)))
	})
}

// TestABucketForSomeOrganizations is refused to others in the words of one that isn't there, also when it was another's before.
func TestABucketForSomeOrganizations(t *testing.T) {
	inBoth(t, func(w *world) {
		w.deliver(w.ann, mailbox.InboxID, "ann", 10, false, 0)
		const other = "m-0123456789abcdef0123456789abcdef"
		with := func(organizations ...string) export.Bucket {
			return export.Bucket{URL: "file://" + w.files, Organizations: append([]string{}, organizations...)}
		}
		w.stopJobs()
		w.more = map[string]export.Bucket{"ours": with(other, string(w.org)), "theirs": with(other), "nobody": with()}
		w.restart()
		w.until(w.start("ann", "ours"), export.Completed)
		bob := w.user("bob")
		w.deliver(bob, mailbox.InboxID, "bob", 10, false, 0)
		for _, name := range []string{"theirs", "nobody", "unknown"} {
			_, err := w.Start(w.ctx, admin, w.org, request("bob", name))
			w.wantFault(err, fault.Invalid, fault.None)
			if words := fmt.Sprintf("bucket %q is not one that organization %s may export to", name, w.org); !strings.Contains(err.Error(), words) {
				w.t.Errorf("%v", err)
			}
		}
		w.stopJobs()
		id := w.start("bob", "ours")
		w.more["ours"] = with(other)
		w.restart()
		if j := w.until(id, export.Failed); !strings.Contains(j.Error, "any more") {
			w.t.Errorf("the error is %q", j.Error)
		}
	})
}

func TestADiskThatIsFull(t *testing.T) {
	inBoth(t, func(w *world) {
		w.furnish(large...)
		w.bucket.Set(func(_ context.Context, verb string, n int) error {
			if verb == "put" && n > 5 {
				return &os.PathError{Op: "write", Path: "/srv/exports/x", Err: syscall.ENOSPC}
			}
			return nil
		})
		if j := w.until(w.start("ann", "memory"), export.Failed); !strings.HasPrefix(j.Error, "Bucket memory had no room left, for 6h") {
			w.t.Errorf("the error is %q", j.Error)
		}
		w.nothingLeft()
	})
}

func TestABucketThatRefuses(t *testing.T) {
	inBoth(t, func(w *world) {
		w.bucket.Set(func(_ context.Context, verb string, _ int) error {
			if verb == "begin" {
				return export.Refused("the bucket refused it: NoSuchBucket (HTTP status 404)")
			}
			return nil
		})
		j := w.until(w.start("ann", "memory"), export.Failed)
		if j.End.Sub(j.Start) > time.Minute || j.Error != "Export to bucket memory: the bucket refused it: NoSuchBucket (HTTP status 404)." {
			w.t.Errorf("the job is %+v", j)
		}
		w.nothingLeft()
	})
}

// TestWhatWasWrittenIsLost loses the upload, and then the files of the unfinished part.
func TestWhatWasWrittenIsLost(t *testing.T) {
	inBoth(t, func(w *world) {
		w.furnish(large...)
		lost := 0
		w.bucket.Set(func(_ context.Context, verb string, n int) error {
			switch {
			case lost == 0 && n == 6:
				w.bucket.Forget()
				lost++
			case lost == 1 && n == 8:
				_ = os.RemoveAll(w.dir) // while it is written to
				lost++
				return errors.New("and the upload fails")
			}
			return nil
		})
		w.same(w.ann, w.zip(w.until(w.start("ann", "memory"), export.Completed)))
		if lost != 2 {
			w.t.Errorf("lost %d times", lost)
		}
		w.bucket.Set(func(_ context.Context, verb string, _ int) error {
			if verb == "complete" {
				w.bucket.Forget()
			}
			return nil
		})
		w.user("bob")
		if j := w.until(w.start("bob", "memory"), export.Failed); !strings.Contains(j.Error, "lost again and again") {
			w.t.Errorf("the error is %q", j.Error)
		}
		w.nothingLeft()
	})
}

// TestKilledWhileItCompletes loses the answer of the call that makes the object appear.
func TestKilledWhileItCompletes(t *testing.T) {
	inBoth(t, func(w *world) {
		w.furnish(large...)
		once := true
		w.bucket.Set(func(_ context.Context, verb string, _ int) error {
			if verb == "completed" && once {
				once = false
				return errors.New("connection reset")
			}
			return nil
		})
		j := w.until(w.start("ann", "memory"), export.Completed)
		w.same(w.ann, w.zip(j))
		if slices.Contains(w.bucket.Calls[slices.Index(w.bucket.Calls, "completed"):], "put") {
			w.t.Error("it was uploaded twice")
		}
	})
}

func TestCancel(t *testing.T) {
	inBoth(t, func(w *world) {
		w.furnish(large...)
		for _, in := range []string{"begin", "put", "complete", "completed"} {
			waits := make(chan struct{}, 10)
			w.bucket.Set(func(ctx context.Context, verb string, n int) error {
				if verb == in && (verb != "put" || n == 3) {
					waits <- struct{}{}
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			})
			id := w.start("ann", "memory")
			<-waits
			for _, token := range []string{in, in, in + " again"} {
				w.ok(w.Cancel(w.ctx, admin, w.org, id, token))
			}
			w.nothingLeft()
			if j := w.job(id); j.State != export.Cancelled || j.End.IsZero() || j.Error != "" || w.bucket.Object(j.Path) != nil {
				w.t.Errorf("cancelled in %s, the job is %+v", in, j)
			}
		}
		w.bucket.Set(nil)
		id := w.start("ann", "memory")
		w.until(id, export.Completed)
		w.wantFault(w.Cancel(w.ctx, admin, w.org, id, ""), fault.Invalid, fault.None)
		w.wantFault(w.Cancel(w.ctx, admin, w.org, "no-such-job", ""), fault.NotFound, fault.Entity)
		if w.bucket.Object(w.job(id).Path) == nil {
			w.t.Error("the object is gone")
		}
	})
}

func TestWhatCanBeExported(t *testing.T) {
	inBoth(t, func(w *world) {
		try := func(change func(*export.Request)) error {
			r := request("ann", "memory")
			change(&r)
			_, err := w.Start(w.ctx, admin, w.org, r)
			return err
		}
		for _, prefix := range []string{"/", "a//b", "../b", "a/..", "./b", "/etc", strings.Repeat("x", 1000)} {
			w.wantFault(try(func(r *export.Request) { r.Prefix = prefix }), fault.Invalid, fault.None)
		}
		w.wantFault(try(func(r *export.Request) { r.Bucket = "unknown" }), fault.Invalid, fault.None)
		w.wantFault(try(func(r *export.Request) { r.Entity = "nobody" }), fault.NotFound, fault.Entity)
		_, err := w.directory.CreateGroup(w.ctx, admin, w.org, directory.NewGroup{Name: "all"})
		w.ok(err)
		w.wantFault(try(func(r *export.Request) { r.Entity = "all" }), fault.NotFound, fault.Entity)
		_, err = w.directory.CreateUser(w.ctx, admin, w.org, directory.NewUser{Name: "new", DisplayName: "new"})
		w.ok(err)
		w.wantFault(try(func(r *export.Request) { r.Entity = "new" }), fault.NotFound, fault.Mailbox)

		// The mailbox that is kept of a disabled user.
		w.deliver(w.ann, mailbox.InboxID, "kept", 10, false, 0)
		w.ok(w.life.Deregister(w.ctx, admin, w.org, "ann"))
		z := w.zip(w.until(w.start("ann", "memory"), export.Completed))
		if len(z.Messages) != 1 {
			w.t.Errorf("the kept mailbox had %d messages", len(z.Messages))
		}
		// A room.
		room, err := w.directory.CreateResource(w.ctx, admin, w.org, directory.NewResource{Name: "room", Type: directory.Room})
		w.ok(err)
		w.ok(w.life.Register(w.ctx, admin, w.org, string(room), "room@acme.awsapps.com"))
		w.until(w.start(string(room), "memory"), export.Completed)
	})
}

func TestLimits(t *testing.T) {
	inBoth(t, func(w *world) {
		w.until(w.start("ann", "memory"), export.Completed)
		_, err := w.Start(w.ctx, admin, w.org, request("ann", "memory"))
		w.wantFault(err, fault.Limit, fault.Mailbox)
		w.rest(24 * time.Hour)
		w.until(w.start("ann", "memory"), export.Completed)

		held := make(chan struct{})
		w.bucket.Set(func(ctx context.Context, verb string, _ int) error {
			if verb == "begin" {
				select {
				case <-held:
				case <-ctx.Done():
				}
			}
			return ctx.Err()
		})
		var jobs []string
		for i := range 10 {
			name := fmt.Sprint("user-", i)
			w.user(name)
			jobs = append(jobs, w.start(name, "memory"))
		}
		w.user("eleventh")
		_, err = w.Start(w.ctx, admin, w.org, request("eleventh", "memory"))
		w.wantFault(err, fault.Limit, fault.Organization)
		_, err = w.Start(w.ctx, admin, w.org, request("user-0", "memory"))
		w.wantFault(err, fault.Limit, fault.Mailbox)
		close(held)
		for _, id := range jobs {
			w.until(id, export.Completed)
		}
		r := request("eleventh", "memory")
		r.ClientToken = "token"
		id, err := w.Start(w.ctx, admin, w.org, r)
		w.ok(err)
		if again, err := w.Start(w.ctx, admin, w.org, r); again != id || err != nil {
			w.t.Errorf("the token started %s and then %s, %v", id, again, err)
		}
		r.Prefix = "elsewhere"
		_, err = w.Start(w.ctx, admin, w.org, r)
		w.wantFault(err, fault.Invalid, fault.Token)
		w.until(id, export.Completed)

		seen := map[string]bool{}
		page := directory.Page{Limit: 5}
		for more := true; more; {
			list, next, err := w.List(w.ctx, admin, w.org, page)
			w.ok(err)
			for _, j := range list {
				seen[j.ID] = true
			}
			page.After, more = next, next != ""
		}
		if len(seen) != 13 {
			w.t.Errorf("%d jobs are listed, want 13", len(seen))
		}
		w.rest(7 * 24 * time.Hour)
		if list, _, err := w.List(w.ctx, admin, w.org, directory.Page{}); err != nil || len(list) != 0 {
			w.t.Errorf("after a week are listed %v, %v", list, err)
		}
		w.job(id)
		w.rest(30 * 24 * time.Hour)
		w.until(w.start("ann", "memory"), export.Completed)
		w.until(w.start("eleventh", "memory"), export.Completed)
		_, err = w.Describe(w.ctx, admin, w.org, id)
		w.wantFault(err, fault.NotFound, fault.Entity)
	})
}

func TestDeletingTheOrganizationEndsItsExports(t *testing.T) {
	inBoth(t, func(w *world) {
		w.furnish(large...)
		done := w.start("ann", "memory")
		w.until(done, export.Completed)
		w.nothingLeft()
		path := w.job(done).Path
		w.user("bob")
		w.deliver(w.user("carl"), mailbox.InboxID, "x", 3*part, true, 0)
		w.bucket.Set(func(ctx context.Context, verb string, n int) error {
			if verb == "put" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		w.start("bob", "memory")
		w.start("carl", "memory")
		synctest.Wait()
		_, err := w.life.Delete(w.ctx, admin, w.org, organization.Deletion{Force: true})
		w.ok(err)
		w.nothingLeft()
		if o, err := w.directory.DescribeOrganization(w.ctx, admin, w.org); err != nil || o.State != directory.OrgDeleted {
			w.t.Errorf("the organisation is %+v, %v", o, err)
		}
		if w.bucket.Object(path) == nil || len(w.bucket.Objects) != 1 {
			w.t.Error("what was exported before must stay, and nothing else")
		}
	})
}

func TestAMailboxThatGoesAway(t *testing.T) {
	inBoth(t, func(w *world) {
		w.furnish(large...)
		once := true
		w.bucket.Set(func(ctx context.Context, verb string, n int) error {
			if verb != "put" || !once {
				return nil
			}
			once = false
			w.ok(w.life.Deregister(ctx, admin, w.org, "ann"))
			for {
				if done, err := w.mailboxes.PurgeBatch(ctx, w.ann); done || err != nil {
					return err
				}
			}
		})
		if j := w.until(w.start("ann", "memory"), export.Failed); j.Error != "The mailbox was removed." {
			w.t.Errorf("the error is %q", j.Error)
		}
		w.nothingLeft()
	})
}

// TestAMessageWithoutItsBytes loses the large bodies: what is left is exported, and the loss is told.
func TestAMessageWithoutItsBytes(t *testing.T) {
	inBoth(t, func(w *world) {
		w.furnish(large...)
		w.blobs.lose()
		z := w.zip(w.until(w.start("ann", "memory"), export.Completed))
		missing := 0
		for _, m := range z.Messages {
			if m.Missing {
				missing++
			}
		}
		if missing != 6 || z.Log["totalNonExportableItems"] != "6" || z.Head["nonExportable"] != 6.0 {
			w.t.Errorf("%d messages are missing: %v", missing, z.Log)
		}
	})
}
