package wire

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// conversation reads all commands of input and writes them in a compact form, with "+" where a literal was invited.
type conversation struct {
	commands []Command
	errs     []*SyntaxError
	invited  int
}

func read(t *testing.T, input string, limits Limits) (c conversation, end error) {
	t.Helper()
	r := NewReader(iotest.HalfReader(strings.NewReader(input)), limits, func() error { c.invited++; return nil })
	for {
		cmd, err := r.ReadCommand()
		var syntax *SyntaxError
		switch {
		case errors.As(err, &syntax):
			c.errs = append(c.errs, syntax)
		case err != nil:
			return c, err
		default:
			c.commands = append(c.commands, cmd)
			if a, ok := cmd.Args.(Append); ok {
				if err := a.Literal.Accept(); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, a.Literal); err != nil {
					return c, err
				}
				if err := a.Literal.Finish(); err != nil && !errors.As(err, &syntax) {
					return c, err
				}
			}
		}
	}
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

var commandTests = []struct {
	line string
	want Args
}{
	{"CAPABILITY", Capability{}},
	{"noop", Noop{}},
	{"LOGOUT", Logout{}},
	{"STARTTLS", StartTLS{}},
	{"NAMESPACE", Namespace{}},
	{"CHECK", Check{}},
	{"CLOSE", Close{}},
	{"UNSELECT", Unselect{}},
	{"IDLE", Idle{}},
	{"IDLE ", Idle{}},
	{"ID NIL", ID{}},
	{"ID ()", ID{}},
	{`ID ("name" "sodr" "version" NIL)`, ID{[]IDParam{{"name", "sodr"}, {"version", ""}}}},
	{"ENABLE CONDSTORE x-good", Enable{[]string{"CONDSTORE", "X-GOOD"}}},
	{"LOGIN SMITH SESAME", Login{"SMITH", "SESAME"}},
	{`LOGIN "a\\b\"c" {4+}` + "\r\n" + `p"\ `, Login{`a\b"c`, `p"\ `}},
	{"AUTHENTICATE PLAIN", Authenticate{Mechanism: "PLAIN"}},
	{"authenticate plain =", Authenticate{Mechanism: "PLAIN", HasInitial: true}},
	{"AUTHENTICATE PLAIN dGVzdA==", Authenticate{Mechanism: "PLAIN", Initial: []byte("test"), HasInitial: true}},
	{"SELECT inbox", Select{Mailbox: "INBOX"}},
	{`EXAMINE "Sent Items" (CONDSTORE)`, Select{Mailbox: "Sent Items", ReadOnly: true, CondStore: true}},
	{"SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211,214:541))", Select{Mailbox: "INBOX", QResync: &QResync{
		UIDValidity: 67890007, ModSeq: 20050715194045000, Known: NumSet{Ranges: []Range{{41, 41}, {43, 211}, {214, 541}}},
	}}},
	{"SELECT INBOX (QRESYNC (1 2 (3,6 30,60)) CONDSTORE)", Select{Mailbox: "INBOX", CondStore: true, QResync: &QResync{
		UIDValidity: 1, ModSeq: 2, MatchSeq: NumSet{Ranges: []Range{{3, 3}, {6, 6}}}, MatchUID: NumSet{Ranges: []Range{{30, 30}, {60, 60}}},
	}}},
	{"CREATE owatagusiam/", Create{Mailbox: "owatagusiam/"}},
	{`CREATE MySpecial (USE (\Drafts \Sent))`, Create{Mailbox: "MySpecial", Use: []string{`\Drafts`, `\Sent`}}},
	{"DELETE blurdybloop", Delete{"blurdybloop"}},
	{"RENAME a &Jjo-!", Rename{"a", "☺!"}},
	{"SUBSCRIBE {3}\r\nfoo", Subscribe{"foo"}},
	{"UNSUBSCRIBE ~/mail/&U,BTFw-", Unsubscribe{"~/mail/台北"}},
	{`SUBSCRIBE "Entwürfe & mehr"`, Subscribe{"Entwürfe & mehr"}},
	{`LIST "" *`, List{Patterns: []string{"*"}}},
	{`LIST ~/Mail/ %`, List{Reference: "~/Mail/", Patterns: []string{"%"}}},
	{`LSUB "#news." "comp.mail.*"`, List{LSub: true, Reference: "#news.", Patterns: []string{"comp.mail.*"}}},
	{`LIST (SUBSCRIBED RECURSIVEMATCH) "" ("INBOX" "Drafts" Sent/%) RETURN (CHILDREN STATUS (MESSAGES UNSEEN) SPECIAL-USE)`, List{
		Extended: true, Patterns: []string{"INBOX", "Drafts", "Sent/%"}, Subscribed: true, RecursiveMatch: true,
		ReturnChildren: true, ReturnSpecialUse: true, ReturnStatus: StatusMessages | StatusUnseen,
	}},
	{`LIST (REMOTE SPECIAL-USE) "" "*" RETURN (SUBSCRIBED)`, List{Extended: true, Patterns: []string{"*"}, Remote: true, SpecialUse: true, ReturnSubscribed: true}},
	{`LIST () "" % RETURN ()`, List{Extended: true, Patterns: []string{"%"}}},
	{"STATUS blurdybloop (UIDNEXT messages)", Status{"blurdybloop", StatusUIDNext | StatusMessages}},
	{"STATUS x (RECENT UIDVALIDITY UNSEEN HIGHESTMODSEQ SIZE DELETED MAILBOXID APPENDLIMIT DELETED-STORAGE)", Status{"x", StatusDeletedStorage | StatusRecent | StatusUIDValidity |
		StatusUnseen | StatusHighestModSeq | StatusSize | StatusDeleted | StatusMailboxID | StatusAppendLimit}},
	{`GETQUOTA ""`, GetQuota{""}},
	{"GETQUOTAROOT inbox", GetQuotaRoot{"INBOX"}},
	{`SETQUOTA "" (STORAGE 512 MESSAGE 1)`, SetQuota{""}},
	{"EXPUNGE", Expunge{}},
	{"UID EXPUNGE 3000:3002", Expunge{true, NumSet{Ranges: []Range{{3000, 3002}}}}},
	{"COPY 2:4 MEETING", Copy{Set: NumSet{Ranges: []Range{{2, 4}}}, Mailbox: "MEETING"}},
	{"UID COPY * x", Copy{UID: true, Set: NumSet{Ranges: []Range{{0, 0}}}, Mailbox: "x"}},
	{"MOVE $ x", Move{Set: NumSet{Saved: true}, Mailbox: "x"}},
	{"UID MOVE 42:69 foo", Move{UID: true, Set: NumSet{Ranges: []Range{{42, 69}}}, Mailbox: "foo"}},
	{`STORE 2:4 +FLAGS (\Deleted)`, Store{Set: NumSet{Ranges: []Range{{2, 4}}}, Mode: AddFlags, Flags: FlagList{System: []string{`\Deleted`}}}},
	{`UID STORE 1,3 -flags.silent \seen $Fwd \seen $fwd`, Store{
		UID: true, Set: NumSet{Ranges: []Range{{1, 1}, {3, 3}}}, Mode: RemoveFlags, Silent: true,
		Flags: FlagList{System: []string{`\Seen`}, Keywords: []string{"$Fwd"}},
	}},
	{`STORE 7,5,9 (UNCHANGEDSINCE 320162338) FLAGS.SILENT (\Deleted \Recent)`, Store{
		Set: NumSet{Ranges: []Range{{7, 7}, {5, 5}, {9, 9}}}, Silent: true,
		UnchangedSince: 320162338, HasUnchangedSince: true, Flags: FlagList{System: []string{`\Deleted`}, Recent: true},
	}},
	{"STORE 1 FLAGS ()", Store{Set: NumSet{Ranges: []Range{{1, 1}}}}},

	{"FETCH 2:4 (FLAGS BODY[HEADER.FIELDS (DATE FROM)])", Fetch{Set: NumSet{Ranges: []Range{{2, 4}}}, Items: []FetchItem{
		{Kind: FetchFlags},
		{Kind: FetchSection, Section: Section{Kind: SectionHeaderFields, Fields: []string{"DATE", "FROM"}}},
	}}},
	{"UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345 VANISHED)", Fetch{
		UID: true, Set: NumSet{Ranges: []Range{{1, 0}}}, Items: []FetchItem{{Kind: FetchFlags}},
		ChangedSince: 12345, HasChangedSince: true, Vanished: true,
	}},
	{"FETCH 1 ALL", Fetch{Set: NumSet{Ranges: []Range{{1, 1}}}, Items: []FetchItem{{Kind: FetchFlags}, {Kind: FetchInternalDate}, {Kind: FetchRFC822Size}, {Kind: FetchEnvelope}}}},
	{"FETCH 1 fast", Fetch{Set: NumSet{Ranges: []Range{{1, 1}}}, Items: []FetchItem{{Kind: FetchFlags}, {Kind: FetchInternalDate}, {Kind: FetchRFC822Size}}}},
	{"FETCH 1 FULL", Fetch{Set: NumSet{Ranges: []Range{{1, 1}}}, Items: []FetchItem{{Kind: FetchFlags}, {Kind: FetchInternalDate}, {Kind: FetchRFC822Size}, {Kind: FetchEnvelope}, {Kind: FetchBody}}}},
	{"FETCH 1 BODY[]<0.2048>", fetch1(FetchItem{Kind: FetchSection, HasPartial: true, Count: 2048})},
	{"FETCH 1 BODY.PEEK[1.2.3]", fetch1(FetchItem{Kind: FetchSection, Peek: true, Section: Section{Part: []int{1, 2, 3}}})},
	{"FETCH 1 BODY[4.2.MIME]", fetch1(FetchItem{Kind: FetchSection, Section: Section{Part: []int{4, 2}, Kind: SectionMIME}})},
	{"FETCH 1 BODY[4.1.HEADER]", fetch1(FetchItem{Kind: FetchSection, Section: Section{Part: []int{4, 1}, Kind: SectionHeader}})},
	{"FETCH 1 BODY[TEXT]<5.1>", fetch1(FetchItem{Kind: FetchSection, Section: Section{Kind: SectionText}, HasPartial: true, Offset: 5, Count: 1})},
	{`FETCH 1 BODY[1.HEADER.FIELDS.NOT ("From" {2+}` + "\r\nTo)]", fetch1(FetchItem{Kind: FetchSection, Section: Section{Part: []int{1}, Kind: SectionHeaderNot, Fields: []string{"From", "To"}}})},
	{"FETCH 1 RFC822.HEADER", fetch1(FetchItem{Kind: FetchRFC822Header, Peek: true, Section: Section{Kind: SectionHeader}})},
	{"FETCH 1 (RFC822 RFC822.TEXT BODY BODYSTRUCTURE MODSEQ EMAILID THREADID SAVEDATE)", fetch1(FetchItem{Kind: FetchRFC822}, FetchItem{Kind: FetchRFC822Text, Section: Section{Kind: SectionText}},
		FetchItem{Kind: FetchBody}, FetchItem{Kind: FetchBodyStructure}, FetchItem{Kind: FetchModSeq}, FetchItem{Kind: FetchEmailID}, FetchItem{Kind: FetchThreadID}, FetchItem{Kind: FetchSaveDate})},
	{"FETCH 1 (BINARY[1]<0.5> BINARY.PEEK[] BINARY.SIZE[2.1])", fetch1(FetchItem{Kind: FetchBinary, Section: Section{Part: []int{1}}, HasPartial: true, Count: 5},
		FetchItem{Kind: FetchBinary, Peek: true}, FetchItem{Kind: FetchBinarySize, Peek: true, Section: Section{Part: []int{2, 1}}})},

	{`SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"`, search(SearchKey{Op: SearchFlag, Text: `\Flagged`}, SearchKey{Op: SearchSince, Date: day(1994, 2, 1)},
		SearchKey{Op: SearchNot, Keys: []SearchKey{{Op: SearchHeader, Field: "FROM", Text: "Smith"}}})},
	{"SEARCH CHARSET UTF-8 TEXT {6}\r\n" + "\xd0\xb8\xd0\xb2\xd0\xb0", Search{Charset: "UTF-8", Key: SearchKey{Keys: []SearchKey{{Op: SearchText, Text: "ива"}}}}},
	{"UID SEARCH RETURN (MIN COUNT) 1:* (OR SEEN (DELETED UID 5)) ", Search{UID: true, Extended: true, Return: ReturnMin | ReturnCount, Key: SearchKey{Keys: []SearchKey{
		{Op: SearchSeq, Set: NumSet{Ranges: []Range{{1, 0}}}},
		{Keys: []SearchKey{{Op: SearchOr, Keys: []SearchKey{{Op: SearchFlag, Text: `\Seen`}, {Keys: []SearchKey{{Op: SearchFlag, Text: `\Deleted`}, {Op: SearchUID, Set: NumSet{Ranges: []Range{{5, 5}}}}}}}}}},
	}}}},
	{"SEARCH RETURN () ALL", Search{Extended: true, Return: ReturnAll, Key: SearchKey{Keys: []SearchKey{{}}}}},
	{"SEARCH RETURN (SAVE MAX ALL) CHARSET us-ascii $", Search{Extended: true, Return: ReturnSave | ReturnMax | ReturnAll, Charset: "US-ASCII", Key: SearchKey{Keys: []SearchKey{{Op: SearchSeq, Set: NumSet{Saved: true}}}}}},
	{`SEARCH MODSEQ "/flags/\\draft" all 620162338`, search(SearchKey{Op: SearchModSeq, Number: 620162338})},
	{"SEARCH MODSEQ 0 YOUNGER 259200 OLDER 5 LARGER 1 SMALLER 2", search(SearchKey{Op: SearchModSeq}, SearchKey{Op: SearchYounger, Number: 259200},
		SearchKey{Op: SearchOlder, Number: 5}, SearchKey{Op: SearchLarger, Number: 1}, SearchKey{Op: SearchSmaller, Number: 2})},
	{`SEARCH KEYWORD $Junk UNKEYWORD x HEADER X-Y "" BODY b SUBJECT s TO t CC c BCC d`, search(SearchKey{Op: SearchKeyword, Text: "$Junk"},
		SearchKey{Op: SearchNot, Keys: []SearchKey{{Op: SearchKeyword, Text: "x"}}}, SearchKey{Op: SearchHeader, Field: "X-Y"}, SearchKey{Op: SearchBody, Text: "b"},
		SearchKey{Op: SearchHeader, Field: "SUBJECT", Text: "s"}, SearchKey{Op: SearchHeader, Field: "TO", Text: "t"}, SearchKey{Op: SearchHeader, Field: "CC", Text: "c"}, SearchKey{Op: SearchHeader, Field: "BCC", Text: "d"})},
	{`SEARCH BEFORE "1-Feb-1994" ON 01-Feb-1994 SENTBEFORE 2-Feb-1994 SENTON 2-Feb-1994 SENTSINCE 2-Feb-1994`, search(SearchKey{Op: SearchBefore, Date: day(1994, 2, 1)},
		SearchKey{Op: SearchOn, Date: day(1994, 2, 1)}, SearchKey{Op: SearchSentBefore, Date: day(1994, 2, 2)}, SearchKey{Op: SearchSentOn, Date: day(1994, 2, 2)}, SearchKey{Op: SearchSentSince, Date: day(1994, 2, 2)})},
	{"SEARCH SAVEDBEFORE 1-Feb-1994 SAVEDON 1-Feb-1994 SAVEDSINCE 1-Feb-1994 SAVEDATESUPPORTED EMAILID M1 THREADID T1", search(SearchKey{Op: SearchSavedBefore, Date: day(1994, 2, 1)},
		SearchKey{Op: SearchSavedOn, Date: day(1994, 2, 1)}, SearchKey{Op: SearchSavedSince, Date: day(1994, 2, 1)}, SearchKey{Op: SearchSaveDateSupported},
		SearchKey{Op: SearchEmailID, Text: "M1"}, SearchKey{Op: SearchThreadID, Text: "T1"})},
	{"SEARCH NEW OLD RECENT", search(SearchKey{Keys: []SearchKey{{Op: SearchRecent}, {Op: SearchNot, Keys: []SearchKey{{Op: SearchFlag, Text: `\Seen`}}}}},
		SearchKey{Op: SearchNot, Keys: []SearchKey{{Op: SearchRecent}}}, SearchKey{Op: SearchRecent})},
}

func fetch1(items ...FetchItem) Fetch {
	return Fetch{Set: NumSet{Ranges: []Range{{1, 1}}}, Items: items}
}

func search(keys ...SearchKey) Search { return Search{Key: SearchKey{Keys: keys}} }

func TestCommands(t *testing.T) {
	for _, c := range commandTests {
		got, end := read(t, "a1 "+c.line+"\r\na2 NOOP\r\n", AfterSignIn())
		if len(got.errs) > 0 || !errors.Is(end, io.EOF) || len(got.commands) != 2 {
			t.Errorf("%q: %d commands, refused: %v, end: %v", c.line, len(got.commands), got.errs, end)
			continue
		}
		if !reflect.DeepEqual(got.commands[0].Args, c.want) {
			t.Errorf("%q:\n got %#v\nwant %#v", c.line, got.commands[0].Args, c.want)
		}
		if got.commands[0].Tag != "a1" || got.commands[1].Tag != "a2" {
			t.Errorf("%q: the tags are %q and %q", c.line, got.commands[0].Tag, got.commands[1].Tag)
		}
	}
}

// TestRefusals holds the reader to reading a bad command to its end, whatever literals it carries, and to going on with
// the next one.
func TestRefusals(t *testing.T) {
	long := strings.Repeat("x", 33000)
	for _, c := range []struct {
		input    string
		tag, msg string
		invited  int
	}{
		{"", "*", "a command begins with a tag", 0},
		{"*", "*", "a command begins with a tag", 0},
		{"a+b NOOP", "*", "a command begins with a tag", 0},
		{"{3}", "*", "a command begins with a tag", 0},
		{"a", "a", "a space is expected", 0},
		{"a ", "a", "a command name is expected", 0},
		{"a  NOOP", "a", "a command name is expected", 0},
		{"a XYZZY", "a", "not known", 0},
		{"a XYZZY {5+}\r\nhello", "a", "not known", 0},
		{"a XYZZY {5+}\r\na NO\r {3+}\r\nxyz) {4}", "a", "not known", 0},
		{"a XYZZY {5}", "a", "not known", 0},
		{"a UID NOOP", "a", "not known", 0},
		{"a NOOP x", "a", "should end", 0},
		{"a SELECT", "a", "a space", 0},
		{`a SELECT "x`, "a", "no end", 0},
		{`a SELECT "x {3+}` + "\r\nabc", "a", "no end", 0},
		{`a SELECT "\x"`, "a", "backslash", 0},
		{"a SELECT {3} x", "a", "at the end of a line", 0},
		{"a SELECT {3} {4+}\r\nabcd", "a", "at the end of a line", 0},
		{"a SELECT {99999999999999999999}", "a", "may have", 0},
		{"a SELECT {2+}\r\na\x00", "a", "NUL", 0},
		{"a SELECT {1}\r\nx y", "a", "'('", 1},
		{"a SELECT x (FOO)", "a", "no such parameter", 0},
		{"a SELECT x (QRESYNC (0 1))", "a", "not 0", 0},
		{"a SELECT x (QRESYNC (1 1 1:*))", "a", "no *", 0},
		{"a SELECT &AGE-", "a", "UTF-7", 0},
		{"a SELECT \"\xff\"", "a", "UTF-7", 0},
		{"a SELECT " + long, "a", "longer than", 0},
		{"a SELECT " + long + "{3+}\r\nabc", "a", "longer than", 0},
		{"a SELECT {1+}\r\nx" + long + "{3+}\r\nabc", "a", "longer than", 0},
		{"a LOGIN x {8193+}\r\n" + long[:8193], "a", "may have", 0},
		{"a LOGIN {8000}\r\n" + long[:8000] + " {8000}", "a", "may have", 1},
		{"a FETCH 0 FLAGS", "a", "not 0", 0},
		{"a FETCH 4294967296 FLAGS", "a", "larger than", 0},
		{"a FETCH 1: FLAGS", "a", "number", 0},
		{"a FETCH 1 FLAG", "a", "no such item", 0},
		{"a FETCH 1 ()", "a", "an item", 0},
		{"a FETCH 1 BODY[MIME]", "a", "needs the number", 0},
		{"a FETCH 1 BODY[0]", "a", "none of them 0", 0},
		{"a FETCH 1 BODY[1.]", "a", "a section", 0},
		{"a FETCH 1 BODY[HEADER.FIELDS ()]", "a", "is expected", 0},
		{"a FETCH 1 BODY[]<0.0>", "a", "at least one", 0},
		{"a FETCH 1 BODY[]<0>", "a", "'.'", 0},
		{"a FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", "a", "UID FETCH", 0},
		{"a STORE 1 FLAG x", "a", "FLAGS", 0},
		{`a STORE 1 FLAGS (\Foo)`, "a", "no such system flag", 0},
		{"a STORE 1 (FOO 1) FLAGS x", "a", "no such modifier", 0},
		{"a SEARCH", "a", "a space", 0},
		{"a SEARCH (", "a", "a key", 0},
		{"a SEARCH FOO", "a", "no such key", 0},
		{"a SEARCH SINCE 30-Feb-2020", "a", "a date", 0},
		{"a SEARCH " + strings.Repeat("(", 40) + "ALL" + strings.Repeat(")", 40), "a", "nested deeper", 0},
		{"a SEARCH " + strings.Repeat("NOT ", 40) + "ALL", "a", "nested deeper", 0},
		{"a SEARCH " + strings.Repeat("ALL ", 40) + "ALL", "a", "keys", 0},
		{`a LIST (RECURSIVEMATCH) "" *`, "a", "RECURSIVEMATCH", 0},
		{`a LIST "" ()`, "a", "a pattern", 0},
		{"a STATUS x ()", "a", "an item", 0},
		{"a STATUS x (FOO)", "a", "no such item", 0},
		{"a AUTHENTICATE PLAIN !", "a", "base64", 0},
		{"a AUTHENTICATE PLAIN dGVzdA", "a", "base64", 0},
		{`a APPEND x "1-Jan-2020 00:00:00 +0000" {1+}` + "\r\nx", "a", "date-time", 0},
		{`a APPEND x "31-Dec-9999 23:00:00 -0100" {1+}` + "\r\nx", "a", "date-time", 0},
		{`a APPEND x "01-Jan-0001 00:59:59 +0100" {1+}` + "\r\nx", "a", "date-time", 0},
		{`a LIST "" (` + strings.Repeat("x", 2048) + " " + strings.Repeat("%", 2049) + ")", "a", "4096 bytes together", 0},
		{`a LIST "` + strings.Repeat("x", 1365) + `" (a b c)`, "a", "4096 bytes together", 0},
		{`a APPEND x "hello"`, "a", "date-time", 0},
		{"a APPEND x y {3+}\r\nabc", "a", "literal", 0},
		{`a ID ("a" "b" "c")`, "a", "a space", 0},
		{"a ENABLE", "a", "a space", 0},
	} {
		got, end := read(t, c.input+"\r\nz NOOP\r\n", BeforeSignIn())
		if len(got.errs) != 1 || got.errs[0].Tag != c.tag || !strings.Contains(got.errs[0].Message, c.msg) {
			t.Errorf("%.60q: refused with %+v, want tag %q and %q", c.input, got.errs, c.tag, c.msg)
		}
		if !errors.Is(end, io.EOF) || len(got.commands) != 1 || got.commands[0].Tag != "z" {
			t.Errorf("%.60q: lost its place: %d commands behind it, end %v", c.input, len(got.commands), end)
		}
		if got.invited != c.invited {
			t.Errorf("%.60q: %d literals were invited, want %d", c.input, got.invited, c.invited)
		}
	}
}

func TestTooMuchGivesTheConnectionUp(t *testing.T) {
	for _, input := range []string{
		"a XYZZY {99999999+}\r\n", "a XYZZY {99999999999999999999+}\r\n", "a NOOP " + strings.Repeat("x", 100<<10),
		strings.Repeat("a XYZZY {1000+}\r\n"+strings.Repeat("x", 1000), 1) + strings.Repeat(" {1000+}\r\n"+strings.Repeat("x", 1000), 80),
	} {
		if _, end := read(t, input+"\r\n", BeforeSignIn()); !errors.Is(end, ErrTooMuch) {
			t.Errorf("%.40q ended with %v, want ErrTooMuch", input, end)
		}
	}
}

func TestEndInTheMiddleIsUnexpected(t *testing.T) {
	for _, input := range []string{"a NOO", "a LOGIN x {5}\r\nab", "a LOGIN x {5+}\r\nabcde", "a XYZZY {5+}\r\nab", "a APPEND x {5}\r\nab", "a APPEND x {2}\r\nab"} {
		if _, end := read(t, input, AfterSignIn()); !errors.Is(end, io.ErrUnexpectedEOF) {
			t.Errorf("%q ended with %v, want io.ErrUnexpectedEOF", input, end)
		}
	}
}

func TestAppendStreamsItsLiteral(t *testing.T) {
	const input = "A003 APPEND saved-messages (\\Seen $x) \" 7-Feb-1994 21:52:25 -0800\" {5}\r\nhello\r\n" +
		"A004 APPEND x ~{3+}\r\na\x00c\r\nA005 APPEND x {3+}\r\nabc extra {2+}\r\nxy\r\nA006 NOOP\r\n"
	invited := 0
	r := NewReader(strings.NewReader(input), AfterSignIn(), func() error { invited++; return nil })
	first, err := r.ReadCommand()
	if err != nil {
		t.Fatal(err)
	}
	a := first.Args.(Append)
	date := time.Date(1994, 2, 7, 21, 52, 25, 0, time.FixedZone("", -8*3600))
	if a.Mailbox != "saved-messages" || !a.Date.Equal(date) || a.Literal.Size != 5 || invited != 0 ||
		!reflect.DeepEqual(a.Flags, FlagList{System: []string{`\Seen`}, Keywords: []string{"$x"}}) {
		t.Fatalf("read %+v with %d literals invited", a, invited)
	}
	if _, err := a.Literal.Read(make([]byte, 1)); err == nil {
		t.Error("a literal that was not accepted could be read")
	}
	if err := a.Literal.Accept(); err != nil || invited != 1 {
		t.Fatalf("Accept: %v, invited %d", err, invited)
	}
	if b, err := io.ReadAll(a.Literal); err != nil || string(b) != "hello" {
		t.Errorf("the literal is %q, %v", b, err)
	}
	if err := a.Literal.Finish(); err != nil {
		t.Errorf("Finish: %v", err)
	}
	second, err := r.ReadCommand()
	if err != nil || !second.Args.(Append).Literal.Binary {
		t.Fatalf("second: %+v, %v", second, err)
	}
	if err := second.Args.(Append).Literal.Finish(); err != nil { // refused, and yet it comes
		t.Errorf("Finish of a refused literal: %v", err)
	}
	third, err := r.ReadCommand()
	if err != nil {
		t.Fatal(err)
	}
	var syntax *SyntaxError
	if err := third.Args.(Append).Literal.Finish(); !errors.As(err, &syntax) {
		t.Errorf("Finish with more behind the literal: %v", err)
	}
	if last, err := r.ReadCommand(); err != nil || last.Tag != "A006" {
		t.Errorf("behind it comes %+v, %v", last, err)
	}
}

func TestRefusedSyncLiteralIsNotAwaited(t *testing.T) {
	r := NewReader(strings.NewReader("a APPEND x {50}\r\nb NOOP\r\n"), AfterSignIn(), func() error { t.Error("invited"); return nil })
	cmd, err := r.ReadCommand()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Args.(Append).Literal.Finish(); err != nil {
		t.Fatal(err)
	}
	if next, err := r.ReadCommand(); err != nil || next.Tag != "b" {
		t.Errorf("next is %+v, %v", next, err)
	}
}

func TestContinuation(t *testing.T) {
	r := NewReader(strings.NewReader("DONE\r\n"+strings.Repeat("x", 100)+"\r\nend\n"), BeforeSignIn(), nil)
	if b, err := r.ReadContinuation(10); err != nil || string(b) != "DONE" {
		t.Errorf("got %q, %v", b, err)
	}
	var syntax *SyntaxError
	if _, err := r.ReadContinuation(10); !errors.As(err, &syntax) {
		t.Errorf("a long line gave %v", err)
	}
	if b, err := r.ReadContinuation(10); err != nil || string(b) != "end" {
		t.Errorf("got %q, %v", b, err)
	}
}
