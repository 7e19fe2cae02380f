package route

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// theExample is the policy of RFC 8461 appendix A.
const theExample = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n"

func TestParseSTS(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(theExample, "\r", "")), "\n")
	example := &STSPolicy{
		mode: STSEnforce, mx: []string{"mail.example.com", "*.example.net", "backupmx.example.com"}, age: 604800 * time.Second, lines: lines,
	}
	for body, want := range map[string]*STSPolicy{
		theExample:                                 example,
		strings.ReplaceAll(theExample, "\r", ""):   example,
		"version: STSv1\nmode: none\nmax_age: 0\n": {mode: STSNone, age: minAge, lines: []string{"version: STSv1", "mode: none", "max_age: 0"}},
		"max_age:99999999999\nmx : MX.Example.COM.\nmode\t:testing  \nversion:STSv1": {
			mode: STSTesting, age: maxAge, mx: []string{"mx.example.com"},
			lines: []string{"max_age:99999999999", "mx : MX.Example.COM.", "mode\t:testing", "version:STSv1"},
		},
		"version: STSv1\nmode: testing\nmode: enforce\nmx: bücher.example\nmax_age: 600\nmax_age: x\nnew-field: x": {
			mode: STSTesting, age: 600 * time.Second, mx: []string{"xn--bcher-kva.example"},
			lines: []string{"version: STSv1", "mode: testing", "mode: enforce", "mx: bücher.example", "max_age: 600", "max_age: x", "new-field: x"},
		},
		"":              nil,
		"<html></html>": nil,
		"version: STSv2\nmode: none\nmax_age: 600":                             nil,
		"version: STSv1\nmode: strict\nmx: a.example\nmax_age: 600":            nil,
		"version: STSv1\nmode: enforce\nmx: a.example":                         nil,
		"version: STSv1\nmode: enforce\nmax_age: 600":                          nil,
		"version: STSv1\nmode: enforce\nmx: a.example\nmax_age: -1":            nil,
		"version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 1d":            nil,
		"version: STSv1\nmode: enforce\nmx: *\nmax_age: 600":                   nil,
		"version: STSv1\nmode: enforce\nmx: a.*.example\nmax_age: 600":         nil,
		"version: STSv1\nmode: enforce\nmx:\nmax_age: 600":                     nil,
		"version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 600\nnonsense": nil,
		"version: STSv1\nmode: none\nmax_age: 600\nx: \xff":                    nil,
		"version: STSv1\nmode: none\nmax_age: 600\nx: \x00":                    nil,
	} {
		got, err := parseSTS(body)
		if (err == nil) != (want != nil) || want != nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v; want %+v", body, got, err, want)
		}
	}
}

func TestSTSPatterns(t *testing.T) {
	p := &STSPolicy{mx: []string{"mail.example.com", "*.example.net"}}
	for host, want := range map[string]bool{
		"mail.example.com": true, "mail2.example.com": false, "a.mail.example.com": false,
		"a.example.net": true, "example.net": false, "a.b.example.net": false, ".example.net": false, "aexample.net": false, "": false,
	} {
		if got := p.Matches(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

func TestParseSTSRecord(t *testing.T) {
	for _, c := range []struct {
		records []string
		id      string
	}{
		{[]string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z"}, // RFC 8461 appendix A
		{[]string{"v=STSv1;id=1"}, "1"},
		{[]string{"v=spf1 -all", "v=STSv1 ; x=y; id = 1 ; id=2"}, "1"},
		{[]string{"v=STSv1; id=1", "v=STSv1; id=1"}, ""},
		{[]string{"v=STSv1;"}, ""},
		{[]string{"v=STSv1"}, ""},
		{[]string{"v=STSv2; id=1"}, ""},
		{[]string{"v=STSv1; id=a-b"}, ""},
		{[]string{"v=STSv1; id=" + strings.Repeat("1", 33)}, ""},
		{[]string{" v=STSv1; id=1"}, ""},
		{nil, ""},
	} {
		if id, ok := ParseSTSRecord(c.records); id != c.id || ok != (c.id != "") {
			t.Errorf("%q: %q, %v", c.records, id, ok)
		}
	}
}

func FuzzParseSTS(f *testing.F) {
	f.Add(theExample)
	f.Add("version: STSv1\nmode: none\nmax_age: 0")
	f.Fuzz(func(t *testing.T, body string) {
		p, err := parseSTS(body)
		if err != nil {
			return
		}
		if p.age < minAge || p.age > maxAge || !utf8.ValidString(body) || p.mode != STSNone && len(p.mx) == 0 {
			t.Errorf("%q gives %+v", body, p)
		}
		again, err := parseSTS(strings.Join(p.lines, "\n"))
		if err != nil || again.mode != p.mode || again.age != p.age || !slices.Equal(again.mx, p.mx) {
			t.Errorf("the lines of %q give %+v, %v", body, again, err)
		}
	})
}

func FuzzParseSTSRecord(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z;")
	f.Fuzz(func(t *testing.T, record string) {
		id, ok := ParseSTSRecord([]string{record})
		if ok && (id == "" || len(id) > 32 || !strings.Contains(record, id)) {
			t.Errorf("%q gives %q", record, id)
		}
	})
}
