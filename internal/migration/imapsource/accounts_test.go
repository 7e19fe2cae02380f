package imapsource

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseAccounts(t *testing.T) {
	const head = "address,user,password\n"
	for _, c := range []struct {
		name, text string
		want       []Account
		wrong      string
	}{
		{"plain", head + "a@x,ann,pw\nb@x,bob,p w \n", []Account{{"a@x", "ann", "pw"}, {"b@x", "bob", "p w "}}, ""},
		{"comments, a byte order mark, quotes", "\ufeff# a comment, with commas,,\r\nAddress,USER,Password\r\n#x\r\na@x,ann,\"s,e\"\"cret\"\r\n", []Account{{"a@x", "ann", `s,e"cret`}}, ""},
		{"two sources for one", head + "a@x,ann,pw\na@x,ann2,pw\n", []Account{{"a@x", "ann", "pw"}, {"a@x", "ann2", "pw"}}, ""},
		{"nothing", "", nil, "no accounts"},
		{"no header", "a@x,ann,hush\n", nil, "line 1: the first line"},
		{"too few", head + "a@x,hush\n", nil, "line 2: it has 2 fields"},
		{"no password", head + "a@x,hush,\n", nil, "line 2: password is empty"},
		{"twice", head + "a@x,ann,hush\nA@x,ann,hush2\n", nil, "line 3: the same account"},
		{"a line break", head + "a@x,ann,\"hu\nsh\"\n", nil, "characters"},
		{"an open quote", head + "a@x,ann,\"hush\n", nil, "line 2"},
		{"bytes", head + "a@x,ann,hush\xff\n", nil, "characters"},
	} {
		got, err := ParseAccounts([]byte(c.text))
		if !slices.Equal(got, c.want) || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: the error tells what the line holds: %v", c.name, err)
		}
	}
}

func TestReadAccountsOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts")
	if err := os.WriteFile(path, []byte("address,user,password\na,b,c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadAccounts(path); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadAccounts(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func FuzzParseAccounts(f *testing.F) {
	f.Add([]byte("address,user,password\na@x,ann,\"p,w\"\n# no\n"))
	f.Add([]byte("\ufeffaddress,user,password\r\n\"a\"\"\",b,c"))
	f.Fuzz(func(t *testing.T, text []byte) {
		accounts, err := ParseAccounts(text)
		if (err == nil) != (len(accounts) > 0) {
			t.Fatalf("%d accounts, %v", len(accounts), err)
		}
		for _, a := range accounts {
			if a.User == "" || a.Password == "" || strings.ContainsAny(a.User+a.Password+a.Address, "\r\n\x00") {
				t.Fatalf("%+v", a)
			}
		}
	})
}
