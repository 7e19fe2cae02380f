package imap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/mailbox"
)

const benchMessages = 20_000

// benchRig is a server with a folder of 20,000 messages of 4 KB.
func benchRig(b *testing.B) *client {
	d, err := db.Open(b.Context(), db.Options{Path: filepath.Join(b.TempDir(), "bench.db"), Migrations: mailbox.Migrations(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	r := newRig(b, d)
	done := make(chan struct{})
	for n := range 16 {
		go func() {
			for i := n; i < benchMessages; i += 16 {
				r.deliver("INBOX", benchMessage(i), 0)
			}
			done <- struct{}{}
		}()
	}
	for range 16 {
		<-done
	}
	c := r.dial(true)
	c.ok("l LOGIN ann sesame")
	return c
}

func benchMessage(i int) string {
	head := fmt.Sprintf("From: Sender %d <sender%d@example.org>\r\nTo: Ann <ann@example.com>\r\nSubject: Message number %d about nothing\r\nDate: Mon, 7 Feb 2022 23:30:00 -0500\r\n"+
		"Message-ID: <%d@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n", i, i, i, i)
	return head + strings.Repeat("The quick brown fox jumps over the lazy dog, again and again.\r\n", (4096-len(head))/63)
}

// BenchmarkFolder asks for the whole of a folder of 20,000 messages.
func BenchmarkFolder(b *testing.B) {
	c := benchRig(b)
	run := func(name, command string, messages int) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Wait()
				fmt.Fprintf(c, "t %s\r\n", command)
				if err := skipTo(c, "t OK"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(messages)*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
	c.ok("s SELECT INBOX")
	run("flags", "FETCH 1:* (UID FLAGS)", benchMessages)
	run("envelope", "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)", benchMessages)
	run("headers", "FETCH 1:* BODY.PEEK[HEADER]", benchMessages)
	run("bodies", "FETCH 1:* BODY.PEEK[]", benchMessages)
	run("one", "UID FETCH 12345 BODY.PEEK[]", 1)
	run("select", "SELECT INBOX", 1)
	run("status", "STATUS INBOX (MESSAGES UNSEEN UIDNEXT)", 1)
	run("list", `LIST "" *`, 1)
	run("search-unseen", "UID SEARCH UNSEEN", 1)
	run("search-subject", "UID SEARCH SUBJECT 4711", 1)
	run("search-body", "UID SEARCH BODY nowhere", 1)
}

// skipTo reads up to a line that begins with prefix. The benchmark's messages hold no such line.
func skipTo(c *client, prefix string) error {
	for {
		line, err := c.In.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = c.In.ReadSlice('\n')
			line = nil
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(line), prefix) {
			return nil
		}
	}
}

// BenchmarkIdleMemory reports what connections in IDLE cost, both their ends together, since the client is in this process.
func BenchmarkIdleMemory(b *testing.B) {
	const connections = 300
	for b.Loop() {
		r := onSQLite(b)
		r.login().ok("w SELECT INBOX")
		before := memory()
		for range connections {
			c := r.login()
			c.ok("a SELECT INBOX")
			c.Send("b IDLE\r\n")
			c.Line()
			c.Log = bytes.Buffer{}
		}
		b.ReportMetric(float64(memory()-before)/connections/1024, "KB/conn")
		r.shutDown()
	}
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
