package directory

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pennypost/pennypost/internal/fault"
)

func TestHash(t *testing.T) {
	h := NewHasher(HashCost{MemoryKiB: 1, Passes: 1}) // below the floor
	secret := must(h.Hash(t.Context(), "examplePa$$w0rd"))(t)
	if !strings.HasPrefix(secret, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the floor was not kept: %s", secret)
	}
	for password, want := range map[string]bool{"examplePa$$w0rd": true, "examplePa$$w0re": false, "": false} {
		ok, old, err := h.Verify(t.Context(), secret, password)
		if ok != want || old || err != nil {
			t.Errorf("%q: %t %t %v", password, ok, old, err)
		}
	}
	dearer := NewHasher(HashCost{Passes: 3})
	if ok, old, err := dearer.Verify(t.Context(), secret, "examplePa$$w0rd"); !ok || !old || err != nil {
		t.Errorf("at another cost: %t %t %v", ok, old, err)
	}
	if dearer.dummy.cost != dearer.cost {
		t.Errorf("a name that nobody has costs %+v, others %+v", dearer.dummy.cost, dearer.cost)
	}
	if err := h.Waste(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	// What settings make of the numbers of tests is the floor: they name no lanes.
	if cost := NewHasher(HashCost{MemoryKiB: TestHashCost.MemoryKiB, Passes: TestHashCost.Passes}).cost; cost != DefaultHashCost {
		t.Errorf("the floor was not kept: %+v", cost)
	}
}

func TestParsePHC(t *testing.T) {
	const good = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	p, err := parsePHC(good)
	if err != nil || p.String() != good {
		t.Fatalf("%v, %v", p, err)
	}
	for what, bad := range map[string]string{
		"another algorithm": strings.Replace(good, "argon2id", "argon2i", 1),
		"another version":   strings.Replace(good, "v=19", "v=16", 1),
		"all memory":        strings.Replace(good, "m=19456", "m=4294967295", 1),
		"no passes":         strings.Replace(good, "t=2", "t=0", 1),
		"many passes":       strings.Replace(good, "t=2", "t=65", 1),
		"many lanes":        strings.Replace(good, "p=1", "p=256", 1),
		"other order":       strings.Replace(good, "m=19456,t=2", "t=2,m=19456", 1),
		"a short hash":      good[:len(good)-4],
		"no salt":           strings.Replace(good, "AAAAAAAAAAAAAAAAAAAAAA$", "$", 1),
		"more":              good + "$x",
		"nothing":           "",
	} {
		if _, err := parsePHC(bad); err == nil {
			t.Errorf("%s passes", what)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=1,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePHC(s)
		if err != nil {
			return
		}
		again, err := parsePHC(p.String())
		if err != nil || again.String() != p.String() || p.cost.MemoryKiB > maxMemoryKiB || p.cost.Passes > maxPasses {
			t.Fatalf("%q is %s, and again %s, %v", s, p, again, err)
		}
	})
}

// TestHashQueue fills the queue with work that ends when the test lets it.
func TestHashQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(HashCost{})
		release := make(chan struct{})
		results := make(chan error, runningHashes+waitingHashes)
		running, most := make(chan int, 1), 0
		running <- 0
		for range runningHashes + waitingHashes {
			go func() {
				results <- h.run(t.Context(), func() {
					n := <-running + 1
					most = max(most, n)
					running <- n
					<-release
					running <- <-running - 1
				})
			}()
		}
		synctest.Wait()
		if err := h.run(t.Context(), func() { t.Error("one too many ran") }); fault.KindOf(err) != fault.Temporary {
			t.Errorf("one too many got %v", err)
		}
		close(release)
		for range runningHashes + waitingHashes {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if most != runningHashes {
			t.Errorf("%d ran at once, want %d", most, runningHashes)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		h.running <- struct{}{}
		h.running <- struct{}{}
		if err := h.run(ctx, func() { t.Error("ran for a caller who left") }); err == nil {
			t.Error("a caller who left got no error")
		}
	})
}
