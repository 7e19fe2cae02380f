package dkim

import (
	"strings"
	"testing"
	"time"
)

// TestHostileMessages holds that whatever a message is made of, its signatures are judged in time that is linear in it: what is quadratic
// takes minutes at these sizes.
func TestHostileMessages(t *testing.T) {
	const size = 2 << 20
	z := zone{}.publish(rsaKey())
	fill := func(piece string) string { return strings.Repeat(piece, size/len(piece)) }
	signatures := func(tags string) string {
		return strings.Repeat("DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=r1; h=from:"+tags+"; b=eA==\r\n", MaxSignatures)
	}
	for name, b := range map[string]string{
		"names in h=":         signatures(strings.Repeat("a:", 30_000)+"b; bh=eA==") + "From: a\r\n" + strings.Repeat("A:\r\n", 40_000),
		"alike b=":            strings.Repeat("DKIM-Signature: b="+strings.Repeat("A", 60_000)+"\r\n", MaxSignatures),
		"tags":                "DKIM-Signature: " + fill("a=b;") + "\r\n\r\n",
		"bodies of l=":        signatures("x; bh=eA==") + "\r\n" + fill("a  b\r\n"),
		"empty lines":         signatures("x; c=relaxed/relaxed; bh=eA==") + "\r\n" + fill(" \r\n") + "x",
		"LF":                  signatures("x; c=relaxed/relaxed; bh=eA==") + "\r\n" + fill("\n") + "x",
		"CR":                  signatures("x; c=relaxed/relaxed; bh=eA==") + "\r\n" + fill("\r"),
		"spaces":              signatures("x; c=relaxed/relaxed; bh=eA==") + "\r\n" + fill(" ") + "x",
		"words":               signatures("x; c=relaxed/relaxed; bh=eA==") + "\r\n" + fill("\tx"),
		"lines of a header":   signatures("x; c=relaxed/relaxed; bh=eA==") + fill("X: y\r\n"),
		"folded lines":        signatures("x:y; bh=eA==") + "X:" + fill("\r\n y"),
		"a header of nothing": fill("x"),
		"NULs":                fill("\x00"),
		"signatures":          fill("DKIM-Signature: v=1\r\n"),
	} {
		start := time.Now()
		for _, s := range z.verifier(noon).Verify(t.Context(), []byte(b)) {
			if s.Result == Pass || len(s.Head) > maxHead {
				t.Errorf("%s: %+v", name, s)
			}
		}
		if _, err := Sign([]byte(b), SignOptions{Time: noon}, edKey()); err != nil && err != ErrFields {
			t.Errorf("%s: %v", name, err)
		}
		if spent := time.Since(start); spent > time.Minute { // the machine may be busy
			t.Errorf("%s took %v", name, spent)
		}
	}
}
