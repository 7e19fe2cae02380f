package export_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/export"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/organization"
)

// BenchmarkExport exports a mailbox of 1 GB in 13,600 messages, from SQLite and files to a directory, and tells the most memory that
// the process had meanwhile.
func BenchmarkExport(b *testing.B) {
	w := newWorld(b, dbtest.SQLite(b, migrations()))
	defer func() { w.stopJobs() }()
	w.mailboxes = mailbox.New(mailbox.Options{DB: w.db, Blobs: fileBlobs(b.TempDir()), Feed: w.feed, Clock: clock.System{}, Log: w.log})
	w.stopJobs()
	w.restartWith(0)
	var err error
	w.org, err = w.life.Create(w.ctx, admin, organization.Request{Alias: "acme"})
	w.ok(err)
	for {
		o, err := w.directory.DescribeOrganization(w.ctx, admin, w.org)
		w.ok(err)
		if o.State == directory.OrgActive {
			break
		}
		w.ok((clock.System{}).Sleep(w.ctx, 10*time.Millisecond))
	}
	noise := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	total := int64(0)
	furnish := func(name string) {
		id := w.user(name)
		total = 0
		for _, c := range []struct{ n, size int }{{10_000, 4 << 10}, {3000, 64 << 10}, {600, 1300 << 10}} {
			for i := range c.n {
				at := i * 1000 % (3 << 20)
				body := append([]byte("Subject: x\r\n\r\n"), noise[at:at+c.size/3]...) // as base64 does, it packs a little
				body = append(body, bytes.Repeat([]byte("All work and no play makes Jack a dull boy\r\n"), c.size/132)...)
				body = append(body, noise[at:at+c.size/3]...)
				total += int64(len(body))
				_, err := w.mailboxes.Deliver(w.ctx, mailbox.Message{Source: mailbox.Source{Bytes: body}}, mailbox.Target{Mailbox: id})
				w.ok(err)
			}
		}
	}
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		name := fmt.Sprint("user-", n)
		furnish(name)
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600) // begins the count of the most memory anew
		b.StartTimer()
		id := w.start(name, "files")
		for w.job(id).State == export.Running {
			w.ok((clock.System{}).Sleep(w.ctx, 10*time.Millisecond))
		}
		if j := w.job(id); j.State != export.Completed {
			b.Fatalf("%+v", j)
		}
		b.SetBytes(total)
		status, _ := os.ReadFile("/proc/self/status")
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		var kilobytes float64
		_, _ = fmt.Sscan(rest, &kilobytes)
		b.ReportMetric(kilobytes/1024, "peak-MB")
	}
}

// fileBlobs keeps large bodies in a directory.
type fileBlobs string

func (d fileBlobs) path(key string) string {
	return filepath.Join(string(d), strings.ReplaceAll(key, "/", "-"))
}

func (d fileBlobs) Put(_ context.Context, key string, r io.Reader) (int64, error) {
	f, err := os.Create(d.path(key))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.Copy(f, r)
}

func (d fileBlobs) Open(_ context.Context, key string) (mailbox.Blob, error) {
	f, err := os.Open(d.path(key))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	return fileBlob{f, info.Size()}, err
}

func (d fileBlobs) Delete(_ context.Context, key string) error { return os.Remove(d.path(key)) }

type fileBlob struct {
	*os.File
	size int64
}

func (f fileBlob) Size() int64 { return f.size }
