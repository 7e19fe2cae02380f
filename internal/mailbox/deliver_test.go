package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
)

func TestDeliverStoresOneBodyAndAnItemPerTarget(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		a, b := r.mailbox("a"), r.mailbox("b")
		other := r.mailboxOf(Owner{8, "c"}, testQuota)
		work := r.folder(a, "Work")
		received := testStart.Add(-time.Hour)
		heard := r.feed.Listen(Topic(b))
		defer heard.Close()
		out, err := r.Deliver(ctx, text("hello"),
			Target{Mailbox: other},
			Target{Mailbox: b, Prefix: []byte("Delivered-To: b@x.test\r\n"), Received: received},
			Target{Mailbox: a, Flags: Flagged | Junk},
			Target{Mailbox: a, Folder: work.ID, Flags: Seen})
		r.ok(err)
		<-heard.C
		if out[0].Mailbox != other || out[1].Mailbox != b || out[2].Folder != InboxID || out[3].Folder != work.ID || out[3].UIDValidity != work.UIDValidity {
			t.Errorf("results are not in the order of targets: %+v", out)
		}
		if out[2].ID == out[3].ID || out[2].ModSeq >= out[3].ModSeq {
			t.Errorf("two items of one mailbox share an id or a number: %+v", out[2:])
		}
		it := r.items(b, InboxID, WantMeta|WantBody)[0]
		want := "Delivered-To: b@x.test\r\nSubject: test\r\n\r\nhello"
		if got := string(r.bytes(&it)); got != want || it.Size != int64(len(want)) {
			t.Errorf("message is %q of size %d, want %q", got, it.Size, want)
		}
		if string(it.Envelope) != "envelope of hello" || string(it.Structure) != "structure of hello" {
			t.Errorf("envelope %q, structure %q", it.Envelope, it.Structure)
		}
		if !it.Received.Equal(received) || !it.Saved.Equal(testStart) || it.Email != EmailID(it.ID) || it.Created != it.ModSeq {
			t.Errorf("item %+v", it)
		}
		if n := r.count("SELECT COUNT(*) FROM body"); n != 2 {
			t.Errorf("%d bodies, want one for each organisation", n)
		}
		f := r.get(a, work.ID)
		if f.Messages != 1 || f.Unseen != 0 || f.UIDNext != 2 || f.Highest != out[3].ModSeq {
			t.Errorf("folder row %+v", f)
		}
	})
}

func TestDeliverSeveralMessagesTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		a, b := r.mailbox("a"), r.mailbox("b")
		out, err := r.DeliverParcels(ctx, nil, Parcel{text("one"), []Target{{Mailbox: b}, {Mailbox: a}}}, Parcel{text("two"), []Target{{Mailbox: a, Folder: TrashID}}})
		r.ok(err)
		if out[0][0].Mailbox != b || out[0][1].ID == out[1][0].ID || out[1][0].Folder != TrashID || r.count("SELECT COUNT(*) FROM body") != 2 {
			t.Errorf("stored are %+v", out)
		}
		lost := errors.New("lost")
		_, err = r.DeliverParcels(ctx, func(context.Context, *db.Tx) error { return lost }, Parcel{text("three"), []Target{{Mailbox: a}}}, Parcel{text("four"), []Target{{Mailbox: b}}})
		if !errors.Is(err, lost) || r.count("SELECT COUNT(*) FROM item") != 3 {
			t.Errorf("what failed: %v", err)
		}
	})
}

// count runs a query that returns one number.
func (r *rig) count(query string) (n int64) {
	r.t.Helper()
	r.ok(r.db.Read(context.Background(), func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, query).Scan(&n)
	}))
	return n
}

func TestDeliverIsAllOrNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		a := r.mailbox("a")
		small := r.mailboxOf(Owner{7, "small"}, 10)
		closed := r.mailbox("closed")
		r.write(func(ctx context.Context, tx *db.Tx) error {
			_, err := r.CloseTx(ctx, tx, Owner{7, "closed"}, testStart.Add(time.Hour))
			return err
		})
		_, err := r.CreateFolder(ctx, a, "Name/Below", Mail, NoUse)
		r.ok(err)
		r.ok(r.DeleteFolder(ctx, a, "Name", false))
		name, err := r.Folder(ctx, a, "Name")
		r.ok(err)
		for _, c := range []struct {
			name    string
			target  Target
			kind    fault.Kind
			subject fault.Subject
		}{
			{"over quota", Target{Mailbox: small}, fault.OverQuota, fault.Mailbox},
			{"closed", Target{Mailbox: closed}, fault.State, fault.Mailbox},
			{"no such mailbox", Target{Mailbox: 999}, fault.NotFound, fault.Mailbox},
			{"no such folder", Target{Mailbox: small + 0, Folder: 77}, fault.OverQuota, fault.Mailbox},
			{"no such folder of an open one", Target{Mailbox: a, Folder: 77}, fault.NotFound, fault.Folder},
			{"a name without items", Target{Mailbox: a, Folder: name.ID}, fault.Unsupported, fault.Folder},
			{"a long prefix", Target{Mailbox: a, Prefix: bytes.Repeat([]byte("x"), MaxPrefix+1)}, fault.TooLarge, fault.Message},
		} {
			t.Run(c.name, func(t *testing.T) {
				_, err := r.Deliver(ctx, text("lost"), Target{Mailbox: a}, c.target)
				wantFault(t, err, c.kind, c.subject)
			})
		}
		if n := len(r.items(a, InboxID, WantFlags)); n != 0 {
			t.Errorf("%d items of failed deliveries are there", n)
		}
		wantFault(t, r.CheckRoom(ctx, small, 11), fault.OverQuota, fault.Mailbox)
		wantFault(t, r.CheckRoom(ctx, closed, 1), fault.State, fault.Mailbox)
		wantFault(t, r.CheckRoom(ctx, 999, 1), fault.NotFound, fault.Mailbox)
		wantFault(t, r.CheckRoom(ctx, a, 40<<20+1), fault.TooLarge, fault.Message)
		r.ok(r.CheckRoom(ctx, small, 10))
	})
}

func TestHostileBytesAreKeptAsTheyAre(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		for name, data := range map[string][]byte{
			"empty":         {},
			"NUL and 8 bit": []byte("Subject: \x00\xff\xfe\r\n\r\n\x00\x80\xc3\x28"),
			"a long line":   []byte("X: " + strings.Repeat("y", 1<<20) + "\r\n\r\nbody"),
			"random":        randomBytes(100_000),
			"at the limit":  bytes.Repeat([]byte("z"), DefaultInlineLimit),
			"above it":      bytes.Repeat([]byte("z"), DefaultInlineLimit+1),
			"random above":  randomBytes(3 << 20),
		} {
			t.Run(name, func(t *testing.T) {
				m := Message{Source: Source{Bytes: data}, Envelope: data[:min(len(data), 3000)], Structure: []byte{0, 255}}
				out, err := r.Deliver(ctx, m, Target{Mailbox: id, Prefix: []byte("P: 1\r\n")})
				r.ok(err)
				for it, err := range r.Fetch(ctx, id, InboxID, UIDs(out[0].UID), WantMeta|WantBody, 0) {
					r.ok(err)
					if got := r.bytes(it); !bytes.Equal(got, append([]byte("P: 1\r\n"), data...)) {
						t.Errorf("%d bytes came back changed as %d", len(data), len(got))
					}
					if !bytes.Equal(it.Envelope, m.Envelope) || !bytes.Equal(it.Structure, m.Structure) {
						t.Error("envelope or structure came back changed")
					}
				}
			})
		}
	})
}

// randomBytes returns bytes that don't pack, the same each time.
func randomBytes(n int) []byte {
	out := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range out {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		out[i] = byte(x)
	}
	return out
}

func TestLargeBodiesAreBlobsUntilTheLastItemGoes(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		a, b := r.mailbox("a"), r.mailbox("b")
		c := r.mailboxOf(Owner{8, "c"}, testQuota)
		data := randomBytes(DefaultInlineLimit * 2)
		opened := 0
		m := Message{Source: Source{Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
			opened++
			return io.NopCloser(bytes.NewReader(data)), nil
		}}}
		_, err := r.Deliver(ctx, m, Target{Mailbox: a}, Target{Mailbox: b}, Target{Mailbox: c})
		r.ok(err)
		if r.blobs.len() != 2 || opened != 2 {
			t.Fatalf("%d blobs after %d readings, want one per organisation", r.blobs.len(), opened)
		}
		it := r.items(a, InboxID, WantBody)[0]
		content, err := r.Open(ctx, &it)
		r.ok(err)
		part := make([]byte, 1000)
		if _, err := content.ReadAt(part, 150_000); err != nil || !bytes.Equal(part, data[150_000:151_000]) {
			t.Errorf("a range of a large body came back wrong: %v", err)
		}
		r.ok(content.Close())
		r.blobs.failOpen = fault.New(fault.Temporary, fault.None, "try again later")
		if _, err := r.Open(ctx, &it); fault.KindOf(err) != fault.Temporary {
			t.Errorf("a body that can't be read now: %v", err)
		}
		r.blobs.failOpen = nil
		for _, id := range []ID{a, c, b} {
			for more := true; more; {
				more, err = r.Sweep(ctx)
				r.ok(err)
			}
			if r.blobs.len() == 0 {
				t.Fatal("blobs went before their items")
			}
			_, err := r.Expunge(ctx, id, InboxID, AllUIDs(), false)
			r.ok(err)
		}
		for more := true; more; {
			more, err = r.Sweep(ctx)
			r.ok(err)
		}
		if r.blobs.len() != 0 {
			t.Errorf("%d blobs are left over", r.blobs.len())
		}
		if _, err := r.Open(ctx, &it); !fault.Is(err, fault.NotFound, fault.Message) {
			t.Errorf("a body that is gone: %v", err)
		}
	})
}

// TestGarbageOfAStoreFromBefore: marks that a version before wrote are found by the index that came later, those of their time first.
func TestGarbageOfAStoreFromBefore(t *testing.T) {
	mark := func(r *rig, key string, due time.Duration) {
		r.write(func(ctx context.Context, tx *db.Tx) error { return addGarbage(ctx, tx, key, r.clock.Now().Add(due)) })
	}
	dbtest.Upgrade(t, Migrations()[:3], Migrations(), func(t *testing.T, d *db.DB) {
		r := newRig(quiet{t}, d)
		r.t = t
		for i := range 2*sweepBatch - 1 {
			mark(r, fmt.Sprintf("due-%d", i), -time.Duration(i)*time.Second)
		}
		mark(r, "later", time.Hour)
	}, func(t *testing.T, d *db.DB) {
		r := newRig(t, d)
		mark(r, "due-last", 0)
		for left := 2 * sweepBatch; left >= 0; left -= sweepBatch {
			if n := r.count("SELECT COUNT(*) FROM blob_garbage"); n != int64(left)+1 {
				t.Errorf("%d marks are left, want %d", n, left+1)
			}
			_, err := r.Sweep(t.Context())
			r.ok(err)
		}
		r.clock.Advance(time.Hour)
		_, err := r.Sweep(t.Context())
		r.ok(err)
		if n := r.count("SELECT COUNT(*) FROM blob_garbage"); n != 0 {
			t.Errorf("%d marks are left in the end", n)
		}
		if d.Engine() == db.SQLite {
			if plan := r.plan(readGarbage, 2); !strings.Contains(plan, "blob_garbage_due") {
				t.Errorf("the plan is\n%s", plan)
			}
		}
	})
}

// TestBlobsComeBeforeTheirRowsAndGoAfterThem looks at what a crash would leave whenever a blob is about to be written or deleted: a mark
// that names it, and no body that does.
func TestBlobsComeBeforeTheirRowsAndGoAfterThem(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		seen := map[string]int{}
		r.blobs.before = func(verb, key string) {
			seen[verb]++
			if marks := r.count("SELECT COUNT(*) FROM blob_garbage WHERE key = '" + key + "'"); marks != 1 {
				t.Errorf("%d marks name a blob before its %s", marks, verb)
			}
			if bodies := r.count("SELECT COUNT(*) FROM body WHERE ref = '" + key + "'"); bodies != 0 {
				t.Errorf("%d bodies have their bytes in a blob before its %s", bodies, verb)
			}
		}
		m := Message{Source: Source{Bytes: randomBytes(DefaultInlineLimit + 1)}}
		for range 3 {
			_, err := r.Deliver(ctx, m, Target{Mailbox: id})
			r.ok(err)
		}
		_, err := r.Expunge(ctx, id, InboxID, UIDs(1), false)
		r.ok(err)
		f := r.folder(id, "x")
		_, err = r.Move(ctx, id, InboxID, UIDs(2), f.ID)
		r.ok(err)
		r.ok(r.DeleteFolder(ctx, id, "x", false))
		r.write(func(ctx context.Context, tx *db.Tx) error {
			_, _, err := r.RetainTx(ctx, tx, id, Due{InboxID, Rule{Before: r.clock.Now().Add(1)}})
			return err
		})
		for more := true; more; {
			more, err = r.Sweep(ctx)
			r.ok(err)
		}
		if seen["put"] != 3 || seen["delete"] != 3 || r.blobs.len() != 0 {
			t.Errorf("%v, and %d blobs are left", seen, r.blobs.len())
		}
	})
}

func TestABlobWithoutABodyIsGarbage(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailboxOf(Owner{7, "a"}, 10)
		m := Message{Source: Source{Bytes: randomBytes(DefaultInlineLimit + 1)}}
		_, err := r.Deliver(ctx, m, Target{Mailbox: id})
		wantFault(t, err, fault.OverQuota, fault.Mailbox)
		if r.blobs.len() != 1 {
			t.Fatalf("%d blobs after a delivery that failed behind its blob", r.blobs.len())
		}
		_, err = r.Sweep(ctx)
		r.ok(err)
		if r.blobs.len() != 1 {
			t.Error("a blob was swept while its delivery might still be under way")
		}
		r.clock.Advance(garbageDelay)
		_, err = r.Sweep(ctx)
		r.ok(err)
		if r.blobs.len() != 0 {
			t.Error("a blob that no body refers to stays for ever")
		}
		r.blobs.failPut = errors.New("disk full")
		_, err = r.Deliver(ctx, m, Target{Mailbox: id})
		wantFault(t, err, fault.Temporary, fault.Message)
	})
}
