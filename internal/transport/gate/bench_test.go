package gate

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

// BenchmarkVisit is all that is asked of a gate for a message of a stranger on a connection of its own.
func BenchmarkVisit(b *testing.B) {
	g := New(Options{Clock: clock.System{}, Log: quiet, Limits: Limits{Connections: 1 << 30, Connects: 1e9, Messages: 1e9, Recipients: 1e9}})
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			v, err := g.Admit(context.Background(), stranger)
			if err != nil || v.Mail("") != nil || v.Recipient("") != nil || v.Answered(context.Background(), "", nil) != nil {
				b.Error("refused")
			}
			v.Close()
		}
	})
}

// BenchmarkGreylist is what a recipient costs of one who is known, and of one who never was here.
func BenchmarkGreylist(b *testing.B) {
	d, err := db.Open(b.Context(), db.Options{Path: filepath.Join(b.TempDir(), "bench.db"), Migrations: slices.Concat(job.Migrations(), Migrations()), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := d.Close(); err != nil {
			b.Error(err)
		}
	})
	now := clock.NewFake(start)
	l := NewGreylist(GreylistOptions{DB: d, Clock: now, Log: quiet, Waiting: 1 << 40})
	known := mailauth.Client{Address: stranger, From: address(alice)}
	if err := l.Pass(known)(b.Context(), address(ann)); err == nil {
		b.Fatal("a stranger is known")
	}
	now.Advance(putOff)
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			if err := l.Pass(known)(b.Context(), address(ann)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("stranger", func(b *testing.B) {
		at := other
		for b.Loop() {
			for range 256 { // another network
				at = at.Next()
			}
			if err := l.Pass(mailauth.Client{Address: at, From: address(alice)})(b.Context(), address(ann)); err == nil {
				b.Fatal("a stranger is known")
			}
		}
	})
}
