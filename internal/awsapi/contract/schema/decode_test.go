package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// party is a structure with a member of every type.
type party struct {
	Name     string
	Motto    *string
	Mood     mood
	Guests   int32
	Limit    *int32
	Big      *int64
	Ratio    float64
	Open     bool
	Public   *bool
	Begins   *time.Time
	Photo    []byte
	Tags     []string
	Hosts    []host
	Place    *host
	Password *string
}

type mood string

type host struct {
	ID     string
	Secret *string
}

var (
	plain  = &Shape{Name: "Plain", Type: String}
	secret = &Shape{Name: "Secret", Type: String, Max: new(int64(8)), Sensitive: true}
	aHost  = &Shape{Name: "Host", Type: Structure, Members: []Member{
		{Name: "Id", Shape: &Shape{Name: "Id", Type: String, Min: new(int64(2)), Pattern: NewPattern(`[a-z]+`)}, Required: true},
		{Name: "Secret", Shape: secret},
	}}
	aParty = &Shape{Name: "Party", Type: Structure, Members: []Member{
		{Name: "Name", Shape: &Shape{Name: "Name", Type: String, Max: new(int64(5))}, Required: true},
		{Name: "Motto", Shape: plain},
		{Name: "Mood", Shape: &Shape{Name: "Mood", Type: String, Enum: []string{"GAY", "GRIM"}}},
		{Name: "Guests", Shape: &Shape{Name: "Guests", Type: Integer, Min: new(int64(0)), Max: new(int64(9))}},
		{Name: "Limit", Shape: &Shape{Name: "Limit", Type: Integer, Nullable: true}},
		{Name: "Big", Shape: &Shape{Name: "Big", Type: Long, Nullable: true}},
		{Name: "Ratio", Shape: &Shape{Name: "Ratio", Type: Double}},
		{Name: "Open", Shape: &Shape{Name: "Open", Type: Boolean}},
		{Name: "Public", Shape: &Shape{Name: "Public", Type: Boolean, Nullable: true}},
		{Name: "Begins", Shape: &Shape{Name: "Begins", Type: Timestamp}},
		{Name: "Photo", Shape: &Shape{Name: "Photo", Type: Blob}},
		{Name: "Tags", Shape: &Shape{Name: "Tags", Type: List, Element: plain, Max: new(int64(3))}},
		{Name: "Hosts", Shape: &Shape{Name: "Hosts", Type: List, Element: aHost}},
		{Name: "Place", Shape: aHost},
		{Name: "Password", Shape: secret},
	}}
)

func ptr[T any](v T) *T { return &v }

var full = party{
	Name: "é\"\\/\b\f\n\r\t\x01", Motto: ptr("𝄞 <&>"), Mood: "GRIM", Guests: 7, Limit: ptr(int32(-3)), Big: ptr(int64(1) << 60), Ratio: 0.0389,
	Open: true, Public: ptr(false), Begins: ptr(time.UnixMilli(1522693605468).UTC()), Photo: []byte{0xff}, Tags: []string{},
	Hosts: []host{{ID: "ab"}, {ID: "cd", Secret: ptr("s")}}, Place: &host{ID: "xy"}, Password: ptr("hush"),
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	value := full
	value.Name = value.Name[:5]
	body, err := Append(nil, aParty, &value)
	if err != nil || !json.Valid(body) {
		t.Fatalf("%v: %s", err, body)
	}
	var again party
	if unknown, err := Decode(body, aParty, &again); err != nil || unknown != nil {
		t.Fatalf("%s: %v, unknown %v", body, err, unknown)
	}
	if !reflect.DeepEqual(value, again) {
		t.Errorf("wrote %+v\nread  %+v", value, again)
	}
}

func TestAppend(t *testing.T) {
	for name, c := range map[string]struct {
		value party
		want  string
	}{
		"absent is absent, booleans and numbers are there": {
			party{}, `{"Name":"","Guests":0,"Ratio":0,"Open":false}`,
		},
		"all members in the model's order": {
			full,
			`{"Name":"é\"\\/\u0008\u000c\n\r\t\u0001","Motto":"𝄞 <&>","Mood":"GRIM","Guests":7,"Limit":-3,"Big":1152921504606846976,` +
				`"Ratio":0.0389,"Open":true,"Public":false,"Begins":1522693605.468,"Photo":"/w==","Tags":[],` +
				`"Hosts":[{"Id":"ab"},{"Id":"cd","Secret":"s"}],"Place":{"Id":"xy"},"Password":"hush"}`,
		},
		"whole seconds have a point":         {party{Begins: ptr(time.Unix(1581635628, 0))}, `{"Name":"","Guests":0,"Ratio":0,"Open":false,"Begins":1581635628.0}`},
		"the time 0":                         {party{Begins: ptr(time.Unix(0, 0))}, `{"Name":"","Guests":0,"Ratio":0,"Open":false,"Begins":0.0}`},
		"a time before 1970":                 {party{Begins: ptr(time.UnixMilli(-1250))}, `{"Name":"","Guests":0,"Ratio":0,"Open":false,"Begins":-1.25}`},
		"what is not UTF-8 becomes U+FFFD":   {party{Name: "a\xffb\xc3"}, `{"Name":"a` + "\ufffd" + `b` + "\ufffd" + `","Guests":0,"Ratio":0,"Open":false}`},
		"an empty list is not an absent one": {party{Hosts: []host{}}, `{"Name":"","Guests":0,"Ratio":0,"Open":false,"Hosts":[]}`},
	} {
		got, err := Append(nil, aParty, &c.value)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", name, err, got, c.want)
		}
	}
}

func TestAppendRefusesAHandlersBugs(t *testing.T) {
	required := &Shape{Name: "Required", Type: Structure, Members: []Member{{Name: "Place", Shape: aHost, Required: true}}}
	if _, err := Append(nil, required, &struct{ Place *host }{}); err == nil || !strings.Contains(err.Error(), "Required: the required member Place is absent") {
		t.Errorf("a missing required member: %v", err)
	}
	zero := 0.0
	if _, err := Append(nil, aParty, &party{Ratio: 1 / zero}); err == nil || !strings.Contains(err.Error(), "Party.Ratio") {
		t.Errorf("an infinite number: %v", err)
	}
}

func TestSyntax(t *testing.T) {
	for body, want := range map[string]string{
		`[]`:                                  "expected an object, found a list (byte 0 of the body)",
		`null`:                                "expected an object, found null (byte 0 of the body)",
		"\ufeff{}":                            "expected an object, found something that is not JSON (byte 0 of the body)",
		"\x00":                                "expected an object, found something that is not JSON (byte 0 of the body)",
		`{"Name":"a"} {}`:                     "expected the end of the body, found an object (byte 13 of the body)",
		"{\"Name\":\"a\"}\x00":                "expected the end of the body, found something that is not JSON (byte 12 of the body)",
		`{"Name":"a"`:                         "expected a comma or the end of the object, found the end of the body (byte 11 of the body)",
		`{"Name":"a",}`:                       "expected a member's name, found something that is not JSON (byte 12 of the body)",
		`{"Name" "a"}`:                        "expected a colon, found a string (byte 8 of the body)",
		`{"Name":7}`:                          "expected a string, found a number at 'name' (byte 8 of the body)",
		`{"Name":"a","Name":"b"}`:             "a member given twice at 'name' (byte 12 of the body)",
		`{"Name":null,"Name":"b"}`:            "a member given twice at 'name' (byte 13 of the body)",
		`{"x":1,"\u0078":1}`:                  "a member given twice at 'x' (byte 7 of the body)",
		`{"x":{"y":1,"y":2}}`:                 "a member given twice at 'x.y' (byte 12 of the body)",
		`{"Hosts":[{"Id":"ab"},{"Id":true}]}`: "expected a string, found a boolean at 'hosts.2.member.id' (byte 28 of the body)",
		`{"Tags":{}}`:                         "expected a list, found an object at 'tags' (byte 8 of the body)",
		`{"Tags":["a" "b"]}`:                  "expected a comma or the end of the list, found a string at 'tags' (byte 13 of the body)",
		`{"Open":"true"}`:                     "expected a boolean, found a string at 'open' (byte 8 of the body)",
		`{"Open":truest}`:                     "expected a comma or the end of the object, found something that is not JSON (byte 12 of the body)",
		`{"Guests":1.0}`:                      "expected a whole number of 32 bits at 'guests' (byte 10 of the body)",
		`{"Guests":2147483648}`:               "expected a whole number of 32 bits at 'guests' (byte 10 of the body)",
		`{"Guests":01}`:                       "a number that is not JSON at 'guests' (byte 10 of the body)",
		`{"Guests":-}`:                        "a number that is not JSON at 'guests' (byte 10 of the body)",
		`{"Ratio":1.}`:                        "a number that is not JSON at 'ratio' (byte 9 of the body)",
		`{"Ratio":1e}`:                        "a number that is not JSON at 'ratio' (byte 9 of the body)",
		`{"Ratio":1e999}`:                     "a number too large at 'ratio' (byte 9 of the body)",
		`{"Ratio":.5}`:                        "expected a number, found something that is not JSON at 'ratio' (byte 9 of the body)",
		`{"Begins":"2026-01-01T00:00:00Z"}`:   "expected a number, found a string at 'begins' (byte 10 of the body)",
		`{"Begins":1e12}`:                     "a time outside the years to 9999 at 'begins' (byte 10 of the body)",
		`{"Photo":"%"}`:                       "a string that is not base64 at 'photo' (byte 12 of the body)",
		"{\"Name\":\"a\nb\"}":                 "a control character inside a string at 'name' (byte 10 of the body)",
		"{\"Name\":\"\\\\\nb\"}":              "a control character inside a string at 'name' (byte 11 of the body)",
		"{\"Name\":\"\xff\"}":                 "a string that is not valid UTF-8 at 'name' (byte 9 of the body)",
		"{\"Name\":\"\\n\xff\"}":              "a string that is not valid UTF-8 at 'name' (byte 9 of the body)",
		`{"Name":"\ud800"}`:                   "half of a surrogate pair at 'name' (byte 9 of the body)",
		`{"Name":"\ud800\u0041"}`:             "half of a surrogate pair at 'name' (byte 9 of the body)",
		`{"Name":"\udc00\ud800"}`:             "half of a surrogate pair at 'name' (byte 9 of the body)",
		`{"Name":"\x"}`:                       "an unknown escape sequence at 'name' (byte 9 of the body)",
		`{"Name":"\u00g0"}`:                   "an unknown escape sequence at 'name' (byte 9 of the body)",
		`{"Name":"a`:                          "a string without end at 'name' (byte 10 of the body)",
		`{"Name":"\`:                          "an unknown escape sequence at 'name' (byte 9 of the body)",
		`{"x":` + strings.Repeat("[", 40):     "nested deeper than 32 levels at 'x" + strings.Repeat(".1.member", 31) + "' (byte 37 of the body)",
	} {
		_, err := Decode([]byte(body), aParty, new(party))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", body, err, want)
		}
	}
}

func TestDecodeAccepts(t *testing.T) {
	for body, want := range map[string]party{
		" {\t\"Name\" :\r\n \"a\" } ":                              {Name: "a"},
		`{"Name":"\u00e9\ud834\udd1e\/"}`:                          {Name: "é𝄞/"},
		`{"Name":"a","Motto":null}`:                                {Name: "a"},
		`{"Name":"a","Limit":0,"Public":true}`:                     {Name: "a", Limit: ptr(int32(0)), Public: ptr(true)},
		`{"Name":"a","Begins":1522693605.4679}`:                    {Name: "a", Begins: ptr(time.UnixMilli(1522693605468).UTC())},
		`{"Name":"a","Tags":[],"Place":{"Id":"ab","Secret":null}}`: {Name: "a", Tags: []string{}, Place: &host{ID: "ab"}},
		`{"Name":"a","Ratio":-1.5E+2}`:                             {Name: "a", Ratio: -150},
	} {
		var got party
		if _, err := Decode([]byte(body), aParty, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", body, err, got, want)
		}
	}
}

func TestNamesAreComparedWithTheirCaseAndStrangersAreNamed(t *testing.T) {
	var got party
	unknown, err := Decode([]byte(`{"Name":"a","name":"b","Place":{"Id":"ab","Colour":[{"x":null}]},"Hosts":[{"Id":"cd","zip":1}]}`), aParty, &got)
	if err != nil || got.Name != "a" {
		t.Errorf("%v, name %q", err, got.Name)
	}
	if want := []string{"name", "Place.Colour", "Hosts.1.member.zip"}; !slices.Equal(unknown, want) {
		t.Errorf("unknown %q, want %q", unknown, want)
	}
}

func TestBreachesAreAllToldInTheModelsOrder(t *testing.T) {
	for body, want := range map[string]string{
		``:   "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null",
		`{}`: "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null",
		`{"Password":"far too long","Hosts":[{"Id":"A"},{}],"Guests":10,"Mood":"gay","Name":"toolong","Tags":["a","b",null,"c"]}`: "9 validation errors detected: " +
			"Value 'toolong' at 'name' failed to satisfy constraint: Member must have length less than or equal to 5; " +
			"Value 'gay' at 'mood' failed to satisfy constraint: Member must satisfy enum value set: [GAY, GRIM]; " +
			"Value '10' at 'guests' failed to satisfy constraint: Member must have value less than or equal to 9; " +
			"Value '[a, b]' at 'tags' failed to satisfy constraint: Member must have length less than or equal to 3; " +
			"Value null at 'tags.3.member' failed to satisfy constraint: Member must not be null; " +
			"Value 'A' at 'hosts.1.member.id' failed to satisfy constraint: Member must have length greater than or equal to 2; " +
			"Value 'A' at 'hosts.1.member.id' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+; " +
			"Value null at 'hosts.2.member.id' failed to satisfy constraint: Member must not be null; " +
			"Value at 'password' failed to satisfy constraint: Member must have length less than or equal to 8",
		`{"Name":"a\u0000"}`: "1 validation error detected: Value 'a␀' at 'name' failed to satisfy constraint: Member must not contain the character U+0000",
	} {
		_, err := Decode([]byte(body), aParty, new(party))
		var breaches Breaches
		if !errors.As(err, &breaches) || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", body, err, want)
		}
	}
}

func TestBreachesAreBounded(t *testing.T) {
	body := `{"Name":"` + strings.Repeat("é", 500) + `","Hosts":[{}` + strings.Repeat(",{}", 5000) + `]}`
	_, err := Decode([]byte(body), aParty, new(party))
	var breaches Breaches
	if !errors.As(err, &breaches) || len(breaches) != keptBreaches {
		t.Fatalf("%d breaches were kept, want %d", len(breaches), keptBreaches)
	}
	if m := err.Error(); len(m) > 20_000 || !strings.HasSuffix(m, "; and 936 more") || !strings.Contains(m, "'"+strings.Repeat("é", 256)+"…'") {
		t.Errorf("the message has %d bytes: %s", len(m), m)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		yes, not []string
	}{
		{organizationName, []string{"a", "d", "d0", "my-org-1", "D-x"}, []string{"", "d-1", "-a", "a-", "a--b", "a\n", "ä", "a_b"}},
		{
			arnPattern("workmail"),
			[]string{"arn:aws:workmail::x:o", "arn:aws:workmail:eu-west-1:1:o/m" + strings.Repeat("/", 1021)},
			[]string{"arn:aws:workmail::x:", "arn:aws:workmail:eu-west-1:1:o/m" + strings.Repeat("/", 1022), "arn:aws:kms::x:o", "arn:aws:workmail::x:o\n"},
		},
		{`[\u0020-\u00FF]+`, []string{" ", "ÿ"}, []string{"", "Ā", "\n", "a\n"}},
		{`\\u0020`, []string{`\u0020`}, []string{" "}},
		{`^$|^a$`, []string{"", "a"}, []string{"\n", "a\n", "b"}},
	} {
		p := NewPattern(c.pattern)
		for _, s := range c.yes {
			if !p.Match(s) {
				t.Errorf("%s must match %q", c.pattern, s)
			}
		}
		for _, s := range c.not {
			if p.Match(s) {
				t.Errorf("%s must not match %q", c.pattern, s)
			}
		}
	}
}

// FuzzDecode holds the decoder against encoding/json: what ours accepts is JSON and survives being written and read again.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"Name":"a"}`, `{"Name":"\u00e9\ud834\udd1e","Guests":7,"Ratio":1e-3,"Tags":["x"],"Hosts":[{"Id":"ab","Secret":null}],"x":{"y":[1,2,{}]}}`,
		`{"Name":"a","Begins":1522693605.468,"Photo":"AA==","Open":true,"Big":-9223372036854775808}`, `{"Name":null}`, `[[[[`, "{\"a\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var first, second party
		_, err := Decode(body, aParty, &first)
		var syntax *SyntaxError
		if errors.As(err, &syntax) {
			if syntax.Offset < 0 || syntax.Offset > max(len(body), 2) {
				t.Errorf("offset %d in %d bytes", syntax.Offset, len(body))
			}
			return
		}
		if len(bytes.TrimSpace(body)) > 0 && (!json.Valid(body) || !utf8.Valid(body)) {
			t.Errorf("accepted what is not JSON: %q", body)
		}
		if err != nil {
			return
		}
		written, err := Append(nil, aParty, &first)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(written, aParty, &second); err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("%q\nwrote %s (%v)\nread  %+v\nfirst %+v", body, written, err, second, first)
		}
	})
}
