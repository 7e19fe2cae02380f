package message

import "testing"

func TestSearchText(t *testing.T) {
	b := crlf(`Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

caf=E9
--x
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PHA+aGVsPGI+bG88L2I+PC9wPndvcmxk
--x
Content-Type: application/pdf

secret
--x
Content-Type: message/rfc822

Subject: =?utf-8?Q?inn=C3=A9r?=

deep
--x--
`)
	s := Scan(b)
	if got, want := s.SearchText(b, 1000), "café\nhello world\ninnér\ndeep"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := s.SearchText(b, 4); got != "caf" {
		t.Errorf("cut at 4 bytes: %q", got)
	}
}

func TestHTMLText(t *testing.T) {
	for in, want := range map[string]string{
		"<p>a</p><p>b</p>": "a b",
		"w<b>or</b>d":      "word",
		"<style>p{}</style>x<script>if (a<b) c</script>y": "x y",
		"<SCRIPT>never ends":                              "",
		"<!-- <p> -->x":                                   "x",
		"<!-- never":                                      "",
		"1 < 2 &amp; 3 &gt; 2&nbsp;&eacute;":              "1 < 2 & 3 > 2 é",
		`<a title="a>b" href=x>link</a>`:                  "link",
		`<a title="never>closed`:                          "closed",
		"<!DOCTYPE html><html>x":                          "x",
		"x<br/>y<":                                        "x y<",
	} {
		if got := HTMLText(in); got != want {
			t.Errorf("HTMLText(%q) = %q, want %q", in, got, want)
		}
	}
}
