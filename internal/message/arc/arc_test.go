package arc

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

const plain = "From: Ann <ann@example.com>\r\nTo: list@lists.example.net\r\nSubject: Lunch?\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n" +
	"Message-ID: <1@example.com>\r\n\r\nAt noon.\r\n"

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

var errNoName = errors.New("no such name")

var rsaPrivate = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// keyOf is the key of the i-th hop: RSA of the first, Ed25519 of the others.
func keyOf(i int) dkim.Key {
	k := dkim.Key{Domain: fmt.Sprintf("hop%d.example", i), Selector: "s"}
	if i == 1 {
		k.Private = rsaPrivate()
	} else {
		k.Private = ed25519.NewKeyFromSeed(slices.Repeat([]byte{byte(i)}, ed25519.SeedSize))
	}
	return k
}

// verifier finds the keys of all hops but those in missing; the error of those in silent is no certain absence.
func verifier(missing, silent string) *dkim.Verifier {
	return &dkim.Verifier{
		Resolver: dkim.Resolver{
			TXT: func(_ context.Context, name string) ([]string, error) {
				var hop int
				_, err := fmt.Sscanf(name, "s._domainkey.hop%d.example", &hop)
				switch domain := strings.TrimPrefix(name, "s._domainkey."); {
				case domain == silent:
					return nil, errors.New("nobody answers")
				case err != nil || domain == missing:
					return nil, errNoName
				}
				return []string{keyOf(hop).Record().String()}, nil
			},
			IsNotFound: func(err error) bool { return errors.Is(err, errNoName) },
		},
		Now: func() time.Time { return noon },
	}
}

// pass hands a message on by a hop that verifies and seals it.
func pass(t testing.TB, b string, hop int) string {
	t.Helper()
	return passChanged(t, b, b, hop)
}

// passChanged is pass by a hop that changes the message before it seals it.
func passChanged(t testing.TB, came, b string, hop int) string {
	t.Helper()
	chain := Verify(t.Context(), verifier("", ""), []byte(came))
	fields, err := Seal([]byte(b), keyOf(hop), SealOptions{Time: noon, Results: fmt.Sprintf("hop%d.example; spf=pass smtp.mailfrom=example.com", hop), Chain: chain})
	if err != nil {
		t.Fatal(err)
	}
	return string(fields) + b
}

// resultsOf are the results of the first set in a message.
func resultsOf(b string) string { return dkim.Read([]byte(b)).Fields(names[results])[0].Value() }

func TestChain(t *testing.T) {
	v := verifier("", "")
	if c := Verify(t.Context(), v, []byte(plain)); c.Result != dkim.None || c.Instance != 0 {
		t.Errorf("no chain: %+v", c)
	}
	b := plain
	for hop := 1; hop <= 4; hop++ {
		changed := "Received: from x\r\n" + b
		if hop == 3 { // a mailing list
			changed = strings.Replace(changed, "Subject: ", "List-Id: <l>\r\nSubject: [l] ", 1)
		}
		b = passChanged(t, b, changed, hop)
		c := Verify(t.Context(), v, []byte(b))
		if c.Result != dkim.Pass || c.Reason != "" || c.Instance != hop || len(c.Domains) != hop || c.Domains[0] != "hop1.example" ||
			resultsOf(b) != fmt.Sprintf("i=%d; hop%d.example; spf=pass smtp.mailfrom=example.com", hop, hop) {
			t.Errorf("hop %d: %+v\n%s", hop, c, b)
		}
	}
	for line := range strings.SplitSeq(b, "\r\n") {
		if len(line) >= 78 {
			t.Errorf("a line of %d bytes: %s", len(line), line)
		}
	}
}

// TestBrokenChains holds what RFC 8617 section 5.2 calls a chain that failed, and what becomes of its next seal.
func TestBrokenChains(t *testing.T) {
	two := pass(t, pass(t, plain, 1), 2)
	fields := func(name, b string) (whole string) {
		m := dkim.Read([]byte(b))
		return string(m.Whole(m.Fields(name)[0]))
	}
	for _, c := range []struct {
		name    string
		b       string
		missing string
		silent  string
		want    string
		sealed  bool
	}{
		{"changed since", strings.Replace(two, "noon", "one", 1), "", "", "fail: message signature 2: the body was changed", true},
		{"changed results", strings.Replace(two, "i=1; hop1.example; spf=pass", "i=1; hop1.example; spf=fail", 1), "", "", "fail: seal 2: the signature does not verify", true},
		{"no key", two, "hop1.example", "", "fail: seal 1: no key", true},
		{"no key of the last", two, "hop2.example", "", "fail: message signature 2: no key", true},
		{"silence", two, "", "hop1.example", "temperror: the key could not be looked up", false},
		{"silence and a failure", strings.Replace(two, "noon", "one", 1), "", "hop1.example", "fail: message signature 2: the body was changed", true},
		{"a field less", strings.Replace(two, fields("arc-seal", two), "", 1), "", "", "fail: a set is not whole", true},
		{"a set less", strings.Replace(two, two[strings.Index(two, "ARC-Seal: i=1"):strings.Index(two, "From:")], "", 1), "", "", "fail: a set is not whole", true},
		{"a field twice", fields("arc-seal", two) + two, "", "", "fail: an instance is there twice", true},
		{"no instance", strings.Replace(two, "ARC-Seal: i=2;", "ARC-Seal:", 1), "", "", "fail: an instance is no number from 1 to 50", false},
		{"instance 0", strings.Replace(two, "i=2", "i=0", 1), "", "", "fail: an instance is no number from 1 to 50", false},
		{"instance 51", strings.Replace(two, "i=2", "i=51", 1), "", "", "fail: an instance is no number from 1 to 50", false},
		{"an instance with a sign", strings.Replace(two, "i=2", "i=+2", 1), "", "", "fail: an instance is no number from 1 to 50", false},
		{"results without instance", strings.Replace(two, "Results: i=2;", "Results:", 1), "", "", "fail: an instance is no number from 1 to 50", false},
		{"long results", strings.Replace(two, "Results: i=2;", "Results: i=2;"+strings.Repeat(" ", maxResults), 1), "", "", "fail: a field is too long", false},
		{"cv=none of the second", strings.Replace(two, "cv=pass", "cv=none", 1), "", "", "fail: cv= is not what its instance asks for", true},
		{"cv=pass of the first", strings.Replace(two, "cv=none", "cv=pass", 1), "", "", "fail: cv= is not what its instance asks for", true},
		{"cv=fail in between", strings.Replace(two, "cv=none", "cv=fail", 1), "", "", "fail: a seal says that the chain failed", true},
		{"cv=fail at the end", strings.Replace(two, "cv=pass", "cv=fail", 1), "", "", "fail: the last seal says that the chain failed", false},
		{"cv=fail at the end, and a field less", strings.Replace(strings.Replace(two, "cv=pass", "cv=fail", 1), fields("arc-message-signature", two), "", 1), "", "", "fail: a set is not whole", false},
		{"h= in a seal", strings.Replace(two, "cv=pass", "h=from; cv=pass", 1), "", "", "fail: a seal has h=", true},
		{"a seal signed by the message signature", strings.Replace(two, "h=from", "h=arc-seal:from", 1), "", "", "fail: message signature 2: ARC-Seal is signed", true},
		{"tags that are none", strings.Replace(two, "cv=pass", "cv=pass; cv=pass", 1), "", "", "fail: an instance is no number from 1 to 50", false},
	} {
		chain := Verify(t.Context(), verifier(c.missing, c.silent), []byte(c.b))
		if got := string(chain.Result) + ": " + chain.Reason; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		sealed, err := Seal([]byte(c.b), keyOf(3), SealOptions{Time: noon, Results: "hop3.example; arc=fail", Chain: chain})
		if err != nil || (len(sealed) > 0) != c.sealed {
			t.Errorf("%s: sealed as %s, %v", c.name, sealed, err)
		}
		if !c.sealed {
			continue
		}
		// The seal of a broken chain signs its own set as if it were the only one (section 5.1.2), and ends the chain.
		alone := strings.NewReplacer("i=3", "i=1", "cv=fail", "cv=none").Replace(string(sealed))
		if !strings.Contains(string(sealed), "cv=fail") || strings.Count(alone, "i=1") != 3 {
			t.Errorf("%s: sealed as %s", c.name, sealed)
		}
		m := dkim.Read(sealed)
		seal := m.Claim(m.Fields("arc-seal")[0], dkim.ARCSeal, noon)
		digests := m.SealDigests([3]message.Field{m.Fields("arc-authentication-results")[0], m.Fields("arc-message-signature")[0], m.Fields("arc-seal")[0]})
		if s := m.CheckSeal(seal, verifier("", "").LookUp(t.Context(), seal.KeyName()), digests[0]); s.Result != dkim.Pass {
			t.Errorf("%s: its seal %+v", c.name, s)
		}
		if next := Verify(t.Context(), verifier("", ""), append(sealed, c.b...)); next.Result != dkim.Fail || !next.Ended {
			t.Errorf("%s: next %+v", c.name, next)
		}
	}
}

func TestLongChain(t *testing.T) {
	b := plain
	known := Chain{Result: dkim.None}
	for hop := 1; hop <= MaxSets; hop++ {
		fields, err := Seal([]byte(b), keyOf(hop), SealOptions{Time: noon, Results: "a; none", Chain: known})
		if err != nil {
			t.Fatal(err)
		}
		b, known = string(fields)+b, Chain{Result: dkim.Pass, Instance: hop}
	}
	c := Verify(t.Context(), verifier("", ""), []byte(b))
	if c.Result != dkim.Pass || c.Instance != MaxSets {
		t.Errorf("%+v", c)
	}
	if again := pass(t, b, MaxSets+1); again != b {
		t.Error("a chain of the greatest length was sealed")
	}
}

// TestNamesThatASenderChose: a forged chain of 50 sets gets as many names looked up as seals in front of them hold, and one more.
func TestNamesThatASenderChose(t *testing.T) {
	two := pass(t, pass(t, plain, 1), 2)
	var forged strings.Builder
	for i := 1; i <= 50; i++ {
		validation := "pass"
		if i == 1 {
			validation = "none"
		}
		fmt.Fprintf(&forged, "ARC-Authentication-Results: i=%d; x\r\nARC-Message-Signature: i=%d; a=rsa-sha256; d=m%d.example; s=s; h=from; bh=eA==; b=eA==\r\n"+
			"ARC-Seal: i=%d; a=rsa-sha256; d=s%d.example; s=s; cv=%s; b=eA==\r\n", i, i, i, i, i, validation)
	}
	for name, c := range map[string]struct {
		b    string
		want []string
	}{
		"whole":                {two, []string{"hop2.example", "hop1.example"}},
		"changed since":        {strings.Replace(two, "noon", "one", 1), []string{"hop2.example"}},
		"of names of others":   {forged.String() + plain, []string{"m50.example"}},
		"the last seal broken": {strings.Replace(two, "i=1; hop1.example; spf=pass", "i=1; hop1.example; spf=fail", 1), []string{"hop2.example"}},
	} {
		v := verifier("", "")
		txt := v.TXT
		var asked []string
		v.TXT = func(ctx context.Context, name string) ([]string, error) {
			asked = append(asked, strings.TrimPrefix(name, "s._domainkey."))
			return txt(ctx, name)
		}
		if Verify(t.Context(), v, []byte(c.b)); !slices.Equal(asked, c.want) {
			t.Errorf("%s: asked for %q, want %q", name, asked, c.want)
		}
	}
}

func TestSealOfAnotherMessage(t *testing.T) {
	for name, o := range map[string]SealOptions{
		"not verified":    {Time: noon},
		"another message": {Time: noon, Chain: Chain{Result: dkim.Pass, Instance: 1}},
	} {
		if sealed, err := Seal([]byte(plain), keyOf(1), o); err == nil {
			t.Errorf("%s: %s", name, sealed)
		}
	}
	if sealed, err := Seal([]byte(plain), dkim.Key{Private: rsaPrivate()}, SealOptions{Time: noon, Chain: Chain{Result: dkim.None}}); err == nil {
		t.Errorf("a key of no domain: %s", sealed)
	}
}

// TestResultsBreakNothing holds that results with line breaks add no field.
func TestResultsBreakNothing(t *testing.T) {
	sealed, err := Seal([]byte(plain), keyOf(1), SealOptions{Time: noon, Results: "a; x=\r\ny\r\n\r\nz " + strings.Repeat("w ", 100), Chain: Chain{Result: dkim.None}})
	if err != nil {
		t.Fatal(err)
	}
	c := Verify(t.Context(), verifier("", ""), append(sealed, plain...))
	if c.Result != dkim.Pass || !strings.HasPrefix(resultsOf(string(sealed)), "i=1; a; x= y z w w") {
		t.Errorf("%+v", c)
	}
}

// FuzzVerify verifies anything with keys that fit: it must not panic, nor pass what was not sealed.
func FuzzVerify(f *testing.F) {
	two := pass(f, pass(f, plain, 1), 2)
	f.Add([]byte(plain))
	f.Add([]byte(two))
	f.Add([]byte(strings.Replace(two, "noon", "one", 1)))
	f.Add([]byte("ARC-Seal: i=1; cv=fail\r\nARC-Authentication-Results: i=1;\nARC-Message-Signature:i=1;h=from"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := Verify(context.Background(), verifier("", ""), b)
		if c.Result == "" || (c.Result == dkim.Fail || c.Result == dkim.TempError) != (c.Reason != "") || strings.ContainsAny(strings.Join(c.Domains, ""), "\r\n\x00") {
			t.Errorf("%+v", c)
		}
		sealed, err := Seal(b, keyOf(3), SealOptions{Time: noon, Results: "a; none", Chain: c})
		if err != nil && !errors.Is(err, dkim.ErrFields) {
			t.Fatal(err)
		}
		if len(sealed) == 0 || len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
			return
		}
		next := Verify(context.Background(), verifier("", ""), append(sealed, b...))
		if c.Result == dkim.Fail && !next.Ended || c.Result != dkim.Fail && next.Result != dkim.Pass {
			t.Errorf("%+v, sealed: %+v\n%q", c, next, b)
		}
	})
}
