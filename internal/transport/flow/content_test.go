package flow_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

const (
	ownLines = "Authentication-Results: here; spf=pass\r\nReceived: from x by here;\r\n\tMon, 23 Nov 2026 12:00:00 +0000\r\n"
	arrived  = "From: Far <x@far.example>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\nSubject: hello\r\n\r\nbody\r\n"
	larger   = 200 << 10
)

// lines is a text of n bytes.
func lines(n int) string { return strings.Repeat(strings.Repeat("x", 62)+"\r\n", n/64) }

// keep keeps a message and returns its id.
func keep(w *transporttest.World, org int64, d flow.Direction, waits bool, text string) string {
	w.T.Helper()
	m := flow.Told{ID: id.UUID(), Organization: org, Direction: d, Own: len(ownLines), Waits: waits}
	body, err := w.Contents.Prepare(w.T.Context(), ownLines, []byte(text))
	w.Must(err)
	w.Write(func(ctx context.Context, tx *db.Tx) error { return w.Contents.KeepTx(ctx, tx, m, body) })
	body.Discard(w.T.Context()) // does nothing
	return m.ID
}

func content(w *transporttest.World, id string) string {
	w.T.Helper()
	c, err := w.Contents.Get(w.T.Context(), admin, id)
	if err != nil {
		if !fault.Is(err, fault.NotFound, fault.Message) {
			w.T.Error(err)
		}
		return "none"
	}
	b, err := c.First(w.T.Context(), c.Size)
	w.Must(err)
	return string(b)
}

// sweep sweeps until nothing is left to do.
func sweep(w *transporttest.World) {
	w.T.Helper()
	for more := true; more; {
		var err error
		more, err = w.Contents.Sweep(w.T.Context())
		w.Must(err)
	}
}

// TestContentsAreKept for a day, and those that wait until they do no more; then nothing is left.
func TestContentsAreKept(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ctx, t := w.T.Context(), w.T
		small, large := arrived, arrived+lines(larger)
		texts := map[string]string{}
		for _, text := range []string{small, large} {
			texts[keep(w, w.Acme.Key, flow.Inbound, false, text)] = text
		}
		waits := keep(w, w.Acme.Key, flow.Outbound, true, large)
		arn, err := w.Contents.ARN(ctx, waits)
		w.Must(err)
		if want := fmt.Sprintf("arn:aws:workmailmessageflow:%s:%s:message/%s/outgoing/%s", w.Acme.Region, w.Acme.Account, w.Acme.ID, waits); arn != want {
			t.Errorf("the ARN is %s, want %s", arn, want)
		}
		for id, text := range texts {
			if arn, err := w.Contents.ARN(ctx, id); err != nil || !strings.HasSuffix(arn, "/incoming/"+id) {
				t.Errorf("the ARN is %s, %v", arn, err)
			}
			if got := content(w, id); got != ownLines+text {
				t.Errorf("%d bytes of %d", len(got), len(text))
			}
		}
		if _, err := w.Contents.Get(ctx, principal.Principal{Kind: principal.User}, waits); fault.KindOf(err) != fault.Denied {
			t.Errorf("a user reads it: %v", err)
		}
		w.Clock.Advance(flow.Kept)
		for id := range texts {
			if got := content(w, id); got != "none" {
				t.Error("after a day it is there")
			}
			if _, err := w.Contents.ARN(ctx, id); !fault.Is(err, fault.NotFound, fault.Message) {
				t.Errorf("after a day it has an ARN: %v", err)
			}
		}
		sweep(w)
		if got := len(w.Blobs("flow/")); got != 2 || content(w, waits) != ownLines+large { // who reads it has the time of grace
			t.Errorf("%d blobs are there", got)
		}
		w.Write(func(ctx context.Context, tx *db.Tx) error { return w.Contents.GivenUpTx(ctx, tx, waits) })
		sweep(w)
		w.Clock.Advance(2 * time.Hour)
		sweep(w)
		if got := w.Blobs("flow/"); len(got) != 0 || content(w, waits) != "none" {
			t.Errorf("left is %q", got)
		}
	})
}

// TestWhatIsNotKeptGoes: what a server wrote that was killed before it was kept, and what is discarded.
func TestWhatIsNotKeptGoes(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ctx, t := w.T.Context(), w.T
		body, err := w.Contents.Prepare(ctx, "", []byte(lines(larger)))
		w.Must(err)
		body.Discard(ctx)
		if got := w.Blobs("flow/"); len(got) != 0 {
			t.Errorf("left is %q", got)
		}
		body, err = w.Contents.Prepare(ctx, "", []byte(lines(larger)))
		w.Must(err)
		w.Clock.Advance(2 * time.Hour)
		sweep(w)
		if got := w.Blobs("flow/"); len(got) != 0 {
			t.Errorf("left is %q", got)
		}
		err = w.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			return w.Contents.KeepTx(ctx, tx, flow.Told{ID: "late", Organization: w.Acme.Key}, body)
		})
		if fault.KindOf(err) != fault.Temporary {
			t.Errorf("kept is what is gone: %v", err)
		}
	})
}

// TestPutsFillNoDisk: a message is changed a few times, as what it was before stays for a while, and grows into its organisation's room alone.
func TestPutsFillNoDisk(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		put := func(id, key string) error {
			return w.Contents.Put(w.T.Context(), admin, id, flow.Object{Bucket: "bucket", Key: key})
		}
		w.Objects["small"], w.Objects["large"] = ownLines+arrived, ownLines+arrived+lines(larger)
		waits := keep(w, w.Acme.Key, flow.Inbound, true, arrived)
		other := keep(w, w.Organization("other").Key, flow.Inbound, true, arrived)
		w.Contents.MaxKept = int64(2*len(ownLines+arrived)+larger) - 1
		keep(w, w.Acme.Key, flow.Inbound, true, arrived)
		if err := put(waits, "large"); !fault.Is(err, fault.Invalid, fault.Message) || !strings.Contains(err.Error(), "would wait for functions") {
			w.T.Errorf("beyond the room: %v", err)
		}
		w.Must(put(other, "large"))
		w.Contents.MaxKept++
		w.Must(put(waits, "large"))
		for range 9 {
			w.Must(put(waits, "small"))
		}
		if err := put(waits, "small"); !fault.Is(err, fault.State, fault.Message) {
			w.T.Errorf("once more: %v", err)
		}
	})
}

// slowObjects is a bucket that answers some organisation once ready is closed.
type slowObjects struct {
	flow.Objects
	slow  directory.OrgID
	asked chan struct{}
	ready chan struct{}
}

func (o slowObjects) Object(ctx context.Context, org directory.OrgID, bucket, key, version string) ([]byte, error) {
	if org == o.slow {
		o.asked <- struct{}{}
		<-o.ready
	}
	return o.Objects.Object(ctx, org, bucket, key, version)
}

// TestNobodyWaitsForASlowBucketOfOthers, whatever another organisation puts at the same time.
func TestNobodyWaitsForASlowBucketOfOthers(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		slow := slowObjects{w.Contents.Objects, w.Acme.ID, make(chan struct{}, 10), make(chan struct{})}
		w.Contents.Objects, w.Objects["new"] = slow, ownLines+arrived
		other := keep(w, w.Organization("other").Key, flow.Inbound, true, arrived)
		ended := make(chan error, 10)
		for range cap(ended) {
			id := keep(w, w.Acme.Key, flow.Inbound, true, arrived)
			go func() { ended <- w.Contents.Put(w.T.Context(), admin, id, flow.Object{Bucket: "bucket", Key: "new"}) }()
		}
		<-slow.asked
		w.Must(w.Contents.Put(w.T.Context(), admin, other, flow.Object{Bucket: "bucket", Key: "new"}))
		if len(slow.asked) > 0 {
			w.T.Errorf("%d more are read at the same time", len(slow.asked))
		}
		close(slow.ready)
		for range cap(ended) {
			w.Must(<-ended)
		}
	})
}

// sweptBlobs is a store that tells before it removes.
type sweptBlobs struct {
	mailbox.Blobs
	before func()
}

func (b sweptBlobs) Delete(ctx context.Context, key string) error {
	b.before()
	return b.Blobs.Delete(ctx, key)
}

// TestNothingIsKeptThatIsBeingSwept: between finding bytes that nobody names and removing them, a message could be acknowledged with them.
func TestNothingIsKeptThatIsBeingSwept(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		body, err := w.Contents.Prepare(w.T.Context(), "", []byte(lines(larger)))
		w.Must(err)
		w.Clock.Advance(2 * time.Hour)
		swept := 0
		w.Contents.Blobs = sweptBlobs{w.Contents.Blobs, func() {
			swept++
			err := w.DB.Write(w.T.Context(), func(ctx context.Context, tx *db.Tx) error {
				return w.Contents.KeepTx(ctx, tx, flow.Told{ID: "late", Organization: w.Acme.Key}, body)
			})
			if fault.KindOf(err) != fault.Temporary {
				w.T.Errorf("kept is what goes: %v", err)
			}
		}}
		sweep(w)
		if swept != 1 {
			w.T.Errorf("swept are %d", swept)
		}
	})
}

// TestPutReplaces what goes on, while a function decides and only then.
func TestPutReplaces(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ctx, t := w.T.Context(), w.T
		put := func(id, key, version string) error {
			return w.Contents.Put(ctx, admin, id, flow.Object{Bucket: "bucket", Key: key, Version: version})
		}
		changed := strings.Replace(arrived, "hello", "[External] hello", 1)
		w.Objects["small"] = ownLines + changed
		w.Objects["small#2"] = ownLines + changed + "more\r\n"
		w.Objects["large"] = strings.ReplaceAll(ownLines+changed+lines(larger), "\r\n", "\n") // as Python writes messages
		w.Objects["wrong"] = ownLines + "Subject: no more\r\n\r\n"
		w.Objects["huge"] = lines(transporttest.MaxMessage + 64)

		waits := keep(w, w.Acme.Key, flow.Inbound, true, arrived+lines(larger))
		before, err := w.Contents.Current(ctx, waits)
		w.Must(err)
		for _, step := range []struct{ key, version, want string }{
			{"small", "", changed}, {"large", "", changed + lines(larger)}, {"small", "2", changed + "more\r\n"},
		} {
			w.Must(put(waits, step.key, step.version))
			if got := content(w, waits); got != ownLines+step.want {
				t.Errorf("%s: the content is %.300q", step.key, got)
			}
		}
		for key, says := range map[string]string{"wrong": "the header From is missing", "huge": "has more than 1048576 bytes"} {
			if err := put(waits, key, ""); !fault.Is(err, fault.Invalid, fault.Message) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", key, err)
			}
		}
		if err := put(waits, "none", ""); !fault.Is(err, fault.Invalid, fault.Location) {
			t.Errorf("no object: %v", err)
		}
		if err := put("unknown", "small", ""); !fault.Is(err, fault.NotFound, fault.Message) {
			t.Errorf("no message: %v", err)
		}
		if err := put(keep(w, w.Acme.Key, flow.Inbound, false, arrived), "small", ""); !fault.Is(err, fault.State, fault.Message) {
			t.Errorf("one that an asynchronous function is told of: %v", err)
		}
		decide := func(revision int64) error {
			return w.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return w.Contents.DecidedTx(ctx, tx, waits, revision) })
		}
		if err := decide(before.Revision); !errors.Is(err, flow.ErrChanged) {
			t.Errorf("decided on what was there before: %v", err)
		}
		now, err := w.Contents.Current(ctx, waits)
		w.Must(err)
		w.Must(decide(now.Revision))
		if err := put(waits, "small", ""); !fault.Is(err, fault.State, fault.Message) {
			t.Errorf("after the decision: %v", err)
		}
		if got := content(w, waits); got != ownLines+changed+"more\r\n" {
			t.Errorf("after the decision the content is %.300q", got)
		}
		w.Clock.Advance(2 * time.Hour)
		sweep(w)
		if got := w.Blobs("flow/"); len(got) != 0 {
			t.Errorf("of contents before are left %q", got)
		}
	})
}

// TestTooMuchIsSummedUpOnce, however many batches go: the sum looks at all that is kept.
func TestTooMuchIsSummedUpOnce(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		w.Contents.MaxKept = int64(len(arrived))
		w.Write(func(ctx context.Context, tx *db.Tx) (err error) {
			for range 250 {
				body, failure := w.Contents.Prepare(ctx, "", []byte(arrived))
				err = errors.Join(err, failure, w.Contents.KeepTx(ctx, tx, flow.Told{ID: id.UUID(), Organization: w.Acme.Key}, body))
			}
			return err
		})
		if more, err := w.Contents.Sweep(w.T.Context()); more || err != nil {
			w.T.Errorf("there is more to do: %t, %v", more, err)
		}
		var left int
		w.Must(w.DB.Read(w.T.Context(), func(ctx context.Context, tx *db.Tx) error {
			return tx.QueryRow(ctx, "SELECT COUNT(*) FROM flow_content").Scan(&left)
		}))
		if left != 1 {
			w.T.Errorf("%d are left", left)
		}
	})
}

// TestOrganizationsKeepSoMuch: the oldest go, but none that waits; and all with their organisation.
func TestOrganizationsKeepSoMuch(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ctx, t := w.T.Context(), w.T
		other := w.Organization("other")
		w.Contents.MaxKept = int64(3 * len(ownLines+arrived))
		waits := keep(w, w.Acme.Key, flow.Inbound, true, arrived+lines(larger))
		others := keep(w, other.Key, flow.Inbound, false, arrived)
		var ids []string
		for range 5 {
			ids = append(ids, keep(w, w.Acme.Key, flow.Inbound, false, arrived))
			w.Clock.Advance(time.Second)
		}
		sweep(w)
		for i, id := range ids {
			if there := content(w, id) != "none"; there != (i >= 2) {
				t.Errorf("the message %d is there: %t", i, there)
			}
		}
		if content(w, waits) == "none" || content(w, others) == "none" {
			t.Error("another is gone")
		}
		erase := func(limit int) (n int) {
			w.Write(func(ctx context.Context, tx *db.Tx) (err error) {
				n, err = w.Contents.EraseTx(ctx, tx, w.Acme, limit)
				return err
			})
			return n
		}
		if a, b, c := erase(3), erase(3), erase(3); a != 3 || b != 1 || c != 0 || content(w, waits) != "none" || content(w, others) == "none" {
			t.Errorf("erased are %d, %d, %d", a, b, c)
		}
		w.Must(w.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			faults, err := w.Contents.Check(ctx, tx)
			if len(faults) > 0 {
				t.Errorf("the check says %q", faults)
			}
			return err
		}))
	})
}
