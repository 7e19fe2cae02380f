package awsapi

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
	"pgregory.net/rapid"
)

var pageKey = bytes.Repeat([]byte{7}, 32)

func TestTokensBelongToTheirList(t *testing.T) {
	p := NewPages(pageKey)
	l := list{"ListUsers", "m-a", "ann"}
	token := p.seal(l, "cursor")
	if got, err := p.open(l, token); err != nil || got != "cursor" {
		t.Fatalf("open = %q, %v", got, err)
	}
	for name, other := range map[string]list{
		"operation":    {"ListGroups", "m-a", "ann"},
		"organisation": {"ListUsers", "m-b", "ann"},
		"filter":       {"ListUsers", "m-a", "bob"},
		"no filter":    {"ListUsers", "m-a", ""},
		"shifted text": {"ListUser", "sm-a", "ann"},
	} {
		if _, err := p.open(other, token); !fault.Is(err, fault.Invalid, fault.Token) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if _, err := NewPages(make([]byte, 32)).open(l, token); !fault.Is(err, fault.Invalid, fault.Token) {
		t.Errorf("another key: %v", err)
	}
	if got, err := p.open(l, nil); got != "" || err != nil {
		t.Errorf("no token: %q, %v", got, err)
	}
	if p.seal(l, "") != nil {
		t.Error("there must be no token after the last page")
	}
}

func TestTokensCannotBeForged(t *testing.T) {
	p := NewPages(pageKey)
	rapid.Check(t, func(rt *rapid.T) {
		l := list{rapid.String().Draw(rt, "operation"), rapid.String().Draw(rt, "organization"), rapid.String().Draw(rt, "filter")}
		cursor := rapid.StringN(1, 100, -1).Draw(rt, "cursor")
		token := p.seal(l, cursor)
		if got, err := p.open(l, token); err != nil || got != cursor {
			rt.Fatalf("open = %q, %v", got, err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil {
			rt.Fatal(err)
		}
		raw[rapid.IntRange(0, len(raw)-1).Draw(rt, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		forged := base64.RawURLEncoding.EncodeToString(raw)
		if _, err := p.open(l, &forged); !fault.Is(err, fault.Invalid, fault.Token) {
			rt.Fatalf("a changed token passes: %v", err)
		}
	})
}

func FuzzToken(f *testing.F) {
	p := NewPages(pageKey)
	f.Add(*p.seal(list{operation: "ListUsers"}, "c"))
	f.Add("")
	f.Add(strings.Repeat("A", 1024))
	f.Fuzz(func(t *testing.T, token string) {
		cursor, err := p.open(list{operation: "ListGroups"}, &token)
		if err == nil || !fault.Is(err, fault.Invalid, fault.Token) {
			t.Errorf("%q is %q, %v", token, cursor, err)
		}
	})
}
