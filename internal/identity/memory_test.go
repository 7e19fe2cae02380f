package identity

import (
	"fmt"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
)

func TestGuessLimitBlocksAndForgives(t *testing.T) {
	c := clock.NewFake(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
	g := newGuessLimit(3, time.Minute, c)
	for i := range 3 {
		if g.blocked("joe") {
			t.Fatalf("blocked after %d failures of 3", i)
		}
		g.failed("joe")
	}
	if !g.blocked("joe") || g.blocked("ann") {
		t.Error("three failures must block joe, and nobody else")
	}
	c.Advance(59 * time.Second)
	if !g.blocked("joe") {
		t.Error("forgiven before a token came back")
	}
	c.Advance(time.Second)
	if g.blocked("joe") {
		t.Error("still blocked when a token came back")
	}
	g.failed("joe")
	if !g.blocked("joe") {
		t.Error("the one token that came back allowed two failures")
	}
}

func TestGuessLimitHoldsBoundedMemory(t *testing.T) {
	g := newGuessLimit(3, time.Minute, clock.NewFake(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)))
	for i := range maxGuessKeys + 1000 {
		g.failed(fmt.Sprint(i))
	}
	if len(g.buckets) > maxGuessKeys {
		t.Errorf("%d buckets, want at most %d", len(g.buckets), maxGuessKeys)
	}
}

func TestGoodSecretIsGoodForOneVersionOnly(t *testing.T) {
	g := newGoodSecrets(2)
	g.add("m-1/joe", "swordfish", 7)
	if !g.has("m-1/joe", "swordfish", 7) {
		t.Fatal("a remembered password was not known")
	}
	if g.has("m-1/joe", "swordfish", 8) || g.has("m-1/joe", "Swordfish", 7) || g.has("m-1/ann", "swordfish", 7) || g.has("m-1/x", "", 0) {
		t.Error("another version, password or user was accepted")
	}
	g.forget("m-1/joe")
	if g.has("m-1/joe", "swordfish", 7) {
		t.Error("a forgotten password was accepted")
	}
	for i := range 10 {
		g.add(fmt.Sprint(i), "x", 1)
	}
	if len(g.entries) != 2 {
		t.Errorf("%d entries, want the bound of 2", len(g.entries))
	}
}
