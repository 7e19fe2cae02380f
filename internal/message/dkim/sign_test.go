package dkim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestSign(t *testing.T) {
	fields, err := Sign([]byte(plain), SignOptions{Time: noon, Lifetime: time.Hour}, rsaKey(), edKey())
	if err != nil {
		t.Fatal(err)
	}
	text := string(fields)
	first, second, _ := strings.Cut(text, "\r\nDKIM-Signature:")
	for _, want := range []string{"v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=r1;", "t=1795694400; x=1795698000; h=from:from:to:to:cc:subject:subject:"} {
		if !strings.Contains(strings.ReplaceAll(first, "\r\n", ""), want) {
			t.Errorf("%q is not in\n%s", want, first)
		}
	}
	if strings.Contains(text, "l=") || !strings.Contains(second, "ed25519-sha256") || !strings.HasSuffix(text, "\r\n") {
		t.Errorf("%s", text)
	}
	for line := range strings.SplitSeq(text, "\r\n") {
		if len(line) >= 78 {
			t.Errorf("a line of %d bytes: %s", len(line), line)
		}
	}
	tags, err := ParseTags(strings.TrimPrefix(first, "DKIM-Signature:"))
	if err != nil {
		t.Fatal(err)
	}
	names, _ := tags.list("h")
	for name, want := range map[string]int{"from": 2, "to": 2, "cc": 1, "list-id": 2, "list-post": 0, "received": 0, "content-type": 1} {
		n := 0
		for _, signed := range names {
			if signed == name {
				n++
			}
		}
		if n != want {
			t.Errorf("%s is signed %d times, want %d", name, n, want)
		}
	}
}

func TestWhatIsNotSigned(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := edKey().Private
	for name, key := range map[string]Key{
		"another algorithm": {"example.com", "s", ec},
		"no domain":         {"", "s", private},
		"no selector":       {"example.com", "", private},
		"upper case":        {"Example.com", "s", private},
		"a long name":       {strings.Repeat("long.", 49) + "com", "s", private},
		"a line break":      {"example.com", "s\r\nx", private},
		"a broken key":      {"example.com", "s", broken{private}},
	} {
		if fields, err := Sign([]byte(plain), SignOptions{Time: noon}, key); err == nil {
			t.Errorf("%s: %s", name, fields)
		}
	}
	for name, header := range map[string]string{
		"too many To":     strings.Repeat("To: x\r\n", maxNames),
		"a large header":  "X: " + strings.Repeat("x", maxHeader) + "\r\n",
		"too many fields": strings.Repeat("X:\r\n", maxFields),
	} {
		if _, err := Sign([]byte(header+plain), SignOptions{Time: noon}, edKey()); !errors.Is(err, ErrFields) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if fields, err := Sign([]byte(plain), SignOptions{Time: noon}); len(fields) != 0 || err != nil {
		t.Errorf("without a key: %s, %v", fields, err)
	}
}

type broken struct{ crypto.Signer }

func (b broken) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("broken")
}

// TestLongNames holds that a field is folded wherever it can be, whatever the names in it.
func TestLongNames(t *testing.T) {
	for _, n := range []int{1, 20, 40, 57} {
		label := strings.Repeat("a", n)
		key := Key{Domain: label + "." + label + "." + label + ".example", Selector: label, Private: edKey().Private}
		signed := mustSign(t, plain, SignOptions{Time: noon}, key)
		for line := range strings.SplitSeq(signed, "\r\n") {
			if len(line) > width && !strings.Contains(line, "d=") {
				t.Errorf("a line of %d bytes: %s", len(line), line)
			}
		}
		if got := (zone{}).publish(key).verifier(noon).Verify(t.Context(), []byte(signed)); results(got) != "pass" {
			t.Errorf("labels of %d: %+v", n, got)
		}
	}
}

func TestFold(t *testing.T) {
	got := string(Fold("A", " one\r\ntwo\t"+strings.Repeat("x", 100)+" "+strings.Repeat("y", 70)+" z "))
	if want := "A: one two\r\n " + strings.Repeat("x", 100) + "\r\n " + strings.Repeat("y", 70) + " z\r\n"; got != want {
		t.Errorf("%q", got)
	}
	if got := string(Fold("A", "")); got != "A:\r\n" {
		t.Errorf("%q", got)
	}
}
