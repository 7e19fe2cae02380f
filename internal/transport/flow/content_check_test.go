package flow

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
)

const (
	testOwn    = "Authentication-Results: here; spf=pass\r\nReceived: from x by here;\r\n\tMon, 23 Nov 2026 12:00:00 +0000\r\n"
	testHeader = "Received: from y by x\r\nFrom: =?utf-8?q?B=C3=B6b?= <x@far.example>\r\nTo: ann@acme.test\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n" +
		"Message-ID: <1@far.example>\r\nSubject: hello\r\nX-Raw: gr\xc3\xbcn\r\n"
	testOld = testOwn + testHeader + "\r\nbody\r\n"
)

// mixed is a message with parts.
func mixed(parts ...string) string {
	return testOwn + testHeader + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n" +
		strings.Join(parts, "\r\n--b\r\n") + "\r\n--b--\r\nepilogue\r\n"
}

func with(old, new string) string { return strings.Replace(testOld, old, new, 1) }

func TestNewContents(t *testing.T) {
	text, file := "Content-Type: text/plain\r\n\r\ntext", "Content-Type: image/png\r\n\r\n."
	forwarded := "Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n" + file + "\r\n--c\r\n" + file + "\r\n--c--" // is one
	for name, c := range map[string]struct{ text, says string }{
		"as it is":                        {testOld, ""},
		"another subject":                 {with("hello", "[External] hello"), ""},
		"another recipient, and Reply-To": {with("To: ann@acme.test\r\n", "To: bob@acme.test\r\nReply-To: cyd@acme.test\r\n"), ""},
		"folded anew":                     {with("from x by here;\r\n\tMon", "from x by here; Mon"), ""},
		"line feeds alone":                {strings.ReplaceAll(testOld, "\r\n", "\n"), ""},
		"our lines elsewhere":             {strings.TrimPrefix(with("X-Raw", testOwn+"X-Raw"), testOwn), "the header Received must stay as it is"},
		"our lines below another field":   {"X-New: 1\r\n" + testOld, ""},
		"parts":                           {mixed(text, "Content-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA"), ""},
		"a part in 8bit":                  {mixed("Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc"), ""},
		"an attached message of any kind": {mixed(text, "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nno field\r\nSubject: \xc3\xbc\r\nSubject: two\r\nContent-Type: multipart/mixed\r\n\r\nx"), ""},
		"a line of 1000 bytes":            {testOld + strings.Repeat("x", 998) + "\r\n", ""},

		"a line of 1001 bytes":       {testOld + strings.Repeat("x", 999) + "\r\n", "line 13 has 1001 bytes"},
		"a long last line":           {testOld + strings.Repeat("x", 999), "line 13 has 1001 bytes"},
		"a CR alone":                 {testOld + "a\rb\r\n", "line 13 has a CR"},
		"a NUL":                      {testOld + "a\x00b\r\n", "line 13 has a NUL"},
		"too large":                  {testOld + strings.Repeat(strings.Repeat("x", 98)+"\r\n", 1000), "more than 100000 bytes"},
		"no end of the header":       {testOwn + testHeader, "no empty line"},
		"nothing":                    {"", "no empty line"},
		"no field":                   {with("Subject", "no field\r\nSubject"), `the line "no field" of the header`},
		"a continuation of nothing":  {" x\r\n" + testOld, `the line " x" of the header`},
		"without From":               {with("From: =?utf-8?q?B=C3=B6b?= <x@far.example>\r\n", ""), "the header From is missing"},
		"without Date":               {with("Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n", ""), "the header Date is missing"},
		"without Message-ID":         {with("Message-ID: <1@far.example>\r\n", ""), "the header Message-ID must stay"},
		"another From":               {with("x@far.example>", "y@far.example>"), "the header From must stay"},
		"a Sender":                   {with("To:", "Sender: y@far.example\r\nTo:"), "the header Sender must stay"},
		"a Bcc":                      {with("To:", "Bcc: y@far.example\r\nTo:"), "the header Bcc must stay"},
		"without a Received":         {with("Received: from y by x\r\n", ""), "the header Received must stay"},
		"without ours":               {strings.TrimPrefix(testOld, testOwn), "must stay"},
		"other results":              {with("spf=pass", "spf=fail"), "the header Authentication-Results must stay"},
		"a result more":              {with("From:", "authentication-results: here; dmarc=pass\r\nFrom:"), "the header Authentication-Results must stay"},
		"two subjects":               {with("To:", "subject: two\r\nTo:"), "the header Subject is there 2 times"},
		"two types":                  {with("To:", "Content-Type: text/plain\r\nContent-Type: text/html\r\nTo:"), "the header Content-Type is there 2 times"},
		"a raw field":                {with("hello", "gr\xc3\xbcn"), "the header Subject has characters beyond ASCII"},
		"a raw body":                 {testOld + "\xc3\xbc\r\n", "Content-Transfer-Encoding is 7bit"},
		"a raw part":                 {mixed(text, "\r\n\xc3\xbc"), "beyond ASCII, but the Content-Transfer-Encoding is 7bit; they must be encoded in part 2"},
		"a raw part in a part":       {mixed("Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n\xc3\xbc\r\n--c--"), "in part 1.1"},
		"a raw attached message":     {mixed("Content-Type: message/rfc822\r\n\r\nSubject: \xc3\xbc\r\n\r\n"), "in part 1"},
		"binary":                     {mixed("Content-Transfer-Encoding: binary\r\n\r\nx"), `"binary" is none of`},
		"an encoding that is none":   {with("To:", "Content-Transfer-Encoding: rot13\r\nTo:"), `"rot13" is none of`},
		"no boundary":                {with("To:", "Content-Type: multipart/mixed\r\nTo:"), "has no boundary"},
		"a long boundary":            {with("To:", "Content-Type: multipart/mixed; boundary="+strings.Repeat("b", 71)+"\r\nTo:"), "has no boundary"},
		"no part":                    {with("To:", "Content-Type: multipart/mixed; boundary=b\r\nTo:"), `the boundary "b" of the multipart/mixed begins no part`},
		"no end":                     {strings.Replace(mixed(text, text), "--b--", "", 1), `the boundary "b" of the multipart/mixed does not end it`},
		"no end of a part":           {mixed("Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx"), "does not end it in part 1"},
		"an encoded multipart":       {strings.Replace(mixed(text), "MIME-", "Content-Transfer-Encoding: base64\r\nMIME-", 1), "which a multipart can't have"},
		"a part's header":            {mixed("no field\r\n\r\nx"), `the line "no field" of the header is no field in part 1`},
		"a part with two types":      {mixed("Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nx"), "Content-Type is there 2 times; once is allowed in part 1"},
		"a program":                  {mixed(text, "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"a.ExE\"\r\n\r\nMZ"), `the attachment "a.ExE" is of type .exe`},
		"a program in another":       {mixed("Content-Type: message/rfc822\r\n\r\nContent-Type: text/plain; name=x.vbs\r\n\r\nx"), `the attachment "x.vbs" is of type .vbs`},
		"three attachments":          {mixed(text, file, forwarded, file), ""},
		"four attachments":           {mixed(text, file, forwarded, file, file), "it has 4 attachments; at most 3 are allowed"},
		"more parts than are read":   {mixed(strings.Repeat("\r\n\r\n--b\r\n", message.MaxParts)), "parts"},
		"a header that is too large": {with("To:", strings.Repeat("X: "+strings.Repeat("x", 990)+"\r\n", 1100)+"To:"), "more than 100000 bytes"},
	} {
		got, err := check([]byte(testOld), len(testOwn), []byte(c.text), 100_000, 3)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.says != "" && (!fault.Is(err, fault.Invalid, fault.Message) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %q", name, err, c.says)
		case c.says == "" && (bytes.Contains(got, []byte("here; spf")) || bytes.Count(got, []byte("Received:")) != 1 || !bytes.Contains(got, []byte("from y by x"))):
			t.Errorf("%s: the message is %s", name, got)
		}
	}
	// What a message lacks may be added.
	old := "From: x@far.example\r\n\r\n"
	if _, err := check([]byte(old), 0, []byte("Date: now\r\nMessage-ID: <1@x>\r\n"+old), 1000, 0); err != nil {
		t.Error(err)
	}
}

// TestTheServersOwnLinesCountForNothing: what was read can be put back, however large it is.
func TestTheServersOwnLinesCountForNothing(t *testing.T) {
	header := testHeader + strings.Repeat("X: x\r\n", (message.MaxHeader-len(testHeader)-100)/6)
	header += "Y:" + strings.Repeat("y", message.MaxHeader-len(header)-6) + "\r\n" // and the empty line
	text := testOwn + header + "\r\nbody\r\n"
	for more, want := range []bool{true, false} {
		most := int64(len(text) - len(testOwn) - more)
		got, err := check([]byte(testOld), len(testOwn), []byte(text), most, 0)
		if (err == nil) != want || want && testOwn+string(got) != text {
			t.Errorf("%d bytes where %d are the most: %v", len(text)-len(testOwn), most, err)
		}
	}
	if _, err := check([]byte(testOld), len(testOwn), []byte(testOwn+"Z:\r\n"+header+"\r\n"), 2<<20, 0); err == nil || !strings.Contains(err.Error(), "its header has more") {
		t.Errorf("a header that is too large: %v", err)
	}
}

// TestNothingOfOthersIsQuoted: an object that is not of the message has bytes of who knows whom.
func TestNothingOfOthersIsQuoted(t *testing.T) {
	for _, text := range []string{"secret\r\n" + testHeader + "\r\n", "secret\r\nFrom: a\r\nDate: b\r\n\r\n", "Secret\xc3\xbc: x\r\nFrom: a\r\nDate: b\r\n\r\n"} {
		if _, err := check([]byte(testOld), len(testOwn), []byte(text), 1000, 0); err == nil || strings.Contains(strings.ToLower(err.Error()), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzCheck holds that what is let through keeps to what was promised, whatever it is.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{testOld, mixed("\r\nx", "Content-Type: multipart/x; boundary=c\r\n\r\n--c\r\n\r\n--c--"), "\n", "a:b\n\n--"} {
		f.Add([]byte(testOld), []byte(text))
		f.Add([]byte(text), []byte(text))
	}
	f.Fuzz(func(t *testing.T, old, text []byte) {
		own := 0
		if bytes.HasPrefix(old, []byte(testOwn)) {
			own = len(testOwn)
		}
		got, err := check(old, own, text, 1<<20, 0)
		if err != nil {
			if !fault.Is(err, fault.Invalid, fault.Message) {
				t.Fatal(err)
			}
			return
		}
		got = append(slices.Clone(old[:own]), got...)
		for line := range bytes.Lines(got) {
			if len(line) > maxLine || bytes.ContainsAny(bytes.TrimSuffix(line, []byte("\r\n")), "\r\n\x00") {
				t.Fatalf("the line %q", line)
			}
		}
		was, _ := readFields(old[:message.HeaderEnd(old)])
		is, wrong := readFields(got[:message.HeaderEnd(got)])
		if wrong != "" {
			t.Fatal(wrong)
		}
		for _, name := range immutable {
			if a, b := values(was[name]), values(is[name]); !slices.Equal(a, b) && (len(a) > 0 || !slices.Contains(addable, name)) {
				t.Fatalf("%s was %q and is %q", name, a, b)
			}
		}
	})
}
