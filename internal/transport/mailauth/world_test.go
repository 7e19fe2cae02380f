package mailauth

import (
	"crypto/ed25519"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

// world is a checker and the names that it sees.
type world struct {
	*Checker
	*dnstest.Server
	t *testing.T
}

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, trusted ...string) *world {
	s := dnstest.New(t)
	return &world{New(Options{Resolver: dns.New(s.Address), Clock: clock.NewFake(now), Trusted: trusted}), s, t}
}

// client is who hands messages in.
func client(address, from string) Client {
	c := Client{Address: netip.MustParseAddr(address), Hello: "mx.sender.example"}
	if from != "" {
		a, err := message.ParseAddress(from)
		if err != nil {
			panic(err)
		}
		c.From = a
	}
	return c
}

var private = sync.OnceValue(func() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
})

// keyOf is the key of a domain, whose record is published.
func (w *world) keyOf(domain string) dkim.Key {
	key := dkim.Key{Domain: domain, Selector: "s1", Private: private()}
	w.Add(key.Name() + `. 60 IN TXT "` + key.Record().String() + `"`)
	return key
}

// signed is a message that a domain signed.
func (w *world) signed(text string, domains ...string) string {
	w.t.Helper()
	for _, domain := range domains {
		fields, err := dkim.Sign([]byte(text), dkim.SignOptions{Time: now}, w.keyOf(domain))
		if err != nil {
			w.t.Fatal(err)
		}
		text = string(fields) + text
	}
	return text
}

// text is a message from an author.
func text(from string) string {
	return "From: " + from + "\r\nTo: b@here.example\r\nSubject: hello\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n\r\nbody\r\n"
}
