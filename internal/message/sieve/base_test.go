package sieve

import (
	"strings"
	"testing"
)

// TestExtendedExample is RFC 5228 section 9.
func TestExtendedExample(t *testing.T) {
	const script = `
    # Example Sieve Filter
    # Declare any optional features or extension used by the script
    require ["fileinto"];
    # Handle messages from known mailing lists
    # Move messages from IETF filter discussion list to filter mailbox
    if header :is "Sender" "owner-ietf-mta-filters@imc.org"
            {
            fileinto "filter";  # move to "filter" mailbox
            }
    # Keep all messages to or from people in my company
    elsif address :DOMAIN :is ["From", "To"] "example.com"
            {
            keep;               # keep in "In" mailbox
            }
    # Try and catch unsolicited email.  If a message is not to me,
    # or it contains a subject known to be spam, file it away.
    elsif anyof (NOT address :all :contains
                   ["To", "Cc", "Bcc"] "me@example.com",
                 header :matches "subject"
                   ["*make*money*fast*", "*university*dipl*mas*"])
            {
            fileinto "spam";   # move to "spam" mailbox
            }
    else
            {
            # Move all other (non-company) mail to "personal" mailbox.
            fileinto "personal";
            }
`
	for to, want := range map[string]string{
		"Sender: owner-ietf-mta-filters@imc.org": "fileinto filter",
		"To: someone@EXAMPLE.com":                "keep",
		"To: someone@example.org":                "fileinto spam",
		"Cc: me@example.com.invalid":             "fileinto personal",
		"Cc: me@example.com.invalid\r\nSubject: How to MAKE lots of money, very fast": "fileinto spam",
	} {
		fixture{message: to + "\r\n\r\n"}.check(t, [2]string{want, script})
	}
}

func TestBaseActions(t *testing.T) {
	fixture{message: messageA}.check(t,
		[2]string{"keep", ``},
		[2]string{"keep", `stop; discard;`},
		[2]string{"discard", `discard; stop; redirect "x@example.com";`},
		[2]string{"keep", `keep; keep;`},
		[2]string{"keep", `require "fileinto"; fileinto "inbox"; keep;`},
		[2]string{"fileinto a; fileinto b", `require "fileinto"; fileinto "a"; discard; fileinto "b"; fileinto "a";`},
		[2]string{"redirect BART@Example.COM", `redirect "bart@example.com"; redirect "\"Bart\" <BART@Example.COM>";`},
		[2]string{"redirect acm@example.com", `if header :contains ["From"] ["coyote"] { redirect "acm@example.com"; } elsif header :contains "Subject" "$$$" { redirect "postmaster@example.com"; } else { redirect "field@example.com"; }`},
		[2]string{"keep", `if false { discard; } elsif false { discard; }`},
		[2]string{"fileinto 3", `require "fileinto"; if false { fileinto "1"; } elsif false { fileinto "2"; } else { fileinto "3"; }`},
		[2]string{"fileinto 2", `require "fileinto"; if false { fileinto "1"; } elsif true { fileinto "2"; } elsif true { fileinto "3"; } else { fileinto "4"; }`},
		[2]string{"keep; redirect a@example.com", `keep; redirect "a@example.com";`},
	)
	fixture{message: messageB}.check(t,
		[2]string{"redirect postmaster@example.com", `if header :contains ["From"] ["coyote"] { redirect "acm@example.com"; } elsif header :contains "Subject" "$$$" { redirect "postmaster@example.com"; } else { redirect "field@example.com"; }`},
		[2]string{"discard", `require "encoded-character"; if header :contains "Subject" "$${hex:24 24}" { discard; }`},
	)
}

func TestBaseTests(t *testing.T) {
	f := fixture{
		env: envelope("tim@example.com", "Ann+lists@example.org"),
		message: lines(
			"Received: from a; Mon, 1 Jan 2024 10:00:00 +0000",
			"From: \"Tim, the (Enchanter)\" <tim@Example.COM>",
			"To: ann@example.org (Ann), Friends: bob@example.org, \"odd one\"@example.net;, not an address",
			"Subject:   =?utf-8?Q?Gr=C3=BC=C3=9Fe?= =?iso-8859-1?B?5A==?= and\r\n more  ",
			"X-Caffeine: C8H10N4O2",
			"X-Empty:",
			"",
			"body",
		),
	}
	f.holds(t,
		`true`, `not false`, `allof (true, true)`, `anyof (false, true)`, `not allof (true, false)`,
		`header :is "subject" "Grüßeä and more"`,
		`header :contains "SUBJECT" "GRüßEä"`,
		`header :matches "subject" "gr*ä ??? more"`,
		`header :contains ["X-Caffeine"] [""]`,
		`header :is "X-Empty" ""`,
		`header :is ["cc", "x-caffeine"] ["tea", "c8h10n4o2"]`,
		`not header :matches "Cc" "?*"`,
		`header :comparator "i;octet" :contains "x-caffeine" "C8"`,
		`exists ["From", "To"]`, `exists "x-empty"`,
		`address :is :all "from" "tim@example.com"`,
		`address "to" "bob@example.org"`,
		`address :localpart "to" "odd one"`,
		`address "to" "\"odd one\"@example.net"`,
		`address :domain ["to", "from"] "example.com"`,
		`address :all "to" "not an address"`,
		`envelope "from" "tim@example.com"`, `envelope :localpart "TO" "ann+lists"`,
		`envelope :detail "to" "lists"`, `envelope :user "to" "ann"`, `address :user "from" "tim"`,
		`size :over 10`, `size :under 1K`, `size :under 1m`,
	)
	f.holdsNot(t,
		`header :is ["X-Caffeine"] [""]`, `header :is "cc" ""`, `header :contains "cc" ""`,
		`header :comparator "i;octet" :contains "x-caffeine" "c8"`,
		`header "From:" ""`, `header "" ""`, `exists ["From", "Cc"]`, `exists "Fr om"`,
		`address :domain "to" ""`, `address :localpart "to" "not an address"`,
		`address :contains "from" "Enchanter"`, `address :contains "to" "Friends"`,
		`address :detail "from" ""`, `address :detail :matches "from" "*"`,
		`size :over 1G`, `not allof (true, true)`,
		`envelope "from" ""`,
	)
	f.env.From = ""
	f.holds(t, `envelope "from" ""`, `envelope :domain "from" ""`, `envelope :count "eq" "from" "0"`, `envelope :count "eq" ["from", "to"] "1"`)
	n := len(f.message)
	f.holdsNot(t, `size :over `+itoa(n), `size :under `+itoa(n))
	f.holds(t, `size :over `+itoa(n-1), `size :under `+itoa(n+1))
}

func TestStrings(t *testing.T) {
	f := fixture{message: "X: y\r\n\r\n"}
	for written, want := range map[string]string{ // RFC 5228 section 2.4.2.4, RFC 5229 section 3
		`"$${hex:40}"`: "$@", `"${hex: 40 }"`: "@", `"${HEX: 40}"`: "@", `"${hex:40"`: "${hex:40", `"${hex:400}"`: "${hex:400}",
		`"${hex:4${hex:30}}"`: "${hex:40}", `"${unicode:40}"`: "@", `"${ unicode:40}"`: "${ unicode:40}", `"${UNICODE:40}"`: "@",
		`"${UnICoDE:0000040}"`: "@", `"${Unicode:40}"`: "@", `"${Unicode:Cool}"`: "${Unicode:Cool}", `"${unicode:fc 20ac}"`: "ü€",
		`"&%${}!"`: "&%${}!", `"${doh!}"`: "${doh!}", `"${full}"`: "", `"${company}"`: "ACME", `"${BAD${Company}"`: "${BADACME",
		`"${President, ${Company} Inc.}"`: "${President, ACME Inc.}", `"${com\pany}"`: "ACME", `"${com\\pany}"`: `${com\pany}`,
		`"\${company}"`: "ACME", `"\\${company}"`: `\ACME`, `"a\"b\\c\d"`: `a"b\cd`, "\"a\nb\r\nc\"": "a\r\nb\r\nc",
		"text: # comment\none\n..two\n.three\n\n.\n": "one\r\n.two\r\n.three\r\n\r\n", "TEXT:\r\n.\r\n": "", `"${hex:24}{company}"`: "ACME",
		`"${00}${1}"`: "", `"${1a}"`: "${1a}", `"${a..b}"`: "${a..b}", `"${a.}"`: "${a.}", `"${.a}"`: "${.a}",
	} {
		script, err := Compile([]byte(all+`set "company" "ACME"; redirect :copy "a@example.com"; set "v" `+written+`;`), Limits{})
		if err != nil {
			t.Errorf("%s: %s", written, err)
			continue
		}
		r := newRun(t.Context(), script, f.env, []byte(f.message))
		if err := r.block(t.Context(), script.commands); err != nil || r.variables["v"] != want {
			t.Errorf("%s is %q, want %q; %v", written, r.variables["v"], want, err)
		}
	}
}

// TestErrors has a script that is wrong in each way, and what it is told.
func TestErrors(t *testing.T) {
	for script, want := range map[string]string{
		"keep":                                   `line 1, column 5: the end of the script stands where the command "keep" ends: with a semicolon, or a block in braces`,
		"\n\tfileinfo \"x\";":                    `line 2, column 2: there is no command "fileinfo"`,
		`fileinto "x";`:                          `line 1, column 1: "fileinto" belongs to an extension: write require "fileinto"; at the beginning of the script`,
		`keep :copy;`:                            `line 1, column 6: "keep" has no tag ":copy"`,
		`redirect :copy "a@example.com";`:        `line 1, column 10: ":copy" belongs to an extension: write require "copy"; at the beginning of the script`,
		`keep; require "copy";`:                  `line 1, column 7: "require" stands behind another command: move it to the beginning of the script`,
		`if true { require "copy"; }`:            `line 1, column 11: "require" stands behind another command: move it to the beginning of the script`,
		`require copy;`:                          `line 1, column 1: "require" takes one list of strings, the names of extensions`,
		`require [];`:                            `line 1, column 10: "]" stands where a string of a list is wanted`,
		`else { }`:                               `line 1, column 1: "else" stands behind no "if" or "elsif"`,
		`if true {} keep; elsif true {}`:         `line 1, column 18: "elsif" stands behind no "if" or "elsif"`,
		`if true {} else {} else {}`:             `line 1, column 20: "else" stands behind no "if" or "elsif"`,
		`if true;`:                               `line 1, column 1: "if" ends with a block in braces`,
		`keep {}`:                                `line 1, column 1: "keep" takes no block: it ends with a semicolon`,
		`if {}`:                                  `line 1, column 1: "if" takes one test, without parentheses`,
		`if (true, false) {}`:                    `line 1, column 1: "if" takes one test, without parentheses`,
		`if anyof true {}`:                       `line 1, column 4: "anyof" takes a list of tests, in parentheses`,
		`if anyof () {}`:                         `line 1, column 11: ")" stands where a test is wanted`,
		`if keep {}`:                             `line 1, column 4: "keep" is a command, and no test`,
		`true;`:                                  `line 1, column 1: "true" is a test, and stands behind "if"`,
		`keep true;`:                             `line 1, column 1: "keep" takes no test`,
		`if headers "a" "b" {}`:                  `line 1, column 4: there is no test "headers"`,
		`if header "a" {}`:                       `line 1, column 4: "header" takes: a string or a list of strings, a string or a list of strings`,
		`if header "a" 5 {}`:                     `line 1, column 15: "header" takes here a string or a list of strings`,
		`redirect ["a@example.com"];`:            `line 1, column 10: "redirect" takes here a string`,
		`redirect "nobody";`:                     `line 1, column 10: "nobody" is no address`,
		`redirect "@x:a@example.com";`:           `line 1, column 10: "@x:a@example.com" is no address`,
		`if size 5 {}`:                           `line 1, column 4: "size" has one of the tags ":over" and ":under"`,
		`if size :over :under 5 {}`:              `line 1, column 15: ":under" can't stand beside ":over"`,
		`if size :over :over 5 {}`:               `line 1, column 15: ":over" stands twice`,
		`if header :comparator {}`:               `line 1, column 11: ":comparator" is followed by a string`,
		`if header "a" :is "b" {}`:               `line 1, column 15: ":is" stands behind another argument: tags come first`,
		`if header :comparator "i;x" "a" "b" {}`: `line 1, column 23: there is no comparator "i;x"; there are "i;ascii-casemap", "i;octet" and "i;ascii-numeric"`,
		`if header :comparator "i;ascii-numeric" "a" "b" {}`:                                                 `line 1, column 23: this comparator belongs to an extension: write require "comparator-i;ascii-numeric"; at the beginning of the script`,
		`require "comparator-i;ascii-numeric"; if header :contains :comparator "i;ascii-numeric" "a" "b" {}`: `line 1, column 71: "i;ascii-numeric" compares whole numbers: it can't stand beside ":contains" or ":matches"`,
		`require "relational"; if header :value "ü" "a" "b" {}`:                                              `line 1, column 40: "ü" is no relation: there are "gt", "ge", "lt", "le", "eq" and "ne"`,
		`if address "subject" "b" {}`:                                                                        `line 1, column 12: the field "subject" holds no addresses: test it with "header"`,
		`require "envelope"; if envelope "cc" "b" {}`:                                                        `line 1, column 33: the envelope has no part "cc", but "from" and "to"`,
		`require "variables"; set "1" "b";`:                                                                  `line 1, column 26: "1" is a match variable, which can't be set`,
		`require "variables"; set "a.b" "b";`:                                                                `line 1, column 26: "a.b" is no name of a variable: letters, digits and underscores make one`,
		`require "variables"; keep; redirect "${a.b}";`:                                                      `line 1, column 37: "${a.b}" is a variable of a namespace, and no extension has it`,
		`require "variables"; redirect "${33}";`:                                                             `line 1, column 31: "${33}" is too much: match variables go up to ${32}`,
		`require "encoded-character"; redirect "${unicode:200000}";`:                                         `line 1, column 39: "${unicode:200000}" holds no character: Unicode has 0 to D7FF and E000 to 10FFFF`,
		`require "encoded-character"; redirect "${Unicode:DF01}";`:                                           `line 1, column 39: "${Unicode:DF01}" holds no character: Unicode has 0 to D7FF and E000 to 10FFFF`,
		"keep; /* x":                            `line 1, column 7: the comment that begins here has no "*/"`,
		"keep; \"x":                             `line 1, column 7: the string that begins here has no closing quote`,
		"redirect text:x":                       `line 1, column 10: the line ends behind "text:", and the text begins with the next`,
		"redirect text:\nx":                     `line 1, column 10: the text that begins here has no end, a line with "." alone`,
		"if size :over 5x {}":                   `line 1, column 15: "5x" is no number: digits are followed by K, M, G or nothing`,
		"if size :over 99999999999999999999 {}": `line 1, column 15: the number that begins with "999999999999999999" is too large`,
		"if size :over 9999999999999G {}":       `line 1, column 15: the number "9999999999999G" is too large`,
		"if true { keep;":                       `line 1, column 9: the block that begins here has no "}"`,
		"keep; }":                               `line 1, column 7: "}" can't stand here: a command begins with its name`,
		"keep; ü":                               `line 1, column 7: "ü" can't stand here: words begin with a letter, strings with a quote`,
		"keep; : x":                             `line 1, column 7: ":" is followed by no tag's name`,
		"keep\x00;":                             `line 1, column 5: a NUL byte can't stand in a script`,
		"if " + strings.Repeat("not ", 16) + "true {}":                   `line 1, column 68: tests are nested deeper than 15`,
		strings.Repeat("if true {", 16) + strings.Repeat("}", 16):        `line 1, column 144: blocks are nested deeper than 15`,
		`require "imap4flags"; addflag "a" "b";`:                         `line 1, column 31: a variable of "addflag" belongs to an extension: write require "variables"; at the beginning of the script`,
		`require "index"; if header :last "a" "b" {}`:                    `line 1, column 28: ":last" stands beside ":index" alone`,
		`require "editheader"; addheader "a b" "c";`:                     `line 1, column 33: "a b" is no name of a field: it has printable ASCII characters, and no colon or space`,
		`require "vacation"; vacation :days 3 :seconds 2 "x";`:           `line 1, column 38: ":seconds" belongs to an extension: write require "vacation-seconds"; at the beginning of the script`,
		`require "vacation-seconds"; vacation :days 3 :seconds 2 "x";`:   `line 1, column 46: ":seconds" can't stand beside ":days"`,
		`require "vacation"; vacation :from "x" "x";`:                    `line 1, column 36: "x" is no address`,
		`require "date"; if currentdate :zone "CET" "year" "x" {}`:       `line 1, column 38: "CET" is no zone: write it like "+0130"`,
		`require "special-use"; if specialuse_exists "Junk" {}`:          `line 1, column 45: "Junk" is no special use: write it like "\\Junk", with two backslashes`,
		`require "duplicate"; if duplicate :header "a" :uniqueid "b" {}`: `line 1, column 47: ":uniqueid" can't stand beside ":header"`,
		`require "fileinto"; fileinto "";`:                               `line 1, column 30: a mailbox has a name`,
		`require "vnd.example";`:                                         `line 1, column 9: there is no extension "vnd.example" here; there are: ` + strings.Join(extensions, ", "),
	} {
		_, err := Compile([]byte(script), Limits{})
		if err == nil || err.Error() != want {
			t.Errorf("%s\n\tgot  %v\n\twant %s", script, err, want)
		}
	}
}

func TestNestingOfFifteenLevels(t *testing.T) { // RFC 5228 section 2.10.7
	blocks := strings.Repeat("if true {", 15) + "if " + strings.Repeat("anyof (", 15) + "true" + strings.Repeat(")", 15) + " {}"
	fixture{message: messageA}.check(t, [2]string{"discard", "if " + strings.Repeat("allof (", 15) + "true" + strings.Repeat(")", 15) + " { discard; }"})
	if _, err := Compile([]byte(blocks+strings.Repeat("}", 15)), Limits{}); err == nil || !strings.Contains(err.Error(), "blocks are nested") {
		t.Error(err) // that was the sixteenth
	}
	fixture{message: messageA}.check(t, [2]string{"discard", strings.Repeat("if true {", 15) + "discard;" + strings.Repeat("}", 15)})
}

// TestRulesOfRoundcube is a script as its plugin managesieve writes them.
func TestRulesOfRoundcube(t *testing.T) {
	const script = `require ["copy","date","fileinto","imap4flags","relational","vacation"];
# rule:[Lists]
if anyof (header :contains ["list-id","x-list"] "example", address :domain :is ["to","cc"] "lists.example.org")
{
	fileinto :copy "Lists/Example";
	addflag "\\Flagged";
	stop;
}
# rule:[Away]
if allof (currentdate :value "ge" :zone "+0100" "iso8601" "2026-11-20T00:00:00+01:00", currentdate :value "le" :zone "+0100" "iso8601" "2026-11-30T00:00:00+01:00")
{
	vacation :days 2 :addresses ["ann@example.org"] :subject "Away" :from "ann@example.org" text:
I am away.

.Ann
.
;
}
# rule:[Off]
if false # true
{
	discard;
}
`
	f := fixture{env: envelope("tim@example.com", "ann@example.org"), message: lines("To: ann@example.org", "", "")}
	f.check(t, [2]string{`vacation 48h0m0s "Away" "ann@example.org" "I am away.\r\n\r\n.Ann\r\n" mime=false; keep`, script})
	f.message = lines("To: ann@example.org", "List-Id: <a.EXAMPLE.com>", "", "")
	f.check(t, [2]string{`fileinto Lists/Example; keep (\Flagged)`, script})
}
