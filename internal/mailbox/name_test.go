package mailbox

import (
	"strings"
	"testing"
	"unicode"
)

func FuzzSplitPath(f *testing.F) {
	for _, path := range []string{"INBOX", "inbox/x", "a/b/c", "Straße/Ärger", "A\u0308", "a//b", "/", "", "\x00", "\xff", "İ/ı/ﬀ", "한글/\u1112\u1161\u11ab", strings.Repeat("x/", 40)} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		names, err := splitPath(path)
		if err != nil {
			return
		}
		joined := strings.Join(names, Delimiter)
		if len(joined) > MaxPathLength || len(names) > MaxDepth {
			t.Errorf("%q became %q", path, joined)
		}
		again, err := splitPath(joined)
		if err != nil || strings.Join(again, Delimiter) != joined {
			t.Errorf("%q was accepted as %q, which became %q: %v", path, joined, again, err)
		}
		key := pathKey(names)
		if strings.IndexFunc(key, unicode.IsControl) >= 0 || strings.Count(key, Delimiter) != len(names)-1 {
			t.Errorf("%q has the key %q", joined, key)
		}
		if nameKey(key) != key {
			t.Errorf("the key %q of %q has another key %q", key, joined, nameKey(key))
		}
	})
}
