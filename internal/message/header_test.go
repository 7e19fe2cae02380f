package message

import (
	"slices"
	"testing"
)

func TestFields(t *testing.T) {
	header := crlf("From ann@example.com Mon Jan  1\n folded under it\nSubject : one\n two\n\tthree\nno colon\n: no name\nX:\nÄ: 8-bit name\nto: a,\n b\n\nBody: no\n")
	var got []string
	for f := range Fields(header) {
		got = append(got, string(f.Name)+"="+f.Value())
		if string(header[f.Start:f.End]) != string(f.Name)+string(header[f.Start+len(f.Name):f.End]) {
			t.Errorf("field %q does not begin at its offset", f.Name)
		}
	}
	want := []string{"Subject=one two\tthree", "X=", "to=a, b"}
	if !slices.Equal(got, want) {
		t.Errorf("fields %q, want %q", got, want)
	}
}

func TestValueHoldsNothingThatBreaksALine(t *testing.T) {
	v, ok := FirstValue([]byte("A: a\x00b\rc\r\n d \xff \r\n"), "a")
	if !ok || v != "abc d \xff" {
		t.Errorf("value %q, %v", v, ok)
	}
}

func TestAppendFields(t *testing.T) {
	header := crlf("Subject: s\nfrom: a\n b\njunk\nX-Y: z\n\n")
	for _, c := range []struct {
		names []string
		not   bool
		want  string
	}{
		{[]string{"SUBJECT", "From"}, false, "Subject: s\r\nfrom: a\r\n b\r\n\r\n"},
		{[]string{"Subject"}, true, "from: a\r\n b\r\nX-Y: z\r\n\r\n"},
		{[]string{"none"}, false, "\r\n"},
	} {
		if got := string(AppendFields(nil, header, c.names, c.not)); got != c.want {
			t.Errorf("%v not=%v: %q, want %q", c.names, c.not, got, c.want)
		}
	}
	if got := string(AppendFields(nil, []byte("Subject: cut"), []string{"subject"}, false)); got != "Subject: cut\r\n\r\n" {
		t.Errorf("a header cut off gives %q", got)
	}
}

func TestHeaderEnd(t *testing.T) {
	for in, want := range map[string]int{"": 0, "a: b": 4, "a: b\r\n\r\nx": 8, "a: b\n\nx": 6, "\r\nx": 2, "a\r\n \r\n\r\nx": 8} {
		if got := HeaderEnd([]byte(in)); got != want {
			t.Errorf("HeaderEnd(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestWithoutFields(t *testing.T) {
	header := crlf("junk\nBcc: a,\n b\nSubject: s\nbCC : c\nX: y\n\n")
	if got, want := string(WithoutFields(header, "bcc")), "junk\r\nSubject: s\r\nX: y\r\n\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := string(WithoutFields([]byte("Bcc: x"), "bcc")); got != "" {
		t.Errorf("a header cut off gives %q", got)
	}
}
