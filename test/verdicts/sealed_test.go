package verdicts

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/message/arc"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/test/harness"
)

// sealRows are what may become of a chain; n is how many sets it has.
var sealRows = []struct {
	name string
	edit func(n int, fields []string, body string) ([]string, string)
}{
	{"chain whole", func(_ int, f []string, b string) ([]string, string) { return f, b }},
	{"chain text added", func(_ int, f []string, b string) ([]string, string) { return f, b + "more\r\n" }},
	{"chain subject changed", func(_ int, f []string, b string) ([]string, string) { return edited(f, "Subject:", "Subject: Re:"), b }},
	{"chain traces added", func(_ int, f []string, b string) ([]string, string) {
		return append([]string{"Received: from x by y; Thu, 26 Nov 2026 12:00:00 +0000\r\n"}, f...), b
	}},
	{"chain results changed", inSet("authentication-results", 1, `spf=pass`, `spf=fail`)},
	{"chain results removed", inSet("authentication-results", 1, `(?s).*`, ``)},
	{"chain seal removed", inSet("seal", 1, `(?s).*`, ``)},
	{"chain seal broken", inSet("seal", 1, `([; \t])b=.....`, `${1}b=AAAAA`)},
	{"chain first signature broken", inSet("message-signature", 1, `([; \t])b=.....`, `${1}b=AAAAA`)},
	{"chain last signature broken", inSet("message-signature", 0, `([; \t])b=.....`, `${1}b=AAAAA`)},
	{"chain seal twice", inSet("seal", 0, `(?s).*\n`, `$0$0`)},
	{"chain instance zero", inSet("seal", 1, `i=1;`, `i=0;`)},
	{"chain instance no number", inSet("message-signature", 1, `i=1;`, `i=one;`)},
	{"chain gap", func(n int, f []string, b string) ([]string, string) {
		f = slices.Clone(f)
		for i := range f {
			if strings.HasPrefix(strings.ToLower(f[i]), "arc-") {
				f[i] = strings.Replace(f[i], fmt.Sprintf("i=%d;", n), fmt.Sprintf("i=%d;", n+1), 1)
			}
		}
		return f, b
	}},
	{"chain cv pass at first", inSet("seal", 1, `cv=none`, `cv=pass`)},
	{"chain cv of neither", inSet("seal", 0, `cv=\w+`, `cv=maybe`)},
	{"chain ends as failed", inSet("seal", 0, `cv=\w+`, `cv=fail`)},
	{"chain seal with h", inSet("seal", 0, `; cv=`, `; h=from; cv=`)},
	{"chain turned round", func(_ int, f []string, b string) ([]string, string) {
		f = slices.Clone(f)
		sets := slices.IndexFunc(f, func(s string) bool { return !strings.HasPrefix(strings.ToLower(s), "arc-") })
		slices.Reverse(f[:sets])
		return f, b
	}},
	{"chain names in capitals", inSet("seal", 1, `(?i)^arc-seal`, `ARC-SEAL`)},
}

// sealKeys are what a sealer may publish as its key.
func sealKeys() []row {
	return slices.DeleteFunc(slices.Clone(keyRows), func(r row) bool {
		return !slices.Contains([]string{"key plain", "key alias", "key revoked", "key absent", "key fails", "key beside text"}, r.name)
	})
}

// inSet replaces what an expression matches in a field of a set; 0 is the last.
func inSet(name string, instance int, expr, by string) func(n int, f []string, b string) ([]string, string) {
	find := regexp.MustCompile(expr)
	return func(n int, f []string, b string) ([]string, string) {
		at := instance
		if at == 0 {
			at = n
		}
		field := regexp.MustCompile(fmt.Sprintf(`(?i)^arc-%s:\s*i=%d;`, name, at))
		f = slices.Clone(f)
		for i := range f {
			if field.MatchString(f[i]) {
				if at := find.FindStringSubmatchIndex(f[i]); at != nil {
					f[i] = f[i][:at[0]] + string(find.ExpandString(nil, by, f[i], at)) + f[i][at[1]:]
				}
			}
		}
		return f, b
	}
}

// sealedLetters are letters that others passed on and sealed, we or mailauth, in rounds: one for each hop.
func (p *post) sealedLetters(count int) []*letter {
	type way struct {
		*letter
		fields []string
		body   string
		hops   int
		seals  []*stamp // one for each hop
	}
	v := &dkim.Verifier{
		Resolver: dkim.Resolver{TXT: dns.New(p.names.Address).LookupTXT, IsNotFound: func(err error) bool { return errors.Is(err, dns.ErrNotFound) }},
		Now:      func() time.Time { return p.now },
	}
	var all []*way
	for i := range count {
		w := &way{letter: p.begin(), hops: 1 + p.rand.IntN(3)}
		p.publish(`@. "v=spf1 ip4:@4 ip6:@6 -all"`)
		w.fields, w.body = p.message("Ann <ann@" + p.domain + ">")
		if w.body == "no line break at the end" {
			w.body += "\r\n"
		}
		s := p.stampOf(p.domain, keyRows[0])
		w.signatures[s.s] = []string{"key plain", s.key}
		w.fields = append([]string{p.sign("DKIM-Signature", s, w.fields, w.body)}, w.fields...)
		w.sealed = true
		w.odd = []string{fmt.Sprintf("%d hops", w.hops), sealRows[i%len(sealRows)].name}
		all = append(all, w)
		for hop := range w.hops {
			key := keyRows[0]
			if i%len(sealRows) == 0 && hop == 0 {
				key = turn(sealKeys(), i/len(sealRows))
				w.odd = append(w.odd, "seal "+key.name)
			}
			w.seals = append(w.seals, p.stampOf(fmt.Sprintf("l%d.%s", hop, p.domain), key, "rsa1024", "rsa2048"))
		}
	}
	for hop := range 3 {
		var theirs []*way
		var cases []harness.Case
		for i, w := range all {
			if hop >= w.hops {
				continue
			}
			text := []byte(strings.Join(w.fields, "") + "\r\n" + w.body)
			chain := arc.Verify(p.t.Context(), v, text)
			seal := w.seals[hop]
			private := p.keys[seal.key]
			results := fmt.Sprintf("mx.%s; spf=pass smtp.mailfrom=%s; dkim=pass", seal.d, w.Sender)
			if (i+hop)%2 == 0 || hop == 2 {
				fields, err := arc.Seal(text, dkim.Key{Domain: seal.d, Selector: seal.s, Private: private}, arc.SealOptions{Time: p.now, Results: results, Chain: chain})
				if err != nil {
					p.t.Fatal(err)
				}
				w.fields = append(fieldsOf(string(fields)), w.fields...)
				continue
			}
			theirs = append(theirs, w)
			cases = append(cases, harness.Case{
				Do: "seal", Message: text, Domain: seal.d, Selector: seal.s, Algorithm: "rsa-sha256", Results: results, Validation: string(chain.Result),
				Key: string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private.(*rsa.PrivateKey))})),
			})
		}
		if cases == nil {
			continue
		}
		for i, j := range harness.Judge(p.t, "mailauth", p.names.Address, cases...) {
			header, _, _ := strings.Cut(string(j.Message), "\r\n\r\n")
			theirs[i].fields = fieldsOf(header + "\r\n")
		}
	}
	var letters []*letter
	for i, w := range all {
		row := sealRows[i%len(sealRows)]
		w.fields, w.body = row.edit(w.hops, w.fields, w.body)
		w.Message = []byte(strings.Join(w.fields, "") + "\r\n" + w.body)
		for selector := range w.signatures {
			w.signatures[selector] = append(w.signatures[selector], row.name)
		}
		letters = append(letters, w.letter)
	}
	return letters
}

var fieldStart = regexp.MustCompile(`(?m)^[^ \t\r\n]`)

// fieldsOf cuts a header into its fields.
func fieldsOf(header string) (fields []string) {
	starts := append(fieldStart.FindAllStringIndex(header, -1), []int{len(header)})
	for i, s := range starts[:len(starts)-1] {
		fields = append(fields, header[s[0]:starts[i+1][0]])
	}
	return fields
}
