package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/message/sieve"
	"github.com/pennypost/pennypost/test/harness"
)

// The scripts here run in Pigeonhole and in internal/message/sieve, and must do the same in both. They leave out where Pigeonhole 0.5.19 does
// not do what the RFCs say:
//   - the test "string" compares by "i;octet" there where it names no comparator (RFC 5228 section 2.7.3 says "i;ascii-casemap")
//   - "i;ascii-casemap" orders by lower case (RFC 4790 section 9.2.1 says upper), which differs for "_" and "["
//   - "i;ascii-numeric" has the empty string equal to no other that is no number (RFC 4790 section 9.1.1)
//   - ":count" with ":index" counts 0 for a field that stands once
//   - ":index" is forgotten where ":zone" or ":originalzone" follows
//   - variables of a namespace that no extension has are taken (RFC 5229 section 3)

const (
	sieveFrom = "tim@example.com"
	sieveTo   = "ann+lists@example.org"
)

var sieveMessages = []string{
	"Date: Tue, 1 Apr 1997 09:06:31 -0800 (PST)\nFrom: coyote@desert.example.org\nTo: roadrunner@acme.example.com\nSubject: I have a present for you\n\n" +
		"Look, I'm sorry about the whole anvil thing.\n",
	"From: \"Tim, the (Enchanter)\" <tim@Example.COM>\nTo: ann@example.org (Ann), Friends: bob@example.org, \"odd one\"@example.net;\nCc: Ann+work@example.org\n" +
		"Subject:   =?utf-8?Q?Gr=C3=BC=C3=9Fe?= =?iso-8859-1?B?5A==?= and\n more  \nX-Count: 0012\nX-Empty:\nX-Star: a*b?c\\d\n" +
		"Received: from a; Mon, 1 Jan 2024 10:00:00 +0000\nReceived: from b; Sun, 31 Dec 2023 23:30:00 -0500\nDate: Mon, 01 Jan 2024 11:00:00 +0100\n\nbody\n",
	"From: list@example.net\nSender: owner-list@example.net\nList-Id: A list <list.example.net>\nTo: list@example.net\nSubject: [list] [fwd] version 1.0 is out\n" +
		"X-Count: 9\nX-Count: abc\nContent-Type: multipart/mixed; boundary=outer\n\nprologue MIME\n--outer\nContent-Type: multipart/alternative; boundary=inner\n\n" +
		"nested MIME\n--inner\nContent-Type: text/plain; charset=us-ascii\n\nHello text\n--inner\nContent-Type: text/html\n\n<html><body>Hello <b>html</b></body></html>\n" +
		"--inner--\n\n--outer\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: base64\n\nR3L832U=\n--outer\n" +
		"Content-Type: application/x-thing\nContent-Transfer-Encoding: quoted-printable\n\nthing =3D 1\n--outer--\nepilogue\n",
}

// sieveRequire requires what both have.
const sieveRequire = `require ["body", "comparator-i;ascii-numeric", "copy", "date", "editheader", "encoded-character", "envelope", "fileinto", "imap4flags",
	"index", "mailbox", "reject", "relational", "subaddress", "vacation", "vacation-seconds", "variables"];
`

// sieveTests are one each of what a script can ask.
var sieveTests = []string{
	`true`, `not false`, `anyof (false, true)`, `allof (true, false)`,
	`size :over 300`, `size :under 1K`, `exists ["From", "To"]`, `exists ["From", "Cc"]`, `exists "x-empty"`,
	`header "subject" "Grüßeä and more"`, `header :is "x-empty" ""`, `header :contains "x-empty" ""`, `header :contains "x-none" ""`, `header "" ""`,
	`header :matches "subject" "[*] *"`, `header :matches "x-star" "a\\*b\\?c\\\\d"`, `header :matches "x-star" "a*b?*"`,
	`header :comparator "i;octet" :contains "subject" "present"`, `header :comparator "i;octet" :contains "subject" "PRESENT"`,
	`header :count "ge" :comparator "i;ascii-numeric" ["received", "subject"] ["3"]`, `header :count "eq" "x-none" "0"`,
	`header :value "lt" :comparator "i;ascii-numeric" "x-count" "10"`, `header :value "gt" :comparator "i;ascii-numeric" "x-count" "10"`,
	`header :comparator "i;octet" :value "ge" "subject" "I"`, `header :is :comparator "i;ascii-numeric" "x-count" "12"`, `header :is :comparator "i;ascii-numeric" "x-count" "xyz"`,
	`header :index 2 "received" "from b; Sun, 31 Dec 2023 23:30:00 -0500"`, `header :index 1 :last :contains "received" "from b"`, `header :index 3 :contains "received" ""`,
	`address :all "from" "TIM@example.com"`, `address :localpart "from" "coyote"`, `address :domain ["to", "cc"] "example.org"`, `address :user "cc" "ann"`,
	`address :detail "cc" "work"`, `address :detail "from" ""`, `address :matches "to" "*@*.*"`, `address :contains "from" "enchanter"`, `address :localpart "to" "odd one"`,
	`address :count "ge" :comparator "i;ascii-numeric" ["to", "cc"] "3"`, `address :contains "to" "Friends"`, `address :index 1 :last ["to", "cc"] "ann+work@example.org"`,
	`envelope "from" "tim@example.com"`, `envelope :domain "to" "example.org"`, `envelope :detail "to" "lists"`, `envelope :user "to" "ann"`, `envelope :count "eq" ["from", "to"] "2"`,
	`string :matches "foo-bar-baz" "*-*"`, `string :matches "abcdef" "?b*?f"`, `string :comparator "i;ascii-casemap" :matches "coyote@ACME.Example.COM" "coyote@**.com"`, `string "" ""`, `string " a" "a"`,
	`string :count "eq" ["", "a", "b"] "2"`, `string :matches "" "?"`, `string :matches "" "**"`, `string :comparator "i;octet" :value "gt" "_" "a"`, `string :matches "aab" "*ab"`,
	`string "$${hex:24 24}" "$$$"`, `string "${unicode:fc}" "ü"`, `string :comparator "i;ascii-casemap" :contains "ABC" ["x", "bc"]`, `string :matches "a.b.c" "*.*"`, `string :matches "x" "\\x"`,
	`body :raw :contains "--outer"`, `body :raw :contains "R3L832U="`, `body :text :contains "Hello text"`, `body :text :contains "Grüße"`, `body :content "text" :contains "Grüße"`,
	`body :content "text/html" :contains "<b>html"`, `body :content "application" :contains "thing = 1"`, `body :content "text" :contains "MIME"`, `body :content "image" :contains ""`,
	`body :content "text/" :contains ""`, `body :contains "anvil"`, `body :matches "*anvil*"`, `body :contains "html"`,
	`date :zone "+0000" "date" "hour" "10"`, `date :originalzone "date" "hour" "11"`, `date :zone "-0130" "date" "time" "08:30:00"`, `date :originalzone "received" "day" "01"`,
	`date :zone "+0000" :index 2 "received" "iso8601" "2024-01-01T04:30:00Z"`, `date :originalzone "date" "weekday" "1"`, `date :zone "+0000" "date" "julian" "60310"`,
	`date :originalzone "date" "zone" "+0100"`, `date :originalzone "date" "date" "1997-04-01"`, `date :count "eq" "x-none" "year" "0"`, `date :value "ge" :zone "+0000" "date" "year" "2000"`,
	`hasflag "b A"`, `hasflag :contains "flags" "junk"`, `hasflag :count "ge" :comparator "i;ascii-numeric" "flags" "3"`, `hasflag "x"`, `hasflag :matches "flags" "$*"`,
}

// sieveScripts are whole scripts.
var sieveScripts = []string{
	``, `stop; discard;`, `discard;`, `keep; keep; fileinto "INBOX";`, `redirect "bart@example.com"; keep;`, `redirect :copy "bart@example.com";`,
	`fileinto "a"; fileinto "b"; fileinto "a";`, `fileinto :copy "a"; discard;`, `if true { fileinto "a"; } elsif true { fileinto "b"; } else { fileinto "c"; }`,
	`if false { fileinto "a"; } elsif false { fileinto "b"; } else { fileinto "c"; }`, `if true { stop; } fileinto "a";`,
	`setflag "\\seen"; addflag ["$x", "", " $y  \\SEEN "];`, `addflag "$y $x"; removeflag "$Y"; keep;`, `addflag ["\\Recent", "\\Other"]; keep;`,
	`addflag "v" "$v"; addflag "$i"; fileinto :flags "${v}" "a"; keep;`, `fileinto :flags "$1" "a"; fileinto :flags "$2" "a";`, `keep :flags "\\Flagged";`,
	`reject "no";`, `reject "no"; keep;`, `keep; reject "no";`, `reject "a"; reject "b";`, `reject "a"; vacation "b";`, `vacation "a"; vacation "b";`, `reject "a"; redirect "a@example.com";`,
	`reject "a"; discard;`, `vacation :days 3 "x";`, `vacation :seconds 1800 "x"; discard;`, `vacation "x"; fileinto "a";`,
	`redirect "1@example.com"; redirect "2@example.com"; redirect "3@example.com"; redirect "4@example.com"; redirect "5@example.com";`,
	`set "a" "juMBlEd lETteRS"; set :upperfirst :lower "b" "${a}"; set :length "c" "${b}"; fileinto "${b} ${c}";`, `set :quotewildcard "a" "*?\\"; fileinto "x${a}";`,
	`set :lowerfirst :upper "a" "grüße"; fileinto "${a}";`, `if header :matches "from" "*@*" { fileinto "${0} ${1} ${3} ${2}"; } else { fileinto "none"; }`,
	`if anyof (header :matches "from" "*tim*", true) { fileinto "${1}."; }`, `if string :matches "ab" "*b" { if string :is "x" "x" { fileinto "${1}"; } }`,
	`set "a" "x"; if string :matches "${a}" "?" { set "a" "y"; fileinto "${1}${a}${unknown}"; }`, "set \"a\" text:\none\n..two\n.\n; if string :matches \"${a}\" \"*\r\n.*\" { fileinto \"${1}\"; }",
	`redirect "not an address";`, `fileinto "a"; redirect "\"Bart\" <bart@example.com>";`, `fileinto :create "a/b";`,
	`addheader "X-Test" "v"; if header "x-test" "v" { fileinto "edited"; }`, `deleteheader "subject"; if not exists "subject" { fileinto "deleted"; }`,
	`deleteheader :index 1 "received"; deleteheader "x-count"; if exists "x-count" { fileinto "still"; }`,
}

// sieveRefused are scripts that don't compile, and some that do.
var sieveRefused = []string{
	`keep`, `fileinfo "x";`, `fileinto "x";`, `keep :copy;`, `redirect :copy "a@example.com";`, `keep; require "copy";`, `if true { require "copy"; }`, `require copy;`, `else { }`,
	`if true {} keep; elsif true {}`, `if true {} else {} else {}`, `if true;`, `keep {}`, `if {}`, `if (true, false) {}`, `if anyof true {}`, `if anyof () {}`, `if keep {}`, `true;`, `keep true;`,
	`if headers "a" "b" {}`, `if header "a" {}`, `if header "a" 5 {}`, `redirect ["a@example.com", "b@example.com"];`, `redirect "nobody";`, `if size 5 {}`, `if size :over :under 5 {}`,
	`if header :comparator {}`, `if header :comparator "i;x" "a" "b" {}`, `if header :comparator "i;ascii-numeric" "a" "b" {}`, `if header :is :contains "a" "b" {}`,
	`require ["comparator-i;ascii-numeric"]; if header :contains :comparator "i;ascii-numeric" "a" "b" {}`, `require "relational"; if header :value "xx" "a" "b" {}`,
	`if address "subject" "b" {}`, `require "envelope"; if envelope "cc" "b" {}`, `require "variables"; set "1" "b";`, `require "variables"; set "a.b" "b";`,
	`require "variables"; set :upper :lower "a" "b";`, `require "encoded-character"; redirect "${unicode:200000}";`,
	`require ["encoded-character", "fileinto"]; fileinto "${Unicode:DF01}";`, `keep; /* x`, `keep; "x`, "redirect text:\nx", `if size :over 5x {}`, `if true { keep;`, `keep; }`, `keep; : x`,
	`require "imap4flags"; addflag "a" "b";`, `require "index"; if header :last "a" "b" {}`, `require "editheader"; addheader "a b" "c";`, `require "vacation"; vacation :seconds 2 "x";`,
	`require "vacation-seconds"; vacation :days 3 :seconds 2 "x";`, `require "vacation"; vacation :from "x" "x";`, `require "vnd.example.none";`, `require "body"; if body :raw :text "x" {}`,
	`require "date"; if date :zone "+0100" :originalzone "date" "year" "x" {}`, `require "fileinto"; fileinto 5;`, `require "fileinto"; fileinto "a" "b";`, `stop 5;`, `discard "x";`,
	// These are right.
	`keep;`, `require "reject"; reject text: # x` + "\nx\n.\n;", `if size :over 5k {}`, `# comment`, `/* a * / b */ keep;`, `if not not true { stop; }`, `IF TRUE { KEEP; }`,
	`require "vacation-seconds"; vacation :seconds 60 "x";`, `require ["variables", "imap4flags"]; addflag "a" "b";`, `require "comparator-i;octet"; keep;`,
}

// randomTest makes a test of random parts, of which many hold for some message.
func randomTest(r *rand.Rand) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	match := pick(``, `:is`, `:contains`, `:matches`, `:matches`, `:contains`, `:value "ge"`, `:value "lt"`, `:count "ge"`)
	comparator := pick(``, ``, `:comparator "i;octet"`, `:comparator "i;ascii-casemap"`)
	if strings.Contains(match, "value") {
		comparator = pick(`:comparator "i;octet"`, `:comparator "i;ascii-numeric"`)
	}
	keys := func(words ...string) string {
		var list []string
		for range 1 + r.IntN(2) {
			w := pick(words...)
			if strings.Contains(match, "matches") {
				w = pick(w, w+"*", "*"+w, "*"+w+"*", "*", "?"+w, "*?"+w+"*", "?*"+w+"*?")
			}
			if strings.Contains(match, "count") {
				w = pick("0", "1", "2")
			}
			list = append(list, `"`+w+`"`)
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	not, index := pick("", "", "not "), ""
	if !strings.Contains(match, "count") {
		index = pick(``, ``, `:index 1`, `:index 2`, `:index 1 :last`)
	}
	switch r.IntN(5) {
	case 0:
		return not + `header ` + match + ` ` + comparator + ` ` + index + ` ["` + pick("subject", "x-count", "received", "list-id", "x-star") + `", "` +
			pick("x-empty", "x-none", "sender", "subject") + `"] ` + keys("", "a", "PRESENT", "version", "12", "9", "and", "<", "list")
	case 1:
		return not + `address ` + pick(``, `:all`, `:localpart`, `:domain`, `:user`, `:detail`) + ` ` + match + ` ` + comparator + ` ["` + pick("from", "to", "cc", "sender") + `", "` + pick("from", "to", "bcc") + `"] ` +
			keys("ann", "example.org", "TIM", "@", "work", "owner-list", "list@example.net", "")
	case 2:
		return not + `envelope ` + pick(``, `:localpart`, `:domain`, `:user`, `:detail`) + ` ` + match + ` ` + comparator + ` "` + pick("from", "to") + `" ` + keys("ann", "lists", "tim", "EXAMPLE", ".")
	case 3:
		if comparator == "" {
			comparator = `:comparator "i;ascii-casemap"`
		}
		return not + `string ` + match + ` ` + comparator + ` ["` + pick("x", "abcabc", "12", "a*b", "x.y.z") + `", "` + pick("aab", "7", "B") + `"] ` + keys("c", "a", "ab", "B", ".", "12", "bc")
	}
	return pick(`allof`, `anyof`) + ` (` + randomTest(r) + `, ` + randomTest(r) + `)`
}

// TestSieveAsPigeonhole runs the same scripts in both.
func TestSieveAsPigeonhole(t *testing.T) {
	t.Parallel()
	p := harness.NewPigeonhole(t)
	tests := slices.Clone(sieveTests)
	r := rand.New(rand.NewPCG(5228, 5229))
	for range 300 {
		tests = append(tests, randomTest(r))
	}
	var script strings.Builder
	script.WriteString(sieveRequire + `set "flags" "NonJunk $Junk x"; setflag "A B";` + "\n")
	for i, test := range tests {
		fmt.Fprintf(&script, "if %s { fileinto :copy :flags \"\" \"%d|${1}|${2}|\"; }\n", test, i)
	}
	for i, m := range sieveMessages {
		m = strings.ReplaceAll(m, "\n", "\r\n")
		want, got := p.Actions(t, script.String(), m, sieveFrom, sieveTo), sieveActions(t, script.String(), m)
		for _, line := range difference(want, got) {
			var n int
			_, _ = fmt.Sscanf(line[2:], "fileinto %d|", &n)
			t.Errorf("message %d: %s\n\t%s", i, tests[n], line)
		}
		for _, s := range sieveScripts[:len(sieveScripts)/(i+1)] { // the first message sees all of them
			want, got := p.Actions(t, sieveRequire+s, m, sieveFrom, sieveTo), sieveActions(t, sieveRequire+s, m)
			if !slices.Equal(want, got) {
				t.Errorf("message %d: %s\n\tPigeonhole %q\n\tours       %q", i, s, want, got)
			}
		}
	}

	scripts := map[string]string{}
	for i, s := range sieveRefused {
		scripts[fmt.Sprint("s", i)] = s
	}
	for name, compiled := range p.Compiles(t, scripts) {
		if _, err := sieve.Compile([]byte(scripts[name]), sieve.Limits{}); (err == nil) != compiled {
			t.Errorf("%s: Pigeonhole takes it: %t; ours says %v", scripts[name], compiled, err)
		}
	}

	const edits = `addheader "X-One" "1"; addheader :last "X-Two" "2"; fileinto :create "a"; deleteheader :index 2 "received"; deleteheader :contains "x-count" "12"; fileinto :create "b";
		deleteheader "x-one"; addheader "X-Three" "Grüße"; fileinto :create "c"; deleteheader ["subject"]; deleteheader :matches "x-*" "*"; fileinto :create "d";`
	m := strings.ReplaceAll(sieveMessages[1], "\n", "\r\n")
	stored := p.Stores(t, sieveRequire+strings.ReplaceAll(edits, `["subject"]`, `"subject"`), m, sieveFrom, sieveTo)
	result := runSieve(t, sieveRequire+strings.ReplaceAll(edits, `["subject"]`, `"subject"`), m)
	if len(result.Actions) != 4 {
		t.Fatalf("%d actions", len(result.Actions))
	}
	for _, a := range result.Actions {
		f := a.(*sieve.FileInto)
		if got, want := strings.ReplaceAll(string(f.Message), "\r\n", "\n"), strings.ReplaceAll(stored[f.Mailbox], "\r\n", "\n"); got != want {
			t.Errorf("%s: Pigeonhole stored\n%s\nours\n%s", f.Mailbox, want, got)
		}
	}
}

// difference lists what one of two sorted lists has and the other has not.
func difference(pigeonhole, ours []string) []string {
	var lines []string
	for _, s := range pigeonhole {
		if _, ok := slices.BinarySearch(ours, s); !ok {
			lines = append(lines, "P "+s)
		}
	}
	for _, s := range ours {
		if _, ok := slices.BinarySearch(pigeonhole, s); !ok {
			lines = append(lines, "o "+s)
		}
	}
	return lines
}

// runSieve runs a script here; nil where it fails.
func runSieve(t *testing.T, script, message string) *sieve.Result {
	t.Helper()
	s, err := sieve.Compile([]byte(script), sieve.Limits{Actions: 10_000})
	var fault *sieve.Error
	if errors.As(err, &fault) {
		return nil
	}
	r, err := s.Run(context.Background(), sieve.Environment{From: sieveFrom, To: sieveTo, Own: []string{"roadrunner@acme.example.com", "list@example.net"}, Now: time.Now()}, []byte(message))
	if errors.As(err, &fault) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sieveActions is as Pigeonhole.Actions.
func sieveActions(t *testing.T, script, message string) []string {
	t.Helper()
	r := runSieve(t, script, message)
	if r == nil {
		return []string{"error"}
	}
	var actions []string
	store := func(mailbox string, flags []string) {
		s := "fileinto " + mailbox
		if len(flags) > 0 {
			list := strings.Fields(strings.ToLower(strings.Join(flags, " ")))
			slices.Sort(list)
			s += " (" + strings.Join(list, " ") + ")"
		}
		actions = append(actions, s)
	}
	for _, a := range r.Actions {
		switch a := a.(type) {
		case *sieve.Keep:
			store("INBOX", a.Flags)
		case *sieve.FileInto:
			store(a.Mailbox, a.Flags)
		case *sieve.Redirect:
			actions = append(actions, "redirect "+a.To)
		case *sieve.Reject:
			actions = append(actions, "reject "+a.Reason)
		case *sieve.Vacation:
			actions = append(actions, fmt.Sprintf("vacation %d", int(a.Again.Seconds())))
		}
	}
	slices.Sort(actions)
	return actions
}
