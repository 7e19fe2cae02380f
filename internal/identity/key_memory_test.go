package identity

import (
	"fmt"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
)

func credential(id string) Credential {
	return Credential{AccessKey: AccessKey{ID: id}, Secret: "s-" + id}
}

func TestWhatWasReadBeforeARevocationIsNotRemembered(t *testing.T) {
	g := newGoodKeys(clock.NewFake(time.Unix(0, 0)))
	_, changes, ok := g.get("A")
	if ok {
		t.Fatal("an empty memory knew a key")
	}
	g.forget("A") // revoked after the row was read, before it is remembered
	g.add(credential("A"), changes)
	_, changes, ok = g.get("A")
	if ok {
		t.Fatal("a key read before its revocation was remembered after it")
	}
	g.add(credential("A"), changes)
	if c, _, ok := g.get("A"); !ok || c != credential("A") {
		t.Fatalf("get = %+v, %v; want the key that was added", c, ok)
	}
	g.forget("A")
	if _, _, ok := g.get("A"); ok {
		t.Error("a revoked key was still remembered")
	}
}

func TestAKeyIsReadAgainAfterAMinute(t *testing.T) {
	c := clock.NewFake(time.Unix(0, 0))
	g := newGoodKeys(c)
	g.add(credential("A"), 0)
	c.Advance(rememberKey - 1)
	if _, _, ok := g.get("A"); !ok {
		t.Error("a key was forgotten too early")
	}
	c.Advance(1)
	if _, _, ok := g.get("A"); ok {
		t.Error("a key was believed for longer than a minute")
	}
}

func TestRememberedKeysAreBounded(t *testing.T) {
	g := newGoodKeys(clock.NewFake(time.Unix(0, 0)))
	for i := range 2 * rememberedKeys {
		g.add(credential(fmt.Sprint(i)), 0)
	}
	if len(g.keys) != rememberedKeys {
		t.Errorf("%d keys are remembered, want %d", len(g.keys), rememberedKeys)
	}
	if _, _, ok := g.get(fmt.Sprint(2*rememberedKeys - 1)); !ok {
		t.Error("the last key was not remembered")
	}
}
