package mailauth

import (
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/authres"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/arc"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

func TestField(t *testing.T) {
	v := Verdict{
		Client: client("2001:db8::1", "ann@sender.example"),
		IPRev:  Outcome{Result: dkim.Pass, Domain: "mx.sender.example"},
		SPF:    Outcome{Result: dkim.Pass, Domain: "sender.example"}, Hello: Outcome{Result: dkim.Pass, Domain: "mx.sender.example"},
		DKIM: []dkim.Signature{
			{Result: dkim.Pass, Domain: "sender.example", Selector: "s1", Identity: "@sender.example", Algorithm: "rsa-sha256", Bits: 2048, Head: "Ab+/cdEf"},
			{Result: dkim.Fail, Domain: "other.example", Selector: "s2", Identity: "x y@other.example", Reason: "the body was changed", Head: "12345678"},
		},
		DMARC: DMARC{Result: dkim.Pass, From: "news.sender.example", Domain: "sender.example", Policy: PolicyQuarantine, Record: &Record{Policy: PolicyReject}},
		ARC:   arc.Chain{Result: dkim.Pass, Instance: 2, Domains: []string{"a.example", "b.example"}},
	}
	const want = "Authentication-Results: here.example;\r\n" +
		"\tiprev=pass (mx.sender.example) policy.iprev=\"2001:db8::1\";\r\n" +
		"\tspf=pass smtp.mailfrom=ann@sender.example;\r\n" +
		"\tspf=pass smtp.helo=mx.sender.example;\r\n" +
		"\tdkim=pass (2048-bit key) header.d=sender.example\r\n" +
		"\t header.i=@sender.example header.s=s1 header.a=rsa-sha256\r\n\t header.b=\"Ab+/cdEf\";\r\n" +
		"\tdkim=fail reason=\"the body was changed\" header.d=other.example\r\n" +
		"\t header.i=\"x y@other.example\" header.s=s2 header.b=12345678;\r\n" +
		"\tdmarc=pass (p=quarantine) header.from=news.sender.example\r\n" +
		"\t polrec.p=reject polrec.domain=sender.example;\r\n" +
		"\tarc=pass (i=2) header.d=b.example\r\n"
	if got := v.Field("here.example"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// As another's reader has it.
	id, read, err := authres.Parse(strings.NewReplacer("\r\n", "").Replace(v.Results("here.example")))
	if err != nil || id != "here.example" || len(read) != 7 {
		t.Fatalf("%q, %d results, %v", id, len(read), err)
	}
	signature, isDKIM := read[3].(*authres.DKIMResult)
	dmarc, isDMARC := read[5].(*authres.DMARCResult)
	if !isDKIM || !isDMARC || signature.Value != authres.ResultPass || signature.Domain != "sender.example" || dmarc.Value != authres.ResultPass || dmarc.From != "news.sender.example" {
		t.Errorf("%+v %+v", read[3], read[5])
	}
	v = Verdict{Client: client("192.0.2.1", ""), SPF: Outcome{Result: dkim.None, Domain: "mx"}, IPRev: Outcome{Result: dkim.PermError, Reason: "the address has no name"}}
	v.DMARC = DMARC{Result: dkim.None, From: "sender.example"}
	const short = "Authentication-Results: here.example;\r\n" +
		"\tiprev=permerror reason=\"the address has no name\"\r\n\t policy.iprev=192.0.2.1;\r\n" +
		"\tspf=none smtp.helo=mx;\r\n\tdkim=none;\r\n\tdmarc=none header.from=sender.example\r\n"
	if got := v.Field("here.example"); got != short {
		t.Errorf("got\n%s\nwant\n%s", got, short)
	}
}

// TestHostileResults: whatever strangers call themselves, the field has one line after the other, and says what we found alone.
func TestHostileResults(t *testing.T) {
	for _, s := range []string{
		"x; dmarc=pass", "x\r\nX-Forged: y", "x\r\n\r\nbody", `"; spf=pass "`, `\"; spf=pass`, "(", ")", "\\", "\x00\x7f", "\xff\xfe", strings.Repeat("y", 5000), strings.Repeat(`"`, 5000),
		"é; dkim=pass", "a=b", " ", "\t",
	} {
		v := Verdict{
			Client: Client{Hello: s, From: message.Address{Local: s, Domain: s}},
			IPRev:  Outcome{Result: dkim.Fail, Domain: s, Reason: s}, SPF: Outcome{Result: dkim.Fail, Domain: s, Reason: s}, Hello: Outcome{Result: dkim.Fail, Domain: s, Reason: s},
			DMARC: DMARC{Result: dkim.Fail, From: s, Domain: s, Reason: s, Policy: PolicyReject, Record: &Record{Policy: PolicyReject}},
			ARC:   arc.Chain{Result: dkim.Fail, Reason: s, Domains: []string{s}}, Vouched: s,
		}
		for range 20 {
			v.DKIM = append(v.DKIM, dkim.Signature{Result: dkim.Fail, Domain: s, Selector: s, Identity: s, Algorithm: s, Head: s, Reason: s, Bits: 1})
		}
		field := v.Field("here.example")
		if n := len(field); n > 7<<10 {
			t.Errorf("%.20q: %d bytes", s, n)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(field, "\r\n"), "\r\n") {
			if !strings.HasPrefix(line, "Authentication-Results: ") && !strings.HasPrefix(line, "\t") || strings.ContainsAny(line, "\r\n\x00\x7f") {
				t.Errorf("%.20q: the line %.100q", s, line)
			}
		}
		value := strings.NewReplacer("\r\n", "").Replace(field)
		for part := range strings.SplitSeq(uncommented(value), ";") {
			if method, r, ok := strings.Cut(strings.TrimSpace(part), "="); ok && (method == "spf" || method == "dkim" || method == "dmarc") && !strings.HasPrefix(r, "fail") {
				t.Errorf("%.20q: %q", s, part)
			}
		}
		if passesDMARC(value) {
			t.Errorf("%.20q passes", s)
		}
	}
}
