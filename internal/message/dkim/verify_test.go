package dkim

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

// The outcomes of signatures that are right, or nearly so, by the tags of the signature and the record of its key.
func TestOutcomes(t *testing.T) {
	rsaRecord, edRecord := rsaKey().Record().String(), edKey().Record().String()
	with := func(tag string) []string { return []string{strings.Replace(rsaRecord, "p=", tag+"; p=", 1)} }
	pkcs1 := "k=rsa; p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&rsaPrivate().PublicKey))
	const usual = "a=rsa-sha256; d=example.com; s=r1; h=from:to; "
	for _, c := range []struct {
		name, tags string
		records    []string // of r1; nil for the key's
		message    string   // "" for plain
		want       string
	}{
		{"plain", usual, nil, "", "pass"},
		{"Ed25519", "a=ed25519-sha256; d=example.com; s=e1; h=from; ", nil, "", "pass"},
		{"simple", usual + "c=simple; ", nil, "", "pass"},
		{"simple/relaxed", usual + "c=simple/relaxed; ", nil, "", "pass"},
		{"relaxed", usual + "c=Relaxed; ", nil, "", "pass"},
		{"an unknown canonicalisation", usual + "c=nofws; ", nil, "", "permerror: c= is unknown"},
		{"the query", usual + "q=dns/txt:x; ", nil, "", "pass"},
		{"an unknown query", usual + "q=http; ", nil, "", "permerror: q= is unknown"},
		{"an unknown tag", usual + "zz=1; ", nil, "", "pass"},
		{"a tag twice", usual + "d=example.com; ", nil, "", "permerror: a tag is there twice"},
		{"no domain", "a=rsa-sha256; s=r1; h=from; ", nil, "", "permerror: d= is no domain"},
		{"a wrong domain", "a=rsa-sha256; d=ex ample..com; s=r1; h=from; ", nil, "", "permerror: d= is no domain"},
		{"no selector", "a=rsa-sha256; d=example.com; h=from; ", nil, "", "permerror: s= is no selector"},
		{"no algorithm", "d=example.com; s=r1; h=from; ", nil, "", "permerror: there is no a="},
		{"SHA-1", "a=rsa-sha1; d=example.com; s=r1; h=from; ", nil, "", "permerror: rsa-sha1 is no longer believed"},
		{"an unknown algorithm", "a=dsa-sha256; d=example.com; s=r1; h=from; ", nil, "", "permerror: a= is unknown"},
		{"no list", "a=rsa-sha256; d=example.com; s=r1; ", nil, "", "permerror: there is no h="},
		{"From unsigned", "a=rsa-sha256; d=example.com; s=r1; h=to:subject; ", nil, "", "permerror: From is not signed"},
		{"upper case", "a=RSA-SHA256; d=EXAMPLE.com; s=R1; h=From : TO; ", nil, "", "pass"},

		{"i= the domain", usual + "i=ann@example.com; ", nil, "", "pass"},
		{"i= below", usual + "i=@mail.Example.com; ", nil, "", "pass"},
		{"i= elsewhere", usual + "i=@notexample.com; ", nil, "", "permerror: i= is not of d="},
		{"i= above", "a=rsa-sha256; d=example.com; s=r1; h=from; i=@com; ", nil, "", "permerror: i= is not of d="},
		{"i= no address", usual + "i=example.com; ", nil, "", "permerror: i= is no address"},
		{"i= below a strict key", usual + "i=@mail.example.com; ", with("t=s"), "", "permerror: the key is not for subdomains"},
		{"i= of a strict key", usual + "i=ann@example.com; ", with("t=y:s"), "", "pass"},

		{"times", usual + "t=1795694400; x=1795694401; ", nil, "", "pass"},
		{"expired within reason", usual + "x=1795694200; ", nil, "", "pass"},
		{"expired", usual + "x=1795694000; ", nil, "", "permerror: it has expired"},
		{"from the future within reason", usual + "t=1795694600; ", nil, "", "pass"},
		{"from the future", usual + "t=1795694800; ", nil, "", "permerror: it is from the future"},
		{"x= before t=", usual + "t=1795694400; x=1795694400; ", nil, "", "permerror: x= is not behind t="},
		{"no time", usual + "t=now; ", nil, "", "permerror: t= is no number"},

		{"l= all", usual + "l=17; ", nil, "", "pass"},
		{"l= less", usual + "l=11; ", nil, "", "policy: l= leaves text unsigned"},
		{"l= nothing", usual + "l=0; ", nil, "", "policy: l= leaves text unsigned"},
		{"l= more", usual + "l=18; ", nil, "", "fail: the body is shorter than l="},
		{"l= huge", usual + "l=" + strings.Repeat("9", 70) + "; ", nil, "", "fail: the body is shorter than l="},
		{"l= no number", usual + "l=-1; ", nil, "", "permerror: l= is no number"},

		{"two From, one signed", usual, nil, "From: eve@example.net\r\n" + plain, "policy: a From field is not signed"},
		{"two From, both signed", "a=rsa-sha256; d=example.com; s=r1; h=from:from; ", nil, "From: eve@example.net\r\n" + plain, "pass"},
		{"no header end", usual, nil, "From: ann@example.com", "pass"},
		{"LF alone", usual, nil, "From: ann@example.com\nTo: bob\n\nHi\n", "pass"},
		{"a NUL", usual, nil, "From: \x00ann@example.com\r\n\r\n\x00", "pass"},

		{"no record", usual, []string{}, "", "permerror: no key"},
		{"silence", usual, []string{silent}, "", "temperror: the key could not be looked up"},
		{"another record", usual, []string{"v=spf1 -all"}, "", "permerror: no key that can be read: the record is of another version"},
		{"no key in it", usual, []string{"k=rsa"}, "", "permerror: no key that can be read: the record has no key"},
		{"revoked", usual, []string{"v=DKIM1; p="}, "", "permerror: the key was revoked"},
		{"bare RSA", usual, []string{pkcs1}, "", "pass"},
		{"for SHA-256", usual, with("h=sha1:sha256"), "", "pass"},
		{"for another hash", usual, with("h=sha1"), "", "permerror: the key is not for this hash"},
		{"for mail", usual, with("s=email"), "", "pass"},
		{"for all", usual, with("s=tlsrpt:*"), "", "pass"},
		{"for others", usual, with("s=tlsrpt"), "", "permerror: the key is not for mail"},
		{"for tests", usual, with("t=y"), "", "pass"},
		{"notes", usual, with("n=see=20page;g=*"), "", "pass"},
		{"another key type", usual, []string{edRecord}, "", "permerror: the key is of another algorithm"},
		{"an unknown key type", usual, []string{strings.Replace(rsaRecord, "k=rsa", "k=ecc", 1)}, "", "permerror: no key that can be read: the key is of an unknown algorithm"},
		{"another version", usual, []string{strings.Replace(rsaRecord, "DKIM1", "DKIM2", 1)}, "", "permerror: no key that can be read: the record is of another version"},
		{"the version not first", usual, []string{rsaRecord[len("v=DKIM1; "):] + "; v=DKIM1"}, "", "permerror: no key that can be read: the record is of another version"},
		{"no version", usual, []string{rsaRecord[len("v=DKIM1; "):]}, "", "pass"},
		{"spaces in the key", usual, []string{strings.Replace(rsaRecord, "MII", "M I\tI", 1)}, "", "pass"},
		{"empty places", usual, []string{rsaRecord + "; ;"}, "", "permerror: no key that can be read: a tag has no name"},
		{"the kind in capitals", usual, []string{strings.Replace(rsaRecord, "k=rsa", "k=RSA", 1)}, "", "pass"},
		{"no base64", usual, []string{"p=!"}, "", "permerror: no key that can be read: p= is not base64"},
		{"not a key", usual, []string{"p=YWJj"}, "", "permerror: no key that can be read: the RSA key can't be read"},
		{"a short Ed25519 key", usual, []string{"k=ed25519; p=YWJj"}, "", "permerror: no key that can be read: the Ed25519 key has not 32 bytes"},
		{"several records, one right", usual, []string{"v=spf1 -all", "p=", edRecord, rsaRecord}, "", "pass"},
	} {
		t.Run(c.name, func(t *testing.T) {
			z := zone{}.publish(rsaKey(), edKey())
			if c.records != nil {
				z[rsaKey().Name()] = c.records
			}
			if len(c.records) == 0 && c.records != nil {
				delete(z, rsaKey().Name())
			}
			if c.message == "" {
				c.message = plain
			}
			key := rsaKey()
			if strings.Contains(c.tags, "s=e1") {
				key = edKey()
			}
			signed := signAs(t, key, "DKIM-Signature: v=1; "+c.tags+"bh=?; b=", c.message)
			got := z.verifier(noon).Verify(t.Context(), []byte(signed))
			if results(got) != c.want {
				t.Errorf("%s\nwant %s: %+v\n%s", results(got), c.want, got, signed)
			}
		})
	}
}

func TestBrokenSignatures(t *testing.T) {
	signed := mustSign(t, plain, SignOptions{Time: noon}, rsaKey())
	for _, c := range []struct{ name, old, new, want string }{
		{"the body", "At noon", "At one", "fail: the body was changed"},
		{"text behind", "Ann\r\n", "Ann\r\nBuy!\r\n", "fail: the body was changed"},
		{"a field", "Lunch?", "Dinner?", "fail: the signature does not verify"},
		{"another field of the name", "\r\n\r\n", "\r\nSubject: Dinner?\r\n\r\n", "fail: the signature does not verify"},
		{"on top too", "From:", "Subject: Dinner?\r\nFrom:", "fail: the signature does not verify"},
		{"another From", "From:", "From: eve@example.net\r\nFrom:", "fail: the signature does not verify"},
		{"a field that was absent", "\r\n\r\n", "\r\nContent-Type: text/html\r\n\r\n", "fail: the signature does not verify"},
		{"a list's field", "\r\n\r\n", "\r\nList-Id: <other>\r\n\r\n", "fail: the signature does not verify"},
		{"a trace field", "From:", "Received: from x\r\nFrom:", "pass"},
		{"spaces", "Subject: Lunch?", "SUBJECT :\r\n  Lunch? ", "pass"},
		{"lines at the end", "Ann\r\n", "Ann \r\n\t\r\n\r\n", "pass"},
		{"line breaks", "\r\n", "\n", "pass"},
		{"the version", "v=1", "v=2", "permerror: v= is not 1"},
		{"no signature", " b=", " bx=", "permerror: there is no b="},
		{"no base64", " b=", " b=!", "permerror: b= is not base64"},
		{"no hash", "bh=", "hb=", "permerror: there is no bh="},
		{"a hash that is none", "bh=", "bh=!", "permerror: bh= is not base64"},
		{"a tag", "c=relaxed/relaxed", "c=relaxed/simple", "fail: the signature does not verify"},
		{"no tag", "v=1;", "v=1; x;", "permerror: a tag has no name"},
		{"control characters", "v=1;", "v=1; x=\x07;", "permerror: a tag has a control character in it"},
		{"a long one", "v=1;", "v=1; y=" + strings.Repeat("y", maxField) + ";", "permerror: the signature is too long"},
		{"too many fields", "From:", strings.Repeat("X:\r\n", maxFields) + "From:", "policy: the header is too large"},
		{"a large header", "From:", "X: " + strings.Repeat("x", maxHeader) + "\r\nFrom:", "policy: the header is too large"},
	} {
		count := 1
		if c.name == "line breaks" {
			count = -1
		}
		changed := strings.Replace(signed, c.old, c.new, count)
		got := zone{}.publish(rsaKey()).verifier(noon).Verify(t.Context(), []byte(changed))
		if changed == signed || results(got) != c.want {
			t.Errorf("%s: %s, want %s", c.name, results(got), c.want)
		}
	}
	if got := (zone{}).verifier(noon).Verify(t.Context(), []byte(plain)); got != nil {
		t.Errorf("unsigned: %+v", got)
	}
}

// TestShortKeys: RFC 8301 section 3.2.
func TestShortKeys(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, minBits)
	if err != nil {
		t.Fatal(err)
	}
	key := Key{"example.com", "short", private}
	signed := mustSign(t, plain, SignOptions{Time: noon}, key)
	if got := (zone{}).publish(key).verifier(noon).Verify(t.Context(), []byte(signed)); results(got) != "pass" {
		t.Errorf("%d bits: %+v", minBits, got)
	}
	// Go makes no shorter key, and none so long in a reasonable time; a modulus is enough.
	for bits, want := range map[int]string{512: "policy: the key has fewer than 1024 bits", maxBits + 1: "policy: the key has more than 8192 bits"} {
		public := rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), bits-1, 1), E: 65537}
		z := zone{key.Name(): {Record{Key: &public}.String()}}
		if got := z.verifier(noon).Verify(t.Context(), []byte(signed)); results(got) != want || got[0].Bits != bits {
			t.Errorf("%d bits: %+v", bits, got)
		}
	}
}

func TestSeveralSignatures(t *testing.T) {
	other := Key{Domain: "lists.example.net", Selector: "s", Private: edKey().Private}
	signed := mustSign(t, plain, SignOptions{Time: noon}, rsaKey(), edKey())
	signed = strings.Replace(signed, "Lunch?", "[list] Lunch?", 1)
	signed = mustSign(t, signed, SignOptions{Time: noon}, other)
	z := zone{}.publish(rsaKey(), edKey(), other)
	got := z.verifier(noon).Verify(t.Context(), []byte(signed))
	if results(got) != "pass; fail: the signature does not verify; fail: the signature does not verify" || got[0].Domain != "lists.example.net" || got[2].Algorithm != "ed25519-sha256" {
		t.Errorf("%+v", got)
	}
	// Only so many are looked at.
	for range MaxSignatures {
		signed = "DKIM-Signature: v=1\r\n" + signed
	}
	if got := z.verifier(noon).Verify(t.Context(), []byte(signed)); len(got) != MaxSignatures || got[0].Result != PermError {
		t.Errorf("%+v", got)
	}
}

// TestLookUpsSideBySide holds that all keys are asked for at once, each once.
func TestLookUpsSideBySide(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	all := make(chan struct{})
	v := zone{}.verifier(noon)
	v.TXT = func(ctx context.Context, name string) ([]string, error) {
		mu.Lock()
		if asked[name]++; len(asked) == 4 {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
			return nil, errNoName
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var signed strings.Builder
	for i := range 8 {
		fmt.Fprintf(&signed, "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=s%d; h=from; bh=eA==; b=eA==\r\n", i%4)
	}
	signed.WriteString(plain)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if got := v.Verify(ctx, []byte(signed.String())); len(got) != 8 || got[7].Reason != "no key" || asked["s0._domainkey.example.com"] != 1 {
		t.Errorf("%v: %+v", asked, got)
	}
	// The end of the context ends the waiting.
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	all = make(chan struct{})
	clear(asked)
	if got := v.Verify(ctx, []byte(signed.String())); got[0].Result != TempError {
		t.Errorf("%+v", got)
	}
}

// TestNothingPassesWithoutKeys: neither without the look-up, nor as another kind.
func TestNothingPassesWithoutKeys(t *testing.T) {
	m := Read([]byte(mustSign(t, plain, SignOptions{Time: noon}, edKey())))
	f := m.Fields("dkim-signature")[0]
	keys := zone{}.publish(edKey()).verifier(noon).LookUp(t.Context(), edKey().Name())
	for _, kind := range []Kind{Plain, ARCMessage, ARCSeal} {
		if s := m.Check(m.Claim(f, kind, noon), Keys{}); s.Result != PermError {
			t.Errorf("kind %d without keys: %+v", kind, s)
		}
	}
	if s := m.Check(m.Claim(f, ARCSeal, noon), keys); s.Result != Fail {
		t.Errorf("as a seal of nothing: %+v", s)
	}
}

// TestSignatureOfSignatures: h= names the signatures that were there, and one that was not, which the signature itself is not.
func TestSignatureOfSignatures(t *testing.T) {
	once := mustSign(t, plain, SignOptions{Time: noon}, edKey())
	// As the signer saw it: without the field that it was about to make.
	fields, err := Read([]byte(once)).Sign("DKIM-Signature", Tags{{"v", "1"}, {"a", ""}, {"c", "relaxed/relaxed"}, {"d", ""}, {"s", ""}}, SignOptions{Time: noon}, rsaKey(),
		[]string{"dkim-signature"})
	if err != nil {
		t.Fatal(err)
	}
	over := signAs(t, rsaKey(), "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=r1; h=from:dkim-signature:dkim-signature; bh=?; b=", once)
	for _, signed := range []string{string(fields) + once, over} {
		z := zone{}.publish(rsaKey(), edKey())
		if got := z.verifier(noon).Verify(t.Context(), []byte(signed)); results(got) != "pass; pass" {
			t.Errorf("%+v", got)
		}
		if got := z.verifier(noon).Verify(t.Context(), []byte(strings.Replace(signed, "s=e1", "s=e2", 1))); got[0].Result != Fail {
			t.Errorf("with another signature changed: %+v", got)
		}
	}
}

// TestBodyIsHashedOnce holds that signatures that have the body hashed alike share the hash.
func TestBodyIsHashedOnce(t *testing.T) {
	signed := mustSign(t, plain, SignOptions{Time: noon}, rsaKey(), edKey())
	signed = signAs(t, rsaKey(), "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=r1; c=relaxed/simple; h=from; bh=?; b=", signed)
	m := Read([]byte(signed))
	v := zone{}.publish(rsaKey(), edKey()).verifier(noon)
	for _, f := range m.Fields("dkim-signature") {
		c := m.Claim(f, Plain, noon)
		if s := m.Check(c, v.LookUp(t.Context(), c.KeyName())); s.Result != Pass {
			t.Errorf("%+v", s)
		}
	}
	if len(m.hashes) != 2 {
		t.Errorf("%d hashes, want one relaxed and one simple", len(m.hashes))
	}
}

// TestInternationalDomains: RFC 8616, which has A-labels in d= and U-labels in i= as DNS and mail have them.
func TestInternationalDomains(t *testing.T) {
	key := Key{Domain: "xn--bcher-kva.example", Selector: "s", Private: edKey().Private}
	z := zone{}.publish(key)
	for _, tags := range []string{"d=xn--bcher-kva.example; i=ann@xn--bcher-kva.example", "d=bücher.example; i=@Bücher.example", "d=XN--BCHER-KVA.example; i=ünn@post.bücher.example"} {
		signed := signAs(t, key, "DKIM-Signature: v=1; a=ed25519-sha256; s=s; h=from; "+tags+"; bh=?; b=", plain)
		got := z.verifier(noon).Verify(t.Context(), []byte(signed))
		if results(got) != "pass" || got[0].Domain != key.Domain || !strings.HasSuffix(got[0].Identity, key.Domain) {
			t.Errorf("%s: %+v", tags, got)
		}
	}
	if _, err := Sign([]byte(plain), SignOptions{Time: noon}, Key{"bücher.example", "s", key.Private}); err == nil {
		t.Error("a key of a domain with U-labels signs")
	}
}

func TestHeads(t *testing.T) {
	got := heads([]string{"abcdefghijkl", "abcdefghijxx", "abcdefghijkl", "short", ""})
	if want := "abcdefghijk abcdefghijx abcdefghijk short "; strings.Join(got, " ") != want {
		t.Errorf("%q", got)
	}
}

// TestRecords holds that records are read as they are written.
func TestRecords(t *testing.T) {
	for _, r := range []Record{
		{Key: edKey().Private.Public()},
		{Key: rsaKey().Private.Public(), Hashes: []string{"sha256"}, Services: []string{"email"}, Testing: true, Strict: true, Notes: "x=20y"},
		{},
		{Key: ed25519.PublicKey(make([]byte, 32)), Strict: true},
		{Key: ed25519.PublicKey(make([]byte, 32)), Testing: true},
	} {
		text := r.String()
		again, err := ParseRecord(text)
		if err != nil || again.String() != text {
			t.Errorf("%s: %v, %s", text, err, again)
		}
	}
	if _, err := ParseRecord("p=" + strings.Repeat("A", maxRecord)); err == nil {
		t.Error("a record of any length is read")
	}
}
