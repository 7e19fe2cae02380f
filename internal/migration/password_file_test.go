package migration_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/migration"
)

func TestReadPasswords(t *testing.T) {
	text := "\uFEFFUser,Password\r\n" +
		"ann, spaced Pa$$w0rd \r\n" +
		"\r\n" +
		"bob@acme.example,\"with, comma and \"\"quote\"\"\"\r\n" +
		"secretalone\r\n" +
		"carl,pa,ss\r\n" +
		",nobody's\r\n" +
		"dora,pa\"ss\r\n" +
		"\"eve\nand\",lines\n" +
		"fred,last"
	got, err := migration.ReadPasswords(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []migration.PasswordLine{
		{Line: 2, User: "ann", Password: " spaced Pa$$w0rd "},
		{Line: 4, User: "bob@acme.example", Password: `with, comma and "quote"`},
		{Line: 5, Problem: "1 fields"},
		{Line: 6, Problem: "3 fields"},
		{Line: 7, Problem: "no user"},
		{Line: 8, Problem: "not CSV"},
		{Line: 9, User: "eve\nand", Password: "lines"},
		{Line: 11, User: "fred", Password: "last"},
	}
	same := func(a, b migration.PasswordLine) bool {
		return a.Line == b.Line && a.User == b.User && a.Password == b.Password && strings.Contains(a.Problem, b.Problem) && (b.Problem == "") == (a.Problem == "")
	}
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got, err := migration.ReadPasswords(strings.NewReader("user,password\n")); err != nil || len(got) != 0 {
		t.Errorf("a heading alone: %+v, %v", got, err)
	}
	if _, err := migration.ReadPasswords(strings.NewReader(strings.Repeat("a,b\n", migration.MaxPasswordLines+1))); err == nil {
		t.Error("too many lines are read")
	}
}

func FuzzReadPasswords(f *testing.F) {
	for _, seed := range []string{"user,password\nann,x\n", "a,\"b\n", "\uFEFF\"a\"\"\",b\r\n\r\nc", ",,,\n\"\x00\xff", "a\rb,c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := migration.ReadPasswords(strings.NewReader(text))
		if err != nil {
			return
		}
		last := 0
		for _, l := range lines {
			if l.Line <= last || l.Line > 1+strings.Count(text, "\n") {
				t.Errorf("line %d behind line %d", l.Line, last)
			}
			last = l.Line
			if (l.User == "") != (l.Problem != "") || l.Problem != "" && l.Password != "" {
				t.Errorf("the line is %+v", l)
			}
		}
	})
}
