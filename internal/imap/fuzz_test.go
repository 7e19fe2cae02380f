package imap

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzSession sends anything to a server, signed in or not. The connection must not fail from within, and the server must
// answer a command that comes on another connection.
func FuzzSession(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var sent strings.Builder // what session A says
		for line := range strings.Lines(string(script)) {
			if text, ok := strings.CutPrefix(line, "A: "); ok {
				sent.WriteString(strings.TrimSpace(text) + "\r\n")
			}
		}
		f.Add([]byte(sent.String()), true)
	}
	f.Add([]byte("a SELECT INBOX\r\nb FETCH 1:* (FLAGS BODY[1.HEADER.FIELDS (From)]<3.9> ENVELOPE BODYSTRUCTURE)\r\nc SEARCH OR BODY x NOT TEXT y\r\n"), true)
	f.Add([]byte("a LOGIN {3+}\r\nann {6+}\r\nsesame\r\nb IDLE\r\nDONE\r\n"), false)
	var log bytes.Buffer
	r := onSQLite(f, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
		c.AutoLogout, c.SignInTime, c.LiteralTime = 2*time.Second, 2*time.Second, 2*time.Second
	})
	r.deliver("INBOX", multipart, 0)
	f.Fuzz(func(t *testing.T, input []byte, signedIn bool) {
		log.Reset()
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			c := newConn(r.Server, theirs, remoteAddress(theirs))
			c.protected = true
			c.reset()
			c.serve(context.Background())
		}()
		go func() { _, _ = io.Copy(io.Discard, ours) }() // ends with the pipe
		if signedIn {
			_, _ = io.WriteString(ours, "z LOGIN ann sesame\r\n")
		}
		_, _ = ours.Write(input) // the server may hang up
		_ = ours.Close()
		<-done
		if log.Len() > 0 {
			t.Fatalf("%q: %s", input, log.String())
		}
	})
}
