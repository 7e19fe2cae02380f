package dkim

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// zone is what DNS has.
type zone map[string][]string

var (
	errNoName  = errors.New("no such name")
	errTimeout = errors.New("nobody answers")
)

// silent is a record whose look-up fails.
const silent = "(silence)"

func (z zone) TXT(_ context.Context, name string) ([]string, error) {
	switch texts := z[name]; {
	case texts == nil:
		return nil, errNoName
	case texts[0] == silent:
		return nil, errTimeout
	default:
		return texts, nil
	}
}

// verifier knows the zone, and that it is now.
func (z zone) verifier(now time.Time) *Verifier {
	return &Verifier{
		Resolver: Resolver{TXT: z.TXT, IsNotFound: func(err error) bool { return errors.Is(err, errNoName) }},
		Now:      func() time.Time { return now },
	}
}

func (z zone) publish(keys ...Key) zone {
	for _, k := range keys {
		z[k.Name()] = append(z[k.Name()], k.Record().String())
	}
	return z
}

var rsaPrivate = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func rsaKey() Key { return Key{Domain: "example.com", Selector: "r1", Private: rsaPrivate()} }

func edKey() Key {
	return Key{Domain: "example.com", Selector: "e1", Private: ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))}
}

// noon is when the tests sign.
var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

const plain = "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: Lunch?\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n" +
	"Message-ID: <1@example.com>\r\nList-Id: <lunch.example.com>\r\n\r\nAt noon.\r\n\r\nAnn\r\n"

// mustSign returns the message with its signatures in front.
func mustSign(t testing.TB, b string, o SignOptions, keys ...Key) string {
	t.Helper()
	fields, err := Sign([]byte(b), o, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return string(fields) + b
}

// results are the results of signatures, with their reasons.
func results(signatures []Signature) string {
	var all []string
	for _, s := range signatures {
		text := string(s.Result)
		if s.Reason != "" {
			text += ": " + s.Reason
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// signAs signs with a field that is written by the test: what follows "b=" is filled in, and so is bh= where it is "bh=?". The
// canonicalisations are those of c=.
func signAs(t testing.TB, key Key, field, b string) string {
	t.Helper()
	whole := strings.Replace(field, "bh=?", "bh=AAAA", 1) + "\r\n" + b
	m := Read([]byte(whole))
	f := m.Fields("dkim-signature")[0]
	c := m.Claim(f, Plain, noon)
	c.readScope() // which Claim did not get to, without a signature
	if strings.Contains(field, "bh=?") {
		sum := m.bodySum(c.bodyKey()).sum
		return signAs(t, key, strings.Replace(field, "bh=?", "bh="+base64.StdEncoding.EncodeToString(sum), 1), b)
	}
	_, hash, err := key.algorithm()
	if err != nil {
		t.Fatal(err)
	}
	s := newSink(sha256.New(), -1)
	m.writeHeader(s, c.names, f, c.header)
	writeSigned(s, m.header, f, c.header)
	signature, err := key.Private.Sign(rand.Reader, s.sum(), hash)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(field, " b=", " b="+base64.StdEncoding.EncodeToString(signature), 1) + "\r\n" + b
}
