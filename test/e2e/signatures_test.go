package e2e

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/internal/message/arc"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/test/harness"
)

// TestSignaturesElsewhere holds that dkimpy and mailauth verify what we sign and seal, and that we verify what they sign and seal.
func TestSignaturesElsewhere(t *testing.T) {
	t.Parallel()
	rsaKey, edKey, names := signingKeys(t)
	der, err := x509.MarshalPKCS8PrivateKey(edKey.Private)
	if err != nil {
		t.Fatal(err)
	}
	rsaPEM := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey.Private.(*rsa.PrivateKey))}))
	edPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	names.Add(`example.com. 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"`, `_dmarc.example.com. 60 IN TXT "v=DMARC1; p=reject"`)
	v := &dkim.Verifier{
		Resolver: dkim.Resolver{TXT: dns.New(names.Address).LookupTXT, IsNotFound: func(err error) bool { return errors.Is(err, dns.ErrNotFound) }},
		Now:      time.Now,
	}
	now := time.Now()
	seal := func(b []byte, hop int) []byte {
		t.Helper()
		fields, err := arc.Seal(b, rsaKey, arc.SealOptions{Time: now, Results: fmt.Sprintf("mx%d.example.com; spf=pass smtp.mailfrom=example.com", hop), Chain: arc.Verify(t.Context(), v, b)})
		if err != nil {
			t.Fatal(err)
		}
		return append(fields, b...)
	}

	for _, judge := range harness.Judges() {
		t.Run(judge, func(t *testing.T) {
			type question struct {
				name string
				harness.Case
			}
			var questions []question
			ask := func(name string, c harness.Case) { questions = append(questions, question{name, c}) }
			for name, text := range signedMessages() {
				b := []byte(text)
				fields, err := dkim.Sign(b, dkim.SignOptions{Time: now, Lifetime: time.Hour}, rsaKey, edKey)
				if err != nil {
					t.Fatal(err)
				}
				signed := append(fields, b...)
				ask(name+", signed", harness.Case{Do: "verify", Message: signed, Address: "192.0.2.1", Hello: "mx.example.com", Sender: "ann@example.com"})
				ask(name+", changed", harness.Case{Do: "verify", Message: append(bytes.Clone(signed), "more\r\n"...)})
				ask(name+", sealed twice", harness.Case{Do: "verify", Message: seal(seal(signed, 1), 2)})
				ask(name+", sealed and broken", harness.Case{Do: "verify", Message: append(seal(signed, 1), "more\r\n"...)})
				for _, c := range []string{"simple/simple", "relaxed/simple", "simple/relaxed", "relaxed/relaxed"} {
					ask(name+", to be signed by RSA", harness.Case{Do: "sign", Message: b, Domain: "example.com", Selector: "r", Algorithm: "rsa-sha256", Key: rsaPEM, Canonicalization: c})
					ask(name+", to be signed by Ed25519", harness.Case{Do: "sign", Message: b, Domain: "example.com", Selector: "e", Algorithm: "ed25519-sha256", Key: edPEM, Canonicalization: c})
				}
				sealing := harness.Case{Do: "seal", Domain: "example.com", Selector: "r", Algorithm: "rsa-sha256", Key: rsaPEM, Results: "mx.example.net; spf=pass smtp.mailfrom=example.com"}
				sealing.Message, sealing.Validation = signed, "none"
				ask(name+", to be sealed", sealing)
				sealing.Message, sealing.Validation = seal(signed, 1), "pass"
				ask(name+", to be sealed again", sealing)
			}
			cases := make([]harness.Case, len(questions))
			for i, q := range questions {
				cases[i] = q.Case
			}
			for i, j := range harness.Judge(t, judge, names.Address, cases...) {
				q := questions[i]
				if q.Do != "verify" {
					got := v.Verify(t.Context(), j.Message)
					chain := arc.Verify(t.Context(), v, j.Message)
					if len(got) == 0 || got[0].Result != dkim.Pass || q.Do == "seal" && chain.Result != dkim.Pass {
						t.Errorf("%s, %s: %+v, %+v\n%.3000s", q.name, q.Canonicalization, got, chain, j.Message)
					}
					continue
				}
				dkimWant, arcWant := "pass", "none"
				switch {
				case strings.HasSuffix(q.name, "changed"):
					dkimWant = "fail"
				case strings.HasSuffix(q.name, "twice"):
					arcWant = "pass"
				case strings.HasSuffix(q.name, "broken"):
					dkimWant, arcWant = "fail", "fail"
				}
				if len(j.DKIM) != 2 || !judged(dkimWant, j.DKIM[0]) || !judged(dkimWant, j.DKIM[1]) || j.ARC.Result != arcWant {
					t.Errorf("%s: %+v\n%.3000s", q.name, j, q.Message)
				}
				if q.Address != "" && (j.SPF.Result != "pass" || judge == "mailauth" && j.DMARC.Result != "pass") {
					t.Errorf("%s: SPF %+v, DMARC %+v", q.name, j.SPF, j.DMARC)
				}
			}
		})
	}
}

// signedMessages are messages of many shapes, by name.
func signedMessages() map[string]string {
	return map[string]string{
		"plain":        "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: Lunch?\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\nAt noon.\r\n",
		"white space":  "From:  Ann\t<ann@example.com> \r\nSubject: a\r\n  b \r\n\t c\r\nTO:bob@example.net\r\nList-Id: <x>\r\n\r\n  A  line\t \r\n\r\n \t\r\nand more\r\n\r\n \r\n\r\n",
		"no body":      "From: ann@example.com\r\nSubject: nothing\r\n\r\n",
		"8 bit":        "From: \xc3\x84nn <ann@example.com>\r\nSubject: Gr\xc3\xbc\xc3\x9fe\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xe2\x82\xac \xff\r\n",
		"fields twice": "Received: from a\r\nReceived: from b\r\nFrom: ann@example.com\r\nTo: x@example.net\r\nTo: y@example.net\r\nReferences: <a@b>\r\n <c@d>\r\n\r\nx\r\n",
		"long":         "From: ann@example.com\r\n\r\n" + strings.Repeat("A line of a long text, with  spaces.\r\n", 2_000),
	}
}

// signingKeys are keys of example.com, and a DNS server that has their records.
func signingKeys(t *testing.T) (rsaKey, edKey dkim.Key, names *dnstest.Server) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, seed, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, edKey = dkim.Key{Domain: "example.com", Selector: "r", Private: private}, dkim.Key{Domain: "example.com", Selector: "e", Private: seed}
	names = dnstest.New(t)
	names.Add(keyRecord(rsaKey), keyRecord(edKey))
	return rsaKey, edKey, names
}

// keyRecord is the record of a key, and inStrings a record of text, in strings of a length that DNS has.
func keyRecord(k dkim.Key) string { return inStrings(k.Name(), k.Record().String()) }

func inStrings(name, text string) string {
	record := name + ". 60 IN TXT"
	for part := range slices.Chunk([]byte(text), 200) {
		record += ` "` + string(part) + `"`
	}
	return record
}

// TestOpenDKIMVerifies holds that OpenDKIM verifies what we sign, by both keys.
func TestOpenDKIMVerifies(t *testing.T) {
	t.Parallel()
	rsaKey, edKey, names := signingKeys(t)
	judge := harness.StartOpenDKIM(t, names.Address)
	for name, text := range signedMessages() {
		fields, err := dkim.Sign([]byte(text), dkim.SignOptions{Time: time.Now(), Lifetime: time.Hour}, rsaKey, edKey)
		if err != nil {
			t.Fatal(err)
		}
		c := harness.Case{Message: append(fields, text...), Address: "192.0.2.1", Hello: "mx.example.com", Sender: "ann@example.com"}
		for _, want := range []string{"pass", "fail"} {
			if want == "fail" {
				c.Message = append(c.Message, "more\r\n"...)
			}
			found, err := judge.Results(c)
			if err != nil || strings.Count(strings.Join(found, " "), "dkim="+want) != 2 {
				t.Errorf("%s, to %s: %v, %q", name, want, err, found)
			}
		}
	}
}

// judged reports whether an opinion is the wanted one. A changed body is fail to some and permerror to others.
func judged(want string, o harness.Opinion) bool {
	return o.Result == want || want == "fail" && (o.Result == "permerror" || o.Result == "neutral")
}
