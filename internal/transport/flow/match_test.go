package flow

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
)

func parse(t testing.TB, s string) message.Address {
	t.Helper()
	if s == "" {
		return message.Address{}
	}
	a, err := message.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// rules reads "action sender recipient, …"; a rule is called by its action and place.
func rules(t testing.TB, d Direction, text string) *Set {
	t.Helper()
	var all []Rule
	for i, line := range strings.Split(text, ", ") {
		f := strings.Fields(line)
		r := Rule{Direction: d, Name: fmt.Sprint(f[0], i), Action: Action(f[0]), Senders: strings.Split(f[1], "|"), Recipients: strings.Split(f[2], "|")}
		if r.Action == RouteToSMTP {
			r.Gateway = "g"
		}
		r, err := r.check()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return NewSet(d, all)
}

func TestWhichRuleActs(t *testing.T) {
	for _, c := range []struct {
		rules        string
		sender, from string
		to           string
		want         string
	}{
		{"DROP a@x.example *", "", "a@x.example", "r@y.example", "DROP0"},
		{"DROP a@x.example *", "", "A@X.EXAMPLE", "r@y.example", "DROP0"},
		{"DROP a@x.example *", "", "b@x.example", "r@y.example", ""},
		{"DROP a@x.example *", "", "a+tag@x.example", "r@y.example", "DROP0"},
		{"DROP * r@y.example", "", "a@x.example", "r+tag@y.example", "DROP0"},
		{"DROP x.example *", "", "a@x.example", "r@y.example", "DROP0"},
		{"DROP x.example *", "", "a@sub.x.example", "r@y.example", ""},
		{"DROP *.x.example *", "", "a@x.example", "r@y.example", "DROP0"},
		{"DROP *.x.example *", "", "a@deep.sub.x.example", "r@y.example", "DROP0"},
		{"DROP *.x.example *", "", "a@notx.example", "r@y.example", ""},
		{"DROP *.bücher.example *", "", "a@mail.xn--bcher-kva.example", "r@y.example", "DROP0"},
		{"DROP * *", "", "", "r@y.example", "DROP0"},
		{"DROP *.example *", "", "", "r@y.example", ""},
		{"DROP * *", "", "a@[192.0.2.1]", "r@[192.0.2.1]", "DROP0"},
		// The most specific, whatever it does.
		{"DROP * *, DEFAULT a@x.example *", "", "a@x.example", "r@y.example", "DEFAULT1"},
		{"DROP x.example *, DEFAULT a@x.example *", "", "a@x.example", "r@y.example", "DEFAULT1"},
		{"DROP *.x.example *, BOUNCE x.example *", "", "a@x.example", "r@y.example", "BOUNCE1"},
		{"DROP *.example *, BOUNCE *.x.example *", "", "a@x.example", "r@y.example", "BOUNCE1"},
		{"DROP * *.example, DEFAULT * y.example", "", "a@x.example", "r@y.example", "DEFAULT1"},
		{"DROP *|a@x.example *, DEFAULT x.example *", "", "a@x.example", "r@y.example", "DROP0"},
		{"DROP * y.example, DEFAULT x.example y.example", "", "a@x.example", "r@y.example", "DEFAULT1"},
		// As specific, or more on one side and less on the other: the most restrictive.
		{"DEFAULT x.example *, BYPASS_SPAM_CHECK x.example *", "", "a@x.example", "r@y.example", "DEFAULT0"},
		{"DEFAULT a@x.example *, MOVE_TO_JUNK a@x.example *, BOUNCE a@x.example *", "", "a@x.example", "r@y.example", "BOUNCE2"},
		{"DROP a@x.example *, DEFAULT x.example r@y.example", "", "a@x.example", "r@y.example", "DROP0"},
		{"DEFAULT a@x.example *, DROP x.example r@y.example", "", "a@x.example", "r@y.example", "DROP1"},
		{"DROP * *, DEFAULT a@x.example *, BOUNCE * r@y.example", "", "a@x.example", "r@y.example", "BOUNCE2"},
		{"DROP x.example *.example, DEFAULT a@x.example y.example, BOUNCE * r@y.example", "", "a@x.example", "r@y.example", "BOUNCE2"},
		{"DROP x.example *, DROP x.example *", "", "a@x.example", "r@y.example", "DROP0"},
		// Sender before From.
		{"DROP a@x.example *, BOUNCE s@x.example *", "s@x.example", "a@x.example", "r@y.example", "BOUNCE1"},
		{"DROP a@x.example *", "s@z.example", "a@x.example", "r@y.example", "DROP0"},
		{"DROP a@x.example *, DEFAULT * *", "s@z.example", "a@x.example", "r@y.example", "DEFAULT1"},
		{"DROP a@x.example *, DEFAULT s@z.example other.example", "s@z.example", "a@x.example", "r@y.example", "DROP0"},
	} {
		from := Author{}
		if c.from != "" {
			from.From = []message.Address{parse(t, c.from)}
			if strings.Contains(c.from, "[") {
				from.From = []message.Address{{Local: "a", Domain: "[192.0.2.1]"}}
			}
		}
		if c.sender != "" {
			from.Sender = []message.Address{parse(t, c.sender)}
		}
		to := message.Address{Local: "r", Domain: "[192.0.2.1]"}
		if !strings.Contains(c.to, "[") {
			to = parse(t, c.to)
		}
		got := ""
		if r := rules(t, Inbound, c.rules).For(from).Rule(to); r != nil {
			got = r.Name
		}
		if got != c.want {
			t.Errorf("%s for %s (%s) to %s: %q, want %q", c.rules, c.from, c.sender, c.to, got, c.want)
		}
	}
	out := rules(t, Outbound, "ROUTE_TO_SMTP_GATEWAY * *, DEFAULT * *, BOUNCE * *, DROP * *")
	for i, want := range []string{"DROP3", "BOUNCE2", "DEFAULT1", "ROUTE_TO_SMTP_GATEWAY0"} {
		set := NewSet(Outbound, out.rules[:len(out.rules)-i])
		if got := set.For(Author{}).Rule(parse(t, "a@b.example")); got.Name != want {
			t.Errorf("outbound: %s, want %s", got.Name, want)
		}
	}
}

func TestAuthorOf(t *testing.T) {
	a := AuthorOf([]byte("Received: x\r\nFROM: A <a@x.example>, team: b@x.example;\r\nfrom: c@y.example\r\nSender: s@x.example\r\n\r\nFrom: body@x.example\r\n"))
	if got := fmt.Sprint(a.Sender, a.From); got != "[s@x.example] [a@x.example b@x.example c@y.example]" {
		t.Error(got)
	}
	many := AuthorOf([]byte("From: " + strings.Repeat("a@x.example, ", 99) + "b@x.example, c@x.example\r\n\r\n")).From
	if len(many) != 100 || many[99].Local != "b" {
		t.Errorf("of many authors %d are looked at", len(many))
	}
	if a := AuthorOf([]byte("From: nobody\r\n\r\n")); len(a.From) > 0 {
		t.Error(a)
	}
}

// TestHugeAddressesMatchCheaply: who writes a domain of very many labels into From doesn't make us try a pattern for each.
func TestHugeAddressesMatchCheaply(t *testing.T) {
	for _, c := range []struct {
		name string
		a    message.Address
		want string
	}{
		{"labels", message.Address{Local: "a", Domain: strings.Repeat("a.", 100_000) + "x.example"}, "[*]"},
		{"a domain that is just too long", message.Address{Local: "a", Domain: strings.Repeat("a", 254) + ".b"}, "[*]"},
		{"long in Unicode only", message.Address{Local: "a", Domain: strings.Repeat(strings.Repeat("在", 21)+".", 5) + "x.example"}, "*.x.example *.example *]"},
		{"a local part", message.Address{Local: strings.Repeat("a", 300), Domain: "x.example"}, "[x.example *.x.example *.example *]"},
		{"a tag", message.Address{Local: "a+" + strings.Repeat("a", 300), Domain: "x.example"}, "[a@x.example x.example *.x.example *.example *]"},
	} {
		var got []string
		patternsFor(c.a, func(p string, _ int) { got = append(got, p) })
		if len(got) > 100 || !strings.HasSuffix(fmt.Sprint(got), c.want) {
			t.Errorf("%s: %d patterns, %.200q", c.name, len(got), got[max(0, len(got)-5):])
		}
	}
	header := []byte("From: a@x.example\r\nX: " + strings.Repeat("x", message.MaxHeader) + "\r\nSender: s@x.example\r\n\r\n")
	if a := AuthorOf(header); len(a.From) != 1 || len(a.Sender) != 0 {
		t.Errorf("read beyond what is read of a header: %v", a)
	}
}

// matches is how a pattern matches, in the words of the documentation.
func matches(pattern string, a message.Address) bool {
	local, domain := strings.ToLower(a.Local), strings.ToLower(a.Domain)
	rest, sub := strings.CutPrefix(pattern, "*.")
	switch {
	case pattern == "*":
		return true
	case strings.Contains(pattern, "@"):
		return pattern == local+"@"+domain
	case sub:
		return domain == rest || strings.HasSuffix(domain, "."+rest)
	}
	return pattern == domain
}

// narrower reports whether a pattern is more specific than another that matches the same address.
func narrower(a, b string) bool {
	class := func(p string) int {
		switch {
		case p == "*":
			return 0
		case strings.Contains(p, "@"):
			return 3
		case strings.HasPrefix(p, "*."):
			return 1
		}
		return 2
	}
	if class(a) != class(b) {
		return class(a) > class(b)
	}
	return class(a) == 1 && len(a) > len(b)
}

// narrowest is the most specific of patterns that match.
func narrowest(patterns []string, a message.Address) (best string) {
	for _, p := range patterns {
		if matches(p, a) && (best == "" || narrower(p, best)) {
			best = p
		}
	}
	return best
}

// TestMatchingIsTheDefinition holds the index against the definition, rule by rule and pattern by pattern.
func TestMatchingIsTheDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	patterns := []string{"*", "a@x.example", "b@x.example", "a@s.x.example", "x.example", "s.x.example", "y.example", "*.x.example", "*.s.x.example", "*.example", "*.y.example"}
	people := []string{"a@x.example", "b@x.example", "a@s.x.example", "b@d.s.x.example", "a@y.example", "z@other.test", "A@X.example"}
	for range 3000 {
		var all []Rule
		for i := range random.IntN(8) {
			r := Rule{Name: fmt.Sprint("r", i), Action: Inbound.actions()[random.IntN(5)]}
			for range 1 + random.IntN(3) {
				r.Senders, r.Recipients = append(r.Senders, pick(patterns)), append(r.Recipients, pick(patterns))
			}
			all = append(all, r)
		}
		from, to := parse(t, pick(people)), parse(t, pick(people))
		var want *Rule
		var found []*Rule
		for i := range all {
			if r := &all[i]; narrowest(r.Senders, from) != "" && narrowest(r.Recipients, to) != "" {
				found = append(found, r)
			}
		}
		for _, r := range found {
			beaten := slices.ContainsFunc(found, func(o *Rule) bool {
				rs, os, rr, or := narrowest(r.Senders, from), narrowest(o.Senders, from), narrowest(r.Recipients, to), narrowest(o.Recipients, to)
				return !narrower(rs, os) && !narrower(rr, or) && (narrower(os, rs) || narrower(or, rr))
			})
			order := func(r *Rule) string {
				return fmt.Sprint(slices.Index(Inbound.actions(), r.Action), r.Name)
			}
			if !beaten && (want == nil || order(r) < order(want)) {
				want = r
			}
		}
		got := NewSet(Inbound, all).For(Author{From: []message.Address{from}}).Rule(to)
		if got != want {
			t.Fatalf("%v from %s to %s: %v, want %v", all, from, to, got, want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for p, want := range map[string]string{
		"*": "*", "A@X.Example": "a@x.example", "X.Example.": "x.example", "*.X.example": "*.x.example", "bücher.example": "xn--bcher-kva.example",
		"Jürgen@x.example": "jürgen@x.example", "localhost": "localhost", "_x.example": "_x.example",
		"": "", "a+b@x.example": "", "@x.example": "", "a@": "", "a@b@c": "", "*@x.example": "", "x*.example": "", "*.": "", "**": "", ".x": "", "x..y": "", "a b.example": "",
		"a@*.x.example": "", "a@[192.0.2.1]": "", "*.a@x.example": "", `"a b"@x.example`: "", "a@x.example\n": "", strings.Repeat("a", 600): "",
	} {
		got, err := foldPattern(p)
		if got != want || (err == nil) != (want != "") || err != nil && !fault.Is(err, fault.Invalid, fault.Resource) {
			t.Errorf("%q is %q (%v), want %q", p, got, err, want)
		}
	}
}

func FuzzPatterns(f *testing.F) {
	f.Add("*.x.example", "a@s.x.example")
	f.Fuzz(func(t *testing.T, pattern, address string) {
		folded, err := foldPattern(pattern)
		if err != nil {
			return
		}
		if again, err := foldPattern(folded); err != nil || again != folded || strings.ContainsAny(folded, "\n ") {
			t.Fatalf("%q folds to %q, that to %q (%v)", pattern, folded, again, err)
		}
		a, err := message.ParseAddress(address)
		if err != nil {
			return
		}
		set := NewSet(Inbound, []Rule{{Action: Drop, Senders: []string{"*"}, Recipients: []string{folded}}})
		if got := set.For(Author{}).Rule(a) != nil; got && !strings.Contains(folded, "@") && folded != "*" && a.Domain == "" {
			t.Fatalf("%q matches %q", folded, address)
		}
	})
}

// BenchmarkRule is a message to 500 recipients in an organisation with as many patterns as it can have.
func BenchmarkRule(b *testing.B) {
	var all []Rule
	for i := range 1000 {
		all = append(all, Rule{Name: fmt.Sprint(i), Action: Drop, Senders: []string{fmt.Sprintf("d%d.example", i)}, Recipients: []string{"*"}})
	}
	set := NewSet(Inbound, all)
	from := Author{From: []message.Address{{Local: "a", Domain: "d500.example"}}}
	to := message.Address{Local: "r", Domain: "y.example"}
	for b.Loop() {
		m := set.For(from)
		for range 500 {
			if m.Rule(to) == nil {
				b.Fatal("none")
			}
		}
	}
}
