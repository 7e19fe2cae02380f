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
	list := List{"ListUsers", "m-a", []string{"ann", ""}}
	token := p.Seal(list, "cursor")
	if got, err := p.Open(list, token); err != nil || got != "cursor" {
		t.Fatalf("Open = %q, %v", got, err)
	}
	for name, other := range map[string]List{
		"operation":    {"ListGroups", "m-a", []string{"ann", ""}},
		"organisation": {"ListUsers", "m-b", []string{"ann", ""}},
		"filter":       {"ListUsers", "m-a", []string{"", "ann"}},
		"no filter":    {"ListUsers", "m-a", nil},
		"shifted text": {"ListUser", "sm-a", []string{"ann", ""}},
	} {
		if _, err := p.Open(other, token); !fault.Is(err, fault.Invalid, fault.Token) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if _, err := NewPages(make([]byte, 32)).Open(list, token); !fault.Is(err, fault.Invalid, fault.Token) {
		t.Errorf("another key: %v", err)
	}
	if got, err := p.Open(list, nil); got != "" || err != nil {
		t.Errorf("no token: %q, %v", got, err)
	}
	if p.Seal(list, "") != nil {
		t.Error("there must be no token after the last page")
	}
}

func TestTokensCannotBeForged(t *testing.T) {
	p := NewPages(pageKey)
	rapid.Check(t, func(rt *rapid.T) {
		list := List{rapid.String().Draw(rt, "operation"), rapid.String().Draw(rt, "organization"), rapid.SliceOf(rapid.String()).Draw(rt, "filter")}
		cursor := rapid.StringN(1, 100, -1).Draw(rt, "cursor")
		token := p.Seal(list, cursor)
		if got, err := p.Open(list, token); err != nil || got != cursor {
			rt.Fatalf("Open = %q, %v", got, err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil {
			rt.Fatal(err)
		}
		raw[rapid.IntRange(0, len(raw)-1).Draw(rt, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		forged := base64.RawURLEncoding.EncodeToString(raw)
		if _, err := p.Open(list, &forged); !fault.Is(err, fault.Invalid, fault.Token) {
			rt.Fatalf("a changed token passes: %v", err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	p := NewPages(pageKey)
	f.Add(*p.Seal(List{Operation: "ListUsers"}, "c"))
	f.Add("")
	f.Add(strings.Repeat("A", 1024))
	f.Fuzz(func(t *testing.T, token string) {
		cursor, err := p.Open(List{Operation: "ListGroups"}, &token)
		if err == nil || !fault.Is(err, fault.Invalid, fault.Token) {
			t.Errorf("%q is %q, %v", token, cursor, err)
		}
	})
}
