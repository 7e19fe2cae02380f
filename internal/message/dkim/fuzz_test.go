package dkim

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// FuzzVerify verifies anything with keys that fit: it must not panic, and never pass what was not signed.
func FuzzVerify(f *testing.F) {
	signed := mustSign(f, plain, SignOptions{Time: noon}, rsaKey(), edKey())
	f.Add([]byte(signed))
	f.Add([]byte(plain))
	f.Add([]byte(rfc8463Ed + rfc8463RSA + rfcMessage))
	f.Add([]byte(rfc6376 + rfcMessage))
	f.Add([]byte("DKIM-Signature:"))
	f.Add([]byte("DKIM-Signature: v=1; a=ed25519-sha256; d=example.com; s=e1; h=from:from:; l=0; bh=; b=\n ;\r\r\n\x00"))
	v := zone{}.publish(rsaKey(), edKey()).verifier(noon)
	v.TXT = func(ctx context.Context, name string) ([]string, error) {
		if strings.HasPrefix(name, "e") {
			return []string{edKey().Record().String(), "p="}, nil
		}
		return []string{rsaKey().Record().String()}, nil
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, s := range v.Verify(context.Background(), b) {
			if s.Result == "" || (s.Result == Pass) != (s.Reason == "") {
				t.Errorf("%+v", s)
			}
			if strings.ContainsAny(s.Domain+s.Selector+s.Identity+s.Algorithm+s.Head+s.Reason, "\r\n\x00") {
				t.Errorf("a control character in %+v", s)
			}
		}
		if len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
			return // what is folded before the first field would become part of the signature
		}
		fields, err := Sign(b, SignOptions{Time: noon}, edKey())
		if errors.Is(err, ErrFields) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Verify(context.Background(), append(fields, b...)); got[0].Result != Pass {
			t.Errorf("signed here: %+v\n%q", got[0], b)
		}
	})
}

func FuzzTags(f *testing.F) {
	for _, s := range []string{"v=1; a=b", "a", "a=;;b=c", " a = b \r\n c;", rfc8463Ed} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tags, err := ParseTags(s)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, tag := range tags {
			again.WriteString(tag.Name + "=" + tag.Value + ";")
			_, _ = tags.Number(tag.Name)
			_, _ = tags.Bytes(tag.Name)
		}
		if twice, err := ParseTags(again.String()); err != nil || len(twice) != len(tags) {
			t.Errorf("%q: %v, then %v, %v", s, tags, twice, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add(rsaKey().Record().String())
	f.Add(edKey().Record().String() + "; t=y:s; h=sha256; s=email; n=x")
	f.Add("v=DKIM1; p=")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRecord(s)
		if err != nil {
			return
		}
		if _, err := ParseRecord(r.String()); err != nil && len(s) < maxRecord/2 {
			t.Errorf("%q is written as %q: %v", s, r, err)
		}
	})
}
