package spam_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/spam"
)

// TestTokens compares messages that must and must not share what they are judged by.
func TestTokens(t *testing.T) {
	s := spam.New(spam.Options{Key: []byte("key")})
	text := func(header, body string) []byte { return []byte(strings.ReplaceAll(header+"\n\n"+body, "\n", "\r\n")) }
	for _, c := range []struct {
		name      string
		a, b      []byte
		allOfTheA bool // is in b, too
	}{
		{"what is put in front is not looked at", text("Subject: hello", "word"), text("Received: from x\nAuthentication-Results: y; spf=pass\nReturn-Path: <z@z>\nSubject: hello", "word"), true},
		{"case", text("Subject: Hello", "WORD"), text("Subject: hello", "word"), true},
		{"HTML", text("Content-Type: text/html", "<p>Buy <b>che</b>ap</p><!-- x --><style>hidden</style>"), text("Content-Type: text/html", "buy cheap"), true},
		{"base64", text("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64", "R3LDvMOfZQ=="), text("Content-Type: text/plain; charset=utf-8", "grüße"), true},
		{"the host of a link", text("", "https://user@www.Evil.example:80/x?y"), text("", "https://user@www.evil.example/other https://evil.example y 80 user www.evil.example x"), true},
		{"Chinese", text("Content-Type: text/plain; charset=utf-8", "便宜药"), text("Content-Type: text/plain; charset=utf-8", "买便宜药品"), true},
		{"a subject is no body", text("Subject: prize", ""), text("", "prize"), false},
		{"other words", text("", "prize"), text("", "letter"), false},
	} {
		a, b := s.Tokens(c.a), s.Tokens(c.b)
		missing := 0
		for _, k := range a {
			if !slices.Contains(b, k) {
				missing++
			}
		}
		if (missing == 0) != c.allOfTheA {
			t.Errorf("%s: %d of %d tokens are missing", c.name, missing, len(a))
		}
	}
	if slices.Equal(s.Tokens(text("", "word")), spam.New(spam.Options{Key: []byte("other")}).Tokens(text("", "word"))) {
		t.Error("the key of the server makes no difference")
	}
	long := strings.Repeat("x ", 10) + strings.Join(strings.Split(strings.Repeat("abc1 abd2 ", 100_000), " "), "\n")
	if n := len(s.Tokens(text("", long))); n > 1000 {
		t.Errorf("%d tokens", n)
	}
}

// TestSendersAreFoundAgain: what a delivery is counted for is what a move of the message is.
func TestSendersAreFoundAgain(t *testing.T) {
	pass := func(domain string) dkim.Signature {
		return dkim.Signature{Result: dkim.Pass, Domain: domain, Bits: 2048, Algorithm: "rsa-sha256", Head: "AbCd/+=="}
	}
	far, client := message.Address{Local: `a;b dmarc=pass header.from=bank.example`, Domain: "far.example"}, netip.MustParseAddr("192.0.2.77")
	for _, c := range []struct {
		v    mailauth.Verdict
		want string
	}{
		{mailauth.Verdict{DMARC: mailauth.DMARC{Result: dkim.Pass, From: "news.example", Domain: "news.example", Record: &mailauth.Record{Policy: mailauth.PolicyReject}}}, "news.example"},
		{mailauth.Verdict{DMARC: mailauth.DMARC{Result: dkim.Fail, From: "bank.example", Reason: `"; dmarc=pass header.from=bank.example`}}, "192.0.2.0/24"},
		{mailauth.Verdict{DMARC: mailauth.DMARC{Result: dkim.None}, DKIM: []dkim.Signature{{Result: dkim.Fail, Domain: "a.example"}, pass("b.example"), pass("c.example")}}, "b.example"},
		{mailauth.Verdict{Client: mailauth.Client{Address: netip.MustParseAddr("2001:db8:1:2:3::4")}}, "2001:db8:1:2::/64"},
		{mailauth.Verdict{Client: mailauth.Client{Address: netip.MustParseAddr("127.0.0.1")}}, ""},
		{mailauth.Verdict{Client: mailauth.Client{Address: netip.MustParseAddr("::ffff:192.0.2.9")}}, "192.0.2.0/24"},
	} {
		if !c.v.Client.Address.IsValid() {
			c.v.Client.Address = client
		}
		c.v.Client.From = far
		if got := spam.SenderOf(&c.v); got != c.want {
			t.Errorf("%+v: sender %q, want %q", c.v, got, c.want)
		}
		prefix := "Return-Path: <x@y>\r\nDelivered-To: z\r\n" + c.v.Field("mail.example")
		if got := spam.SenderIn([]byte(prefix)); got != c.want {
			t.Errorf("%s: sender %q, want %q", prefix, got, c.want)
		}
	}
	if got := spam.SenderIn([]byte("Delivered-To: x\r\n")); got != "" {
		t.Errorf("a message without results has sender %q", got)
	}
}

func FuzzTokens(f *testing.F) {
	f.Add([]byte(newCorpus(1).message(true)))
	f.Add([]byte("Content-Type: text/html; charset=utf-16\r\n\r\n<a href=\"http://\xff@x:"))
	f.Add([]byte("Subject: =?utf-8?q?=E4=BE=BF?= ://\r\n\r\nhttp://"))
	s := spam.New(spam.Options{Key: []byte("key")})
	f.Fuzz(func(t *testing.T, b []byte) {
		tokens := s.Tokens(b)
		if len(tokens) > 1000 {
			t.Errorf("%d tokens", len(tokens))
		}
		if !slices.Equal(tokens, s.Tokens(b)) {
			t.Error("the same message has other tokens")
		}
	})
}

func FuzzSenderIn(f *testing.F) {
	f.Add("Authentication-Results: x; dmarc=pass (\\)) header.from=\"a\\\"b\"; iprev=x policy.iprev=\"::1\"\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		if got := spam.SenderIn([]byte(s)); len(got) > 300 {
			t.Errorf("a sender of %d bytes", len(got))
		}
	})
}
