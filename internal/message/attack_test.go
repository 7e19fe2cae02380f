package message

import (
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// read does all with a message that reading it in a client asks for. It fails the test where that takes long.
func read(t *testing.T, b []byte) (*Structure, Envelope) {
	t.Helper()
	start := time.Now()
	s := Scan(b)
	e := ParseEnvelope(b[:HeaderEnd(b)])
	for i := range s.Parts {
		_ = s.Parts[i].FileName()
		if text := s.PartText(b, i); !utf8.ValidString(text) {
			t.Errorf("part %d has text that is not UTF-8", i)
		}
	}
	if text := s.SearchText(b, 1<<20); !utf8.ValidString(text) || len(text) > 1<<20 {
		t.Errorf("%d bytes to search, UTF-8: %v", len(text), utf8.ValidString(text))
	}
	checkStructure(t, b, s)
	if spent := time.Since(start); spent > 20*time.Second { // the machine may be busy
		t.Errorf("%d bytes took %s", len(b), spent)
	}
	return s, e
}

func TestTenThousandHeaderLines(t *testing.T) {
	const n = 10_000
	for name, header := range map[string]string{
		"fields":              strings.Repeat("X-Field: value\r\n", n),
		"one folded field":    "X-Field: value\r\n" + strings.Repeat("\tfolded\r\n", n),
		"empty fields":        strings.Repeat("X:\r\n", n),
		"lines without colon": strings.Repeat("nonsense\r\n", n),
		"From":                strings.Repeat("From: x@example.com\r\n", n),
		"To of one field":     "To: a@example.com" + strings.Repeat(",\r\n a@example.com", n) + "\r\n",
		"groups":              "To: " + strings.Repeat("g:", n) + "\r\n",
		"comments":            "From: " + strings.Repeat("(", n) + "x@example.com\r\n",
		"quotes":              "To: " + strings.Repeat(`"a\" `, n) + "\r\n",
		"parameters":          "Content-Type: text/plain" + strings.Repeat(";\r\n x=y", n) + "\r\n",
		"pieces of one":       "Content-Type: text/plain; name*0*=utf-8''a" + strings.Repeat("; name*1*=%41", n) + "\r\n",
		"encoded words":       "X: " + strings.Repeat("=?utf-8?Q?=C3?=\r\n ", n) + "\r\n",
		"half encoded words":  "X: " + strings.Repeat("=?utf-8?Q?", n) + "\r\n",
		"references":          "References: " + strings.Repeat("<a@b>\r\n ", n) + "\r\n",
	} {
		b := []byte("Subject: first\r\n" + header + "\r\nbody\r\n")
		s, e := read(t, b)
		p := s.Parts[0]
		if e.Subject != "first" || !strings.HasSuffix(string(b[p.BodyStart:p.End]), "body\r\n") {
			t.Errorf("%s: subject %q, body %.20q", name, e.Subject, b[p.BodyStart:p.End])
		}
	}
}

// Punycode takes time that grows with the square of a label's length: a domain of 60 KB took twelve seconds.
func TestLongInternationalDomain(t *testing.T) {
	var label strings.Builder
	for i := range 20_000 {
		label.WriteRune(rune(0x4e00 + i))
	}
	start := time.Now()
	for _, domain := range []string{
		label.String() + ".example", strings.Repeat(label.String()[:180]+".", 3000) + "example",
		strings.Repeat(label.String()[:150]+".", 4<<20/151) + "example", strings.Repeat(label.String()[:150]+"\u3002", 4<<20/153) + "example",
	} {
		if got := FoldDomain(domain); got != domain {
			t.Errorf("a domain of %d bytes becomes %.80q", len(domain), got)
		}
		if CheckDomain(domain) == nil {
			t.Errorf("a domain of %d bytes is good", len(domain))
		}
	}
	if spent := time.Since(start); spent > 5*time.Second {
		t.Errorf("it took %s", spent)
	}
}

// What is no address took 150 times its size, in a header as large as the message.
func TestAnAddressHasFewWords(t *testing.T) {
	for _, words := range []string{"@", "a ", `""`, "a@", "<@", "<a ", "a [x]"} {
		list := strings.Repeat(words, 4<<20/len(words)) + "@example.com"
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		entries := ParseAddressList(list)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("4 MB of %q take %d KB", words, took>>10)
		}
		if len(entries) != 1 || entries[0].Domain != "" || len(entries[0].Local) <= MaxWords {
			t.Errorf("4 MB of %q are %d addresses, the first %.80q", words, len(entries), entries)
		}
	}
	if e := ParseAddressList(strings.Repeat("a ", 5000) + "<a@example.com>, b@example.com"); len(e) != 2 || e[0].Local+"@"+e[0].Domain != "a@example.com" || e[1].Domain == "" {
		t.Errorf("behind a long name are %.80q", e)
	}
}

// A bomb is a message that becomes far more than it is: in parts, in depth, or in text.
func TestMIMEBombs(t *testing.T) {
	multi := func(n int, part string) string {
		return "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n"+part, n) + "--x--\r\n"
	}
	same := strings.Repeat("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n", 5000)
	long := strings.Repeat("b", 5000)
	for name, text := range map[string]string{
		"deep":                  string(nested(5000)),
		"wide":                  multi(50_000, "\r\n"),
		"one boundary for all":  same,
		"messages in messages":  strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 20_000),
		"wide and deep":         multi(200, string(nested(60))+"\r\n"),
		"a boundary of 5000":    "Content-Type: multipart/mixed; boundary=" + long + "\r\n\r\n" + strings.Repeat("--"+long[:4999]+"\r\n", 500),
		"boundaries like lines": "Content-Type: multipart/mixed; boundary=\"-\"\r\n\r\n" + strings.Repeat("-----------------------------\r\n", 20_000),
		"no boundary":           "Content-Type: multipart/mixed\r\n\r\n" + strings.Repeat("--\r\n", 20_000),
		"partial messages":      multi(500, "Content-Type: message/partial; id=x; number=1; total=2\r\n\r\nContent-Type: message/rfc822\r\n\r\n"),
		"open tags":             "Content-Type: text/html\r\n\r\n" + strings.Repeat("<a ", 50_000),
		"open comments":         "Content-Type: text/html\r\n\r\n" + strings.Repeat("<!--", 50_000),
		"open scripts":          "Content-Type: text/html\r\n\r\n" + strings.Repeat("<script>", 50_000),
		"character references":  "Content-Type: text/html\r\n\r\n" + strings.Repeat("&amp", 50_000) + strings.Repeat("&#x41;", 50_000),
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := read(t, []byte(text))
			if len(s.Parts) > 2*MaxParts {
				t.Errorf("%d parts", len(s.Parts))
			}
			if coded := len(s.AppendBinary(nil)); coded > 3*len(text)+1000 {
				t.Errorf("%d bytes have a table of %d", len(text), coded)
			}
		})
	}
}

// What is encoded twice is decoded once, and what is encoded in a place where nothing may be stays as it is: else two readers see
// different messages.
func TestNestedEncodings(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	inner := "=?utf-8?B?" + b64("inner") + "?="
	for in, want := range map[string]string{
		"=?utf-8?B?" + b64(inner) + "?=":                                 inner,
		"=?utf-8?Q?=3D=3Futf-8=3FQ=3Finner=3F=3D?=":                      "=?utf-8?Q?inner?=",
		"=?utf-8?Q?=3D?= =?utf-8?Q?=3Futf-8=3FQ=3Fx=3F=3D?=":             "=?utf-8?Q?x?=", // only together it looks like a word
		"=?utf-8?Q?=?utf-8?Q?a?=?=":                                      "=?utf-8?Q?a?=",
		"=?utf-8?B?" + b64("a\r\nBcc: x@example.com") + "?=":             "a\r\nBcc: x@example.com",
		"=?utf-7?Q?+ADw-script+AD4-?=":                                   "+ADw-script+AD4-", // UTF-7 is no charset any more
		"=?iso-2022-jp?B?" + b64("\x1b$B=?utf-8?Q?a?=") + "?= =?x?Q?b?=": DecodeWords("=?iso-2022-jp?B?"+b64("\x1b$B=?utf-8?Q?a?=")+"?=") + "b",
	} {
		if got := DecodeWords(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	// A word whose text holds a line break begins no field, whoever shows it.
	_, e := read(t, []byte("Subject: =?utf-8?Q?a=0D=0ABcc:_x@example.com?=\r\nTo: =?utf-8?B?"+b64("b@example.com, c")+"?= <a@example.com>\r\n\r\n"))
	if len(e.Bcc) != 0 || len(e.To) != 1 || strings.ContainsAny(e.Subject, "\r\n") {
		t.Errorf("envelope %+v", e)
	}
	// Multiparts and messages have no encoding but 7bit, 8bit and binary (RFC 2045 section 6.4): what says it has is a leaf, or is read as
	// it stands; it is never decoded into parts.
	hidden := "Content-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\nContent-Type: application/x-msdownload; name=bad.exe\r\n\r\n--y--\r\n"
	for _, kind := range []string{"message/rfc822", "multipart/mixed; boundary=y"} {
		for _, encoding := range []string{"base64", "quoted-printable", "x-uuencode"} {
			b := fmt.Appendf(nil, "Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n%s\r\n", kind, encoding, b64(hidden))
			s, _ := read(t, b)
			for i := range s.Parts {
				if s.Parts[i].FileName() != "" {
					t.Errorf("%s in %s: part %d has the name %q", kind, encoding, i, s.Parts[i].FileName())
				}
			}
		}
	}
	// Text encoded a hundred times is decoded once.
	text := "end"
	for range 100 {
		if text = b64(text); len(text) > 1<<20 {
			break
		}
	}
	b := []byte("Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + text)
	s, _ := read(t, b)
	if once, err := base64.StdEncoding.DecodeString(text); err != nil || s.PartText(b, 0) != string(once) {
		t.Errorf("decoded to %.40q, %v", s.PartText(b, 0), err)
	}
	// Names in pieces, encoded, and encoded in pieces.
	for in, want := range map[string]string{
		`name="=?utf-8?Q?=3D=3Futf-8=3FQ=3Fa=3F=3D?="`:  "=?utf-8?Q?a?=",
		`name*0="=?utf-8?Q?"; name*1="a?="`:             "a",
		`name*=utf-8''%253d`:                            "%3d",
		`name*=utf-8''..%2f..%2fetc%2fpasswd`:           "../../etc/passwd",
		`name="a.txt"; name*=utf-8''b%0d%0aX:%20y.exe`:  "b\r\nX: y.exe",
		`name*1=b; name*0=a; name*2*=%63; name*4=never`: "abc",
	} {
		b := []byte("Content-Type: application/octet-stream; " + in + "\r\n\r\nx")
		s, _ := read(t, b)
		if got := s.Parts[0].FileName(); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// Whatever a charset is called, and whatever stands in it, there is a text, in UTF-8, that is not much longer.
func TestBrokenCharsets(t *testing.T) {
	texts := map[string]string{
		"all bytes": func() string {
			var b strings.Builder
			for i := range 256 {
				b.WriteByte(byte(i))
			}
			return b.String()
		}(),
		"half a character": "a\xe3\x81", "overlong": "\xc0\xaf\xe0\x80\xaf", "surrogates": "\xed\xa0\x80\xed\xb0\x80", "beyond Unicode": "\xf4\x90\x80\x80\xff",
		"odd UTF-16": "\xff\xfea", "lone surrogates of UTF-16": "\x00\xd8\x00\xd8", "a mark in the middle": "a\xff\xfe\xfe\xff",
		"escapes that never end": "\x1b$B\x1b$B\x1b(J\x1b", "unknown escapes": "\x1b[31m\x1b$Z", "half of two bytes": "\x81", "HZ that never ends": "~{VPND",
		"NUL": "a\x00b", "GB18030": "\x81\x30\x81\x30\x84\x31\xa4\x37", "empty": "",
	}
	for _, charset := range []string{
		"utf-8", "us-ascii", "", "utf-16", "utf-16le", "utf-16be", "utf-7", "utf-32", "iso-2022-jp", "iso-2022-kr", "iso-2022-cn", "euc-jp", "shift_jis", "gb18030", "gb2312", "big5",
		"hz-gb-2312", "euc-kr", "koi8-r", "windows-1252", "iso-8859-8-i", "x-user-defined", "replacement", "no-such", "utf-8\x00", "../../utf-8", "%s%n", strings.Repeat("x", 10_000), "\xff\xfe",
	} {
		for name, text := range texts {
			got := DecodeCharset(charset, []byte(text))
			if !utf8.ValidString(got) || len(got) > 4*len(text)+8 {
				t.Errorf("%.20q, %s: %q", charset, name, got)
			}
			read(t, []byte("Subject: =?"+charset+"?B?"+base64.StdEncoding.EncodeToString([]byte(text))+"?=\r\nContent-Type: text/plain; charset=\""+charset+"\"\r\n\r\n"+text))
		}
	}
	for in, want := range map[string]string{"a\xe3\x81": "aã\uFFFD", "\xc0\xaf": "À¯"} { // what is not UTF-8 is read as Windows-1252
		if got := DecodeCharset("utf-8", []byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
