package message

import (
	"reflect"
	"testing"
)

func TestParseParams(t *testing.T) {
	for in, want := range map[string]struct {
		main   string
		params []Param
	}{
		`text/plain; charset="us-ascii" (Plain text)`:       {"text/plain", []Param{{"charset", "us-ascii"}}},
		`text/plain (Plain) ; Charset=UTF-8`:                {"text/plain", []Param{{"charset", "UTF-8"}}},
		`attachment; filename=my file(1).pdf; size=3`:       {"attachment", []Param{{"filename", "my file(1).pdf"}, {"size", "3"}}},
		`a/b; name="a;b\"c"; x=y`:                           {"a/b", []Param{{"name", `a;b"c`}, {"x", "y"}}},
		`a/b; name="never closed; x=y`:                      {"a/b", []Param{{"name", "never closed"}, {"x", "y"}}},
		`a/b;;; ;x=1;=2;novalue; y`:                         {"a/b", []Param{{"x", "1"}}},
		`a/b; filename*0*=utf-8''%e2; filename*1="%x rest"`: {"a/b", []Param{{"filename*0*", "utf-8''%e2"}, {"filename*1", "%x rest"}}},
		`a/b; x=(comment)1`:                                 {"a/b", []Param{{"x", "(comment)1"}}},
		``:                                                  {"", nil},
	} {
		main, params := ParseParams(in)
		if main != want.main || !reflect.DeepEqual(params, want.params) {
			t.Errorf("ParseParams(%q) = %q, %q; want %q, %q", in, main, params, want.main, want.params)
		}
	}
}

func TestDecodeParam(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"RFC 2231 4.1":            {`x; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2="isn't it!"`, "This is even more ***fun*** isn't it!"},
		"RFC 2231 4":              {`x; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A`, "This is ***fun***"},
		"continued, plain":        {`x; title*0="a"; title*1="b"`, "ab"},
		"out of order":            {`x; title*1="b"; title*0="a"`, "ab"},
		"a missing piece":         {`x; title*0="a"; title*2="c"`, "a"},
		"twice":                   {`x; title*0="a"; title*0="b"`, "a"},
		"extended goes first":     {`x; title=plain; title*=utf-8''%C3%A9`, "é"},
		"charset":                 {`x; title*=iso-8859-1''%E9`, "é"},
		"broken escapes":          {`x; title*=utf-8''%C3%A9%zz%`, "é%zz%"},
		"no charset":              {`x; title*=abc`, "abc"},
		"another with its prefix": {`x; titles=no; title=yes`, "yes"},
		"none":                    {`x; y=z`, ""},
	} {
		_, params := ParseParams(c.in)
		if got := DecodeParam(params, "title"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestPartDescription(t *testing.T) {
	b := crlf(`Content-Type: TEXT/HTML; charset=UTF-8; name="=?utf-8?q?a=C3=A9?="
Content-Transfer-Encoding: Base64 (really)
Content-ID: <1@x>
Content-Description: what
Content-Disposition: ATTACHMENT; filename*=utf-8''%C3%A9.txt
Content-Language: de, en-GB
Content-Location: http://x/
Content-MD5: abc=
Content-Type: text/second

x`)
	p := Scan(b).Parts[0]
	if p.Type != "text" || p.Subtype != "html" || p.Encoding != "base64" || p.ID != "<1@x>" || p.Description != "what" || p.Disposition != "attachment" ||
		!reflect.DeepEqual(p.Language, []string{"de", "en-GB"}) || p.Location != "http://x/" || p.MD5 != "abc=" || p.Param("charset") != "UTF-8" || p.FileName() != "é.txt" {
		t.Errorf("%+v, file %q", p, p.FileName())
	}
	p.DispositionParams = nil
	if got := p.FileName(); got != "aé" {
		t.Errorf("file name from an encoded word: %q", got)
	}
	for in, want := range map[string]string{
		"text": "text/plain", "multipart; boundary=x": "multipart/mixed", "image": "application/octet-stream", "/x": "application/octet-stream",
		"": "text/plain", "garbage garbage": "application/octet-stream", "Text / Html": "text/html", "text/plain charset=x": "text/plain",
	} {
		p := Scan([]byte("Content-Type: " + in + "\r\n\r\n")).Parts[0]
		if got := p.Type + "/" + p.Subtype; got != want {
			t.Errorf("type %q reads as %s, want %s", in, got, want)
		}
	}
}
