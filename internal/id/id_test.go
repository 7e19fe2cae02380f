package id

import (
	"regexp"
	"testing"
)

func TestShapes(t *testing.T) {
	for name, c := range map[string]struct{ got, want string }{
		"UUID":         {UUID(), `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
		"entity":       {Entity(), `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
		"organization": {Organization(), `^m-[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`},
		"resource":     {Resource(), `^r-[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`},
		"directory":    {Directory(), `^d-[0-9a-f]{10}$`},
	} {
		if !regexp.MustCompile(c.want).MatchString(c.got) {
			t.Errorf("%s: %q does not match %s", name, c.got, c.want)
		}
	}
}

func TestKeysRiseAcrossGoroutines(t *testing.T) {
	const writers, each = 8, 2000
	out := make(chan []int64, writers)
	for range writers {
		go func() {
			keys := make([]int64, each)
			for i := range keys {
				keys[i] = Key()
			}
			out <- keys
		}()
	}
	seen := map[int64]bool{}
	for range writers {
		last := int64(0)
		for _, k := range <-out {
			if k <= last || seen[k] {
				t.Fatalf("key %d after %d, seen before: %v", k, last, seen[k])
			}
			last, seen[k] = k, true
		}
	}
}
