package mailbox

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

// onBothDurable runs a benchmark on SQLite with its syncs and on PostgreSQL (whose test cluster does not sync).
func onBothDurable(b *testing.B, fn func(b *testing.B, r *rig)) {
	b.Run("sqlite", func(b *testing.B) {
		d, err := db.Open(context.Background(), db.Options{Path: filepath.Join(b.TempDir(), "bench.db"), Migrations: Migrations()})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = d.Close() })
		fn(b, newBenchRig(b, d))
	})
	b.Run("postgres", func(b *testing.B) { fn(b, newBenchRig(b, dbtest.Postgres(b, Migrations()))) })
}

// newBenchRig is newRig without the check, which would take longer than the benchmark.
func newBenchRig(b *testing.B, d *db.DB) *rig {
	r := newRig(quiet{b}, d)
	r.t = b
	return r
}

// quiet drops what is to be done at the end.
type quiet struct{ testing.TB }

func (quiet) Cleanup(func()) {}

// mail is a message of about n bytes of words, with an envelope and a structure as large as usual ones.
func mail(n, seed int) Message {
	words := strings.Fields("the quarterly report shows that mail arrives late when nobody reads it and every meeting is about another meeting")
	var s strings.Builder
	fmt.Fprintf(&s, "Subject: message %d about %s\r\nMessage-ID: <%d@example.test>\r\n\r\n", seed, words[seed%len(words)], seed)
	for x := uint32(seed)*2654435761 + 1; s.Len() < n; {
		x = x*1664525 + 1013904223
		fmt.Fprintf(&s, "%s%x ", words[x>>16%uint32(len(words))], x>>24)
		if x%11 == 0 {
			s.WriteString("\r\n")
		}
	}
	return Message{Source: Source{Bytes: []byte(s.String())}, Envelope: randomBytes(350), Structure: randomBytes(60)}
}

// fill puts n small messages into a mailbox's inbox, as fast as may be.
func (r *rig) fill(n, size int) ID {
	r.t.Helper()
	id := r.mailbox(fmt.Sprint("fill ", n, size, r.count("SELECT COUNT(*) FROM mailbox")))
	targets := make([]Target, 1000)
	for i := range targets {
		targets[i].Mailbox = id
	}
	if size == 0 { // many items of one body, for what does not read bodies
		for ; n > 0; n -= len(targets) {
			_, err := r.Deliver(context.Background(), mail(200, n), targets[:min(n, len(targets))]...)
			r.ok(err)
		}
		return id
	}
	r.fillBox(id, n, size)
	return id
}

// fillBox adds n messages to a mailbox's inbox.
func (r *rig) fillBox(id ID, n, size int) {
	r.t.Helper()
	done := make(chan error)
	var next atomic.Int64
	const writers = 64
	for range writers {
		go func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if _, err := r.Deliver(context.Background(), mail(size, int(i)), Target{Mailbox: id}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range writers {
		r.ok(<-done)
	}
}

func BenchmarkDeliver(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10} {
		for _, writers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKB/%dx", size>>10, writers), func(b *testing.B) {
				onBothDurable(b, func(b *testing.B, r *rig) {
					var boxes []ID
					for i := range 50 {
						boxes = append(boxes, r.mailbox(fmt.Sprint("user ", i)))
					}
					messages := make([]Message, 64)
					for i := range messages {
						messages[i] = mail(size, i)
					}
					var next atomic.Int64
					b.SetParallelism(max(1, writers/2)) // times GOMAXPROCS, which is 2 where this was measured
					b.SetBytes(int64(size))
					b.ResetTimer()
					deliver := func() bool {
						n := next.Add(1)
						_, err := r.Deliver(b.Context(), messages[n%64], Target{Mailbox: boxes[n%50]})
						if err != nil {
							b.Error(err)
						}
						return err == nil
					}
					if writers == 1 {
						for b.Loop() {
							deliver()
						}
					} else {
						b.RunParallel(func(pb *testing.PB) {
							for pb.Next() && deliver() {
							}
						})
					}
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
				})
			})
		}
	}
}

func BenchmarkFetch(b *testing.B) {
	const n = 20_000
	onBothDurable(b, func(b *testing.B, r *rig) {
		id := r.fill(n, 4<<10)
		for _, c := range []struct {
			name string
			want Want
		}{{"flags", WantFlags}, {"flags and numbers", WantModSeq}, {"item", WantItem}, {"envelope", WantEnvelope}, {"meta", WantMeta}, {"body", WantBody}} {
			b.Run(c.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					got := 0
					for it, err := range r.Fetch(b.Context(), id, InboxID, AllUIDs(), c.want, 0) {
						if err != nil { // ok takes longer than an item
							b.Fatal(err)
						}
						if c.want&WantBody != 0 {
							content, err := r.Open(b.Context(), it)
							r.ok(err)
							r.ok(content.Close())
						}
						got++
					}
					if got != n {
						b.Fatalf("%d items", got)
					}
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "messages/s")
			})
		}
		b.Run("one body", func(b *testing.B) {
			uid := UID(1)
			for b.Loop() {
				uid = uid*7919%n + 1
				for it, err := range r.Fetch(b.Context(), id, InboxID, UIDs(uid), WantBody, 0) {
					r.ok(err)
					content, err := r.Open(b.Context(), it)
					r.ok(err)
					r.ok(content.Close())
				}
			}
		})
		b.Run("search unseen", func(b *testing.B) {
			for b.Loop() {
				found, err := r.Search(b.Context(), id, InboxID, &Criterion{Op: FlagsAre, Mask: Seen}, nil, false)
				r.ok(err)
				if found.UIDs.Len() != n {
					b.Fatal("not all are unseen")
				}
			}
		})
		b.Run("store all", func(b *testing.B) {
			on := false
			for b.Loop() {
				c := FlagChange{Remove: Flagged}
				if on = !on; on {
					c = FlagChange{Add: Flagged}
				}
				_, err := r.StoreFlags(b.Context(), id, InboxID, AllUIDs(), c, Always)
				r.ok(err)
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "messages/s")
		})
		b.Run("store one", func(b *testing.B) {
			uid, on := UID(1), Flags(0)
			for b.Loop() {
				if uid = uid*7919%n + 1; uid == 1 {
					on ^= Answered
				}
				_, err := r.StoreFlags(b.Context(), id, InboxID, UIDs(uid), FlagChange{Remove: Answered, Add: on ^ Flags(uid)&Answered}, Always)
				r.ok(err)
			}
		})
	})
}

func BenchmarkSelect(b *testing.B) {
	onBothDurable(b, func(b *testing.B, r *rig) {
		for _, n := range []int{20_000, 250_000} {
			id := r.fill(n, 0)
			// Gaps, so that the list can't be told from its ends.
			for u := UID(5); u < UID(n); u += UID(n / 50) {
				_, err := r.Expunge(b.Context(), id, InboxID, UIDs(u), false)
				r.ok(err)
			}
			b.Run(fmt.Sprintf("%d/folder", n), func(b *testing.B) {
				for b.Loop() {
					_, err := r.Folder(b.Context(), id, "INBOX")
					r.ok(err)
				}
			})
			b.Run(fmt.Sprintf("%d/cold", n), func(b *testing.B) {
				for b.Loop() {
					r.snaps = newSnapshots(r.limits.SnapshotBytes)
					f, err := r.Folder(b.Context(), id, "INBOX")
					r.ok(err)
					l, err := r.UIDList(b.Context(), id, &f)
					r.ok(err)
					b.ReportMetric(float64(l.Bytes()), "list-bytes")
				}
			})
			b.Run(fmt.Sprintf("%d/warm", n), func(b *testing.B) {
				for b.Loop() {
					f, err := r.Folder(b.Context(), id, "INBOX")
					r.ok(err)
					_, err = r.UIDList(b.Context(), id, &f)
					r.ok(err)
				}
			})
			b.Run(fmt.Sprintf("%d/changes", n), func(b *testing.B) {
				f := r.get(id, InboxID)
				_, err := r.StoreFlags(b.Context(), id, InboxID, UIDs(7), FlagChange{Add: Junk}, Always)
				r.ok(err)
				for b.Loop() {
					_, err := r.Changes(b.Context(), id, InboxID, f.Highest)
					r.ok(err)
				}
				_, err = r.StoreFlags(b.Context(), id, InboxID, UIDs(7), FlagChange{Remove: Junk}, Always)
				r.ok(err)
			})
		}
	})
}

// BenchmarkStoreFlags sets and clears \Seen of one message after the other.
func BenchmarkStoreFlags(b *testing.B) {
	onBothDurable(b, func(b *testing.B, r *rig) {
		const n = 2000
		id := r.fill(n, 0)
		i := 0
		for b.Loop() {
			uid := UID(i%n + 1)
			change := FlagChange{Add: Seen}
			if i/n%2 == 1 {
				change = FlagChange{Remove: Seen}
			}
			_, err := r.StoreFlags(b.Context(), id, InboxID, NewUIDSet(UIDRange{First: uid, Last: uid}), change, Always)
			r.ok(err)
			i++
		}
	})
}
