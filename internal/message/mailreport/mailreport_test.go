package mailreport

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

func gz(text string) string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func zipped(files ...string) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, _ := w.Create(files[i])
		_, _ = f.Write([]byte(files[i+1]))
	}
	_ = w.Close()
	return b.String()
}

// mail is a message with parts: the type with its parameters, and the body.
func mail(parts ...string) []byte {
	var b strings.Builder
	b.WriteString("From: a@b.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n")
	for i := 0; i < len(parts); i += 2 {
		fmt.Fprintf(&b, "--x\r\nContent-Type: %s\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n", parts[i], base64.StdEncoding.EncodeToString([]byte(parts[i+1])))
	}
	b.WriteString("--x--\r\n")
	return []byte(b.String())
}

func TestDocuments(t *testing.T) {
	const xml, json = "<feedback/>", `{"a":1}`
	for name, c := range map[string]struct {
		mail   []byte
		want   []string
		refuse string
	}{
		"gzip":                  {mail: mail("text/plain", "<hello>", "application/gzip", gz(xml)), want: []string{xml}},
		"a zip of the whole":    {mail: []byte("Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(zipped("a!b.xml", xml)))), want: []string{xml}},
		"a zip of several":      {mail: mail("application/x-zip-compressed", zipped("dir/", "", "readme.txt", "x", "a.XML", xml)), want: []string{xml}},
		"a zip of one, unnamed": {mail: mail("application/zip", zipped("report", xml)), want: []string{xml}},
		"plain":                 {mail: mail("text/xml; charset=utf-8", "\xef\xbb\xbf\r\n"+xml), want: []string{xml}},
		"TLS":                   {mail: mail("application/tlsrpt+gzip", gz(json), "application/tlsrpt+json", json), want: []string{json, json}},
		"by its name alone":     {mail: mail("application/x-unheard; name=\"a!b!1!2.xml.gz\"", gz(xml)), want: []string{xml}},
		"the wrong type":        {mail: mail("application/zip", gz(xml), "application/gzip", zipped("x.xml", xml)), want: []string{xml, xml}},
		"junk behind it":        {mail: mail("application/gzip", gz(xml)+"junk"), want: []string{xml}},
		"one of two is broken":  {mail: mail("application/gzip", gz(xml)[:20], "application/gzip", gz(xml)), want: []string{xml}},
		"no more than four":     {mail: mail(strings.Split(strings.Repeat("text/xml|<a/>|", 9)[:9*14-1], "|")...), want: []string{"<a/>", "<a/>", "<a/>", "<a/>"}},
		"nothing":               {mail: mail("text/plain", xml, "image/png", xml), refuse: "no attachment"},
		"not MIME":              {mail: []byte("Subject: x\r\n\r\n<feedback/>\r\n"), refuse: "no attachment"},
		"another thing":         {mail: mail("application/octet-stream", "MZ"), refuse: "neither XML nor JSON"},
		"an empty file":         {mail: mail("application/gzip", ""), refuse: "neither XML nor JSON"},
		"gzip in gzip":          {mail: mail("application/gzip", gz(gz(xml))), refuse: "neither XML nor JSON"},
		"half of it":            {mail: mail("application/gzip", gz(xml)[:20]), refuse: "unexpected EOF"},
		"no archive":            {mail: mail("application/zip", "PK\x03\x04"), refuse: "not a valid zip"},
		"an archive of nothing": {mail: mail("application/zip", zipped("a.txt", "a", "b.txt", "b")), refuse: "no file"},
		"a bomb":                {mail: mail("application/gzip", gz(strings.Repeat("<", MaxUnpacked+1))), refuse: "unpacks to more"},
		"a large attachment":    {mail: mail("text/xml", "<"+strings.Repeat(" ", MaxPacked)), refuse: "an attachment has more"},
		"a large message":       {mail: append(mail("application/gzip", gz(xml)), make([]byte, MaxMessage)...), refuse: "the message has more"},
	} {
		found, err := Documents(c.mail)
		var got []string
		for _, d := range found {
			got = append(got, string(d))
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || (len(got) == 0) != (c.refuse != "") || c.refuse != "" && !strings.Contains(fmt.Sprint(err), c.refuse) {
			t.Errorf("%s: %.100q, %v; want %q or %q", name, got, err, c.want, c.refuse)
		}
	}
}

func TestFileName(t *testing.T) {
	got := FileName("mail.example.org", "example.com", time.Unix(1764028800, 0), time.Unix(1764115199, 0), "0af3", "xml.gz")
	// RFC 9990 section 3.5.
	if want := regexp.MustCompile(`^[a-z0-9.-]+![a-z0-9.-]+![0-9]+![0-9]+(![A-Za-z0-9]+)?\.(xml|xml\.gz)$`); !want.MatchString(got) {
		t.Errorf("%q", got)
	}
}

func TestText(t *testing.T) {
	long := strings.Repeat("ü", MaxText)
	for s, want := range map[string]string{
		" a ": "a", "a\xff\x00b": "a\uFFFD\uFFFDb", long: long[:MaxText], "x" + long: "x" + long[:MaxText-2],
	} {
		if got := Text(s); got != want {
			t.Errorf("%.20q is %d bytes: %.20q", s, len(got), got)
		}
	}
}

func FuzzDocuments(f *testing.F) {
	f.Add(mail("application/gzip", gz("<feedback/>")))
	f.Add(mail("application/zip", zipped("a.xml", "<feedback/>")))
	f.Add(mail("application/tlsrpt+json", "{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := Documents(b)
		if len(found) == 0 && err == nil || len(found) > maxDocuments {
			t.Errorf("%d documents, %v", len(found), err)
		}
		for _, d := range found {
			if len(d) > MaxUnpacked {
				t.Errorf("%d bytes", len(d))
			}
			d.IsJSON()
		}
	})
}
