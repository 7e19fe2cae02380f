package ses

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// onTop is what SES writes on top of a message; %s is the clause of the recipient.
const onTop = "Received: from mail-ot1-f45.google.com (mail-ot1-f45.google.com [209.85.210.45])\r\n by inbound-smtp.us-east-1.amazonaws.com with SMTP id dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81\r\n FOR;\r\n" +
	" Thu, 31 Dec 2020 17:13:25 +0000 (UTC)\r\nX-SES-Spam-Verdict: PASS\r\nX-SES-Virus-Verdict: PASS\r\n" +
	"Received-SPF: pass (spfCheck: domain of _spf.google.com designates 209.85.210.45 as permitted sender) client-ip=209.85.210.45; envelope-from=x@gmail.com; helo=mail-ot1-f45.google.com;\r\n" +
	"Authentication-Results: amazonses.com;\r\n spf=pass client-ip=209.85.210.45; dkim=pass header.i=@gmail.com;\r\nX-SES-RECEIPT: AEFBQUFB\r\nX-SES-DKIM-SIGNATURE: a=rsa-sha256; b=x\r\n"

const written = "Received: by 2002:a05:6a10::1 with SMTP id x for <other@there.example>; Thu, 31 Dec 2020 09:13:24 -0800\r\n" +
	"From: Ann <ann@gmail.com>\r\nTo: Bob <bob@example.com>, list: carl@example.com;\r\nCc: \"D, E\" <d.e@other.example>\r\nX-SES-Virus-Verdict: FAIL\r\n\r\n"

func TestHeaders(t *testing.T) {
	named := []string{"bob@example.com", "carl@example.com", "d.e@other.example"}
	for name, c := range map[string]struct {
		header, returnPath, client, hello string
		certain                           bool
		want                              envelope
	}{
		"one recipient": {
			strings.Replace(onTop, "FOR", "for hidden@example.com", 1) + written, "<x@gmail.com>", "209.85.210.45", "mail-ot1-f45.google.com", true,
			envelope{"x@gmail.com", []string{"hidden@example.com"}, "PASS", "PASS"},
		},
		"in brackets": {
			strings.Replace(onTop, "FOR", "for <hidden@example.com>", 1) + written, "<>", "209.85.210.45", "mail-ot1-f45.google.com", true,
			envelope{"", []string{"hidden@example.com"}, "PASS", "PASS"},
		},
		"several recipients": {
			strings.Replace(onTop, "\r\n FOR", "", 1) + written, "x@gmail.com", "209.85.210.45", "mail-ot1-f45.google.com", false,
			envelope{"x@gmail.com", named, "PASS", "PASS"},
		},
		"IPv6 and spam": {
			strings.NewReplacer("FOR", "for a@b.example", "[209.85", "[IPv6:2001:db8::1]) (was [209.85", "Spam-Verdict: PASS", "Spam-Verdict: fail").Replace(onTop) + written, "", "2001:db8::1", "mail-ot1-f45.google.com", true,
			envelope{"", []string{"a@b.example"}, "FAIL", "PASS"},
		},
		"not SES's":        {written, "", "", "", false, envelope{"", named, "", "FAIL"}}, // who says so of their own message may be believed
		"another Received": {strings.Replace(onTop, "with SMTP", "by SMTP", 1) + written, "", "", "", false, envelope{"", named, "PASS", "PASS"}},
		"forged below another": {
			"Received: from x (x [192.0.2.1]) by mx.example with SMTP id 1; Thu, 31 Dec 2020 17:13:25 +0000\r\n" + strings.Replace(onTop, "FOR", "for a@b.example", 1) + written, "", "", "", false,
			envelope{"", named, "", ""},
		},
		"a name like SES's": {strings.NewReplacer("amazonaws.com", "amazonaws.com.evil.example", "FOR", "for a@b.example").Replace(onTop) + written, "", "", "", false, envelope{"", named, "PASS", "PASS"}},
		"no receipt": {
			strings.NewReplacer("FOR", "for a@b.example", "X-SES-RECEIPT: AEFBQUFB\r\n", "", "X-SES-Virus-Verdict: PASS\r\n", "").Replace(onTop) + written, "", "209.85.210.45", "mail-ot1-f45.google.com", true,
			envelope{"", []string{"a@b.example"}, "PASS", ""}, // the virus is the client's own word
		},
	} {
		got := readHeader([]byte(c.header), c.returnPath)
		client := ""
		if got.client.IsValid() {
			client = got.client.String()
		}
		if client != c.client || got.hello != c.hello || got.certain != c.certain || !reflect.DeepEqual(got.envelope, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestCopyMessage(t *testing.T) {
	for _, c := range []struct{ in, out, path string }{
		{"Return-Path: <a@b.example>\r\nFrom: x\r\n\r\nhi\r\n", "From: x\r\n\r\nhi\r\n", "<a@b.example>"},
		{"return-path:\r\n <a@b.example>\r\n\tx\r\nFrom: x\r\n", "From: x\r\n", "<a@b.example>\tx"},
		{"From: x\nReturn-Path: <a@b.example>\n\nhi\rho\r\r\n\n", "From: x\r\nReturn-Path: <a@b.example>\r\n\r\nhi\r\nho\r\n\r\n\r\n", ""},
		{"Return-Path: <>", "", "<>"},
		{"no end\r", "no end\r\n", ""},
		{"", "", ""},
	} {
		var b bytes.Buffer
		path, err := copyMessage(&b, strings.NewReader(c.in), 100)
		if err != nil || b.String() != c.out || path != c.path {
			t.Errorf("%q becomes %q from %q, %v", c.in, b.String(), path, err)
		}
	}
	if _, err := copyMessage(&bytes.Buffer{}, strings.NewReader("From: x\r\n\r\n"), 10); !errors.Is(err, errLarge) {
		t.Errorf("a message that is too large: %v", err)
	}
	if _, err := copyMessage(&bytes.Buffer{}, strings.NewReader("Return-Path: "+strings.Repeat("x", 1<<20)), 1<<30); !errors.Is(err, errLarge) {
		t.Errorf("a field that is too large: %v", err)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("Return-Path: <x@y>\r\n" + onTop + written))
	f.Add([]byte(written))
	f.Fuzz(func(t *testing.T, text []byte) {
		var b bytes.Buffer
		path, err := copyMessage(&b, bytes.NewReader(text), 1<<20)
		if err != nil {
			return
		}
		if rest := strings.ReplaceAll(b.String(), "\r\n", ""); strings.ContainsAny(rest, "\r\n") {
			t.Fatalf("%q has bare breaks", rest)
		}
		o := readHeader(b.Bytes(), path)
		if len(o.To) > maxTo || o.certain && len(o.To) != 1 {
			t.Fatalf("%+v", o)
		}
	})
}
