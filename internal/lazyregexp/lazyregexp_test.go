package lazyregexp

import "testing"

// TestRegexp uses one as regexp would be used, and sees that a bad one is quiet until somebody asks it.
func TestRegexp(t *testing.T) {
	r := New(`\A(a+)(b*)\z`)
	if !r.MatchString("aab") || r.MatchString("b") {
		t.Error("MatchString is wrong")
	}
	if m := r.FindStringSubmatch("aab"); len(m) != 3 || m[1] != "aa" {
		t.Errorf("FindStringSubmatch gives %q", m)
	}
	if m := r.FindStringSubmatchIndex("aab"); len(m) != 6 || m[3] != 2 {
		t.Errorf("FindStringSubmatchIndex gives %v", m)
	}
	if s := r.ReplaceAllString("aab", "$2$1"); s != "baa" {
		t.Errorf("ReplaceAllString gives %q", s)
	}
	bad := New(`(`)
	defer func() {
		if recover() == nil {
			t.Error("an expression that can't be compiled was used")
		}
	}()
	bad.MatchString("")
}
