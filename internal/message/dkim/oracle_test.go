package dkim

import (
	"bytes"
	"crypto"
	"strings"
	"testing"
	"time"

	oracle "github.com/emersion/go-msgauth/dkim"
	"pgregory.net/rapid"
)

// drawMessage draws a message with what canonicalisation is about: white space, line breaks, empty lines, repeated fields.
func drawMessage(t *rapid.T) string {
	piece := rapid.SampledFrom([]string{"a", "Bb", " ", "  ", "\t", "\r\n ", "\r\n\t ", "ü", ":", ";", "=", "\r\n  x "})
	text := rapid.Map(rapid.SliceOfN(piece, 0, 8), func(p []string) string { return strings.Join(p, "") })
	var b strings.Builder
	b.WriteString("From: ann@example.com\r\n")
	for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"To", "subject", "Subject", "CC", "List-Id", "X-Y", "Received", "Content-Type", "DATE"}), 0, 6).Draw(t, "names") {
		b.WriteString(name + rapid.SampledFrom([]string{":", ": "}).Draw(t, "colon") + "x" + text.Draw(t, "value") + "\r\n")
	}
	b.WriteString("\r\n")
	for _, line := range rapid.SliceOfN(rapid.SampledFrom([]string{"", "", " ", "\t", "a", "a  b", " a\t", "line of text", ".", "-- "}), 0, 8).Draw(t, "body") {
		b.WriteString(line + "\r\n")
	}
	return b.String()
}

// TestOracle holds that go-msgauth verifies what is signed here, and the other way round, in every canonicalisation.
func TestOracle(t *testing.T) {
	z := zone{}.publish(rsaKey(), edKey())
	lookup := func(name string) ([]string, error) { return z.TXT(t.Context(), name) }
	rapid.Check(t, func(t *rapid.T) {
		message := drawMessage(t)
		key := rapid.SampledFrom([]Key{rsaKey(), edKey()}).Draw(t, "key")
		fields, err := Sign([]byte(message), SignOptions{Time: noon}, key)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := oracle.VerifyWithOptions(strings.NewReader(string(fields)+message), &oracle.VerifyOptions{LookupTXT: lookup})
		if err != nil || len(theirs) != 1 || theirs[0].Err != nil {
			t.Fatalf("go-msgauth: %v, %+v\n%q", err, theirs, string(fields)+message)
		}
		header := rapid.SampledFrom([]oracle.Canonicalization{oracle.CanonicalizationSimple, oracle.CanonicalizationRelaxed})
		var signed bytes.Buffer
		if err := oracle.Sign(&signed, strings.NewReader(message), &oracle.SignOptions{
			Domain: key.Domain, Selector: key.Selector, Signer: key.Private, Hash: crypto.SHA256,
			HeaderCanonicalization: header.Draw(t, "header"), BodyCanonicalization: header.Draw(t, "body"),
		}); err != nil {
			t.Fatal(err)
		}
		// It knows no other time than the machine's.
		if got := z.verifier(time.Now()).Verify(t.Context(), signed.Bytes()); results(got) != "pass" {
			t.Fatalf("%+v\n%q", got, signed.String())
		}
	})
}

// TestSignThenVerify holds that what relays may do to a message leaves its signatures right, and that what they may not breaks them.
func TestSignThenVerify(t *testing.T) {
	z := zone{}.publish(edKey())
	rapid.Check(t, func(t *rapid.T) {
		message := drawMessage(t)
		fields, err := Sign([]byte(message), SignOptions{Time: noon}, edKey())
		if err != nil {
			t.Fatal(err)
		}
		verify := func(b string) Result {
			got := z.verifier(noon).Verify(t.Context(), []byte(b))
			if len(got) != 1 {
				return None
			}
			return got[0].Result
		}
		signed := string(fields) + message
		header, body, _ := strings.Cut(signed, "\r\n\r\n")
		for name, changed := range map[string]string{
			"nothing":          signed,
			"LF":               strings.ReplaceAll(signed, "\r\n", "\n"),
			"trace":            "Received: from x\r\n" + signed,
			"more space":       strings.ReplaceAll(header, "\t", " \t ") + "\r\n\r\n" + strings.ReplaceAll(body, "\r\n", "\t \r\n"),
			"lines at the end": signed + "\r\n \r\n\r\n",
		} {
			if got := verify(changed); got != Pass {
				t.Fatalf("%s: %s\n%q", name, got, changed)
			}
		}
		for name, changed := range map[string]string{
			"text":       signed + "more\r\n",
			"text first": header + "\r\n\r\nmore\r\n" + body,
			"author":     strings.Replace(signed, "From: ann@", "From: eve@", 1),
			"field":      "Subject: another\r\n" + signed,
			"field last": header + "\r\nReply-To: eve@example.net\r\n\r\n" + body,
		} {
			if got := verify(changed); got != Fail {
				t.Fatalf("%s: %s\n%q", name, got, changed)
			}
		}
	})
}
