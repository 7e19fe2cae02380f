package signing

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/secret"
)

// BenchmarkSign signs messages of 4 and 64 KB with a real RSA key, the look into the store included.
func BenchmarkSign(b *testing.B) {
	d, err := db.Open(b.Context(), db.Options{Path: filepath.Join(b.TempDir(), "b.db"), NoSync: true, Migrations: migrations(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			b.Error(err)
		}
	}()
	s := New(Options{
		DB: d, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler), Root: secret.Ephemeral(), Hostname: hostname,
		Directory: directory.New(directory.Config{DB: d, Audit: audit.New(d, clock.System{}, audit.Config{}), Clock: clock.System{}, Feed: feed.New()}),
	})
	for name, size := range map[string]int{"4KB": 4 << 10, "64KB": 64 << 10} {
		message := append([]byte(text), bytes.Repeat([]byte("What is written in a message, a line.\r\n"), size/39)...)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if fields, err := s.Sign(context.Background(), Server, hostname, message); err != nil || len(fields) == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}
