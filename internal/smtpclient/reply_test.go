package smtpclient

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func parse(s string) (Reply, error) {
	return readReply(bufio.NewReaderSize(strings.NewReader(s), 2*maxReplyLine))
}

func TestReplies(t *testing.T) {
	for s, want := range map[string]Reply{
		"250 2.1.0 ok\r\n":       {250, "2.1.0", "2.1.0 ok"},
		"250 ok\n":               {250, "2.0.0", "ok"},
		"250\r\n":                {250, "2.0.0", ""},
		"250 \r\n":               {250, "2.0.0", ""},
		"354 go 5.1.1\r\n":       {354, "", "go 5.1.1"},
		"550 5.1.1\r\n":          {550, "5.1.1", "5.1.1"},
		"550 4.1.1 mixed up\r\n": {550, "5.0.0", "4.1.1 mixed up"},
		"550 5.1.01 x\r\n":       {550, "5.0.0", "5.1.01 x"},
		"550 5.1.1234 x\r\n":     {550, "5.0.0", "5.1.1234 x"},
		"550 5.1 x\r\n":          {550, "5.0.0", "5.1 x"},
		"421 bye\r\n":            {421, "4.3.2", "bye"},
		"452 full\r\n":           {452, "4.3.1", "full"},
		"556 none\r\n":           {556, "5.1.10", "none"},
		"550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 x\r\n": {550, "5.7.1", "5.7.1 one\n5.7.1 two\n5.7.1 x"},
		"550 a\tb\x00c\xffd\x1b[1m\u0085\u2028é\r\n":        {550, "5.0.0", "a?b?c?d?[1m??é"},
	} {
		got, err := parse(s)
		if err != nil || got != want {
			t.Errorf("%q is read as %+v, %v", s, got, err)
		}
	}
	for code, want := range map[int]string{
		200: "2.0.0", 451: "4.0.0", 454: "4.7.0", 500: "5.5.2", 501: "5.5.4", 503: "5.5.1", 530: "5.7.0", 535: "5.7.8", 550: "5.0.0", 551: "5.1.6",
		552: "5.2.2", 553: "5.1.3", 555: "5.5.4",
	} {
		if got := status(code, "x"); got != want {
			t.Errorf("%d is %s, wanted %s", code, got, want)
		}
	}
	r, _ := parse("550-5.7.1 one\r\n550-5.7.1 two\r\n550 three\r\n")
	if got := r.String(); got != "550 5.7.1 one two three" {
		t.Error(got)
	}
	if got := (Reply{Code: 250}).String(); got != "250" {
		t.Error(got)
	}
}

// FuzzReply reads any bytes as a reply. One that is read is of bounded length, can be shown to anybody, and has a status of its class.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 2.1.0 ok\r\n", "250-a\r\n250 b\r\n", "550-5.7.1 one\n550 5.7.1 two\n", "354\r\n", "421 \xff\x00\r\n", "250-" + strings.Repeat("x", 2100) + "\r\n", "25"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bufio.NewReaderSize(bytes.NewReader(b), 2*maxReplyLine)
		r, err := readReply(in)
		if err != nil {
			if r != (Reply{}) {
				t.Fatalf("%+v, %v", r, err)
			}
			return
		}
		shown := strings.ContainsFunc(strings.ReplaceAll(r.Text, "\n", ""), unicode.IsControl) || !utf8.ValidString(r.Text) || strings.Contains(r.String(), "\n")
		if r.Code < 200 || r.Code > 599 || len(r.Text) > maxReply || strings.Count(r.Text, "\n") >= maxReplyLines || shown {
			t.Fatalf("%q is read as %+v", b, r)
		}
		if r.Code/100 == 3 != (r.Status == "") || r.Status != "" && (!isStatus(r.Status) || int(r.Status[0]-'0') != r.Code/100) {
			t.Fatalf("%q has status %q", b, r.Status)
		}
	})
}
