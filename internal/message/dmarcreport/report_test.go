package dmarcreport

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/message/mailreport"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".xml")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// whole is a report with everything in it.
func whole() Report {
	return Report{
		Organization: "mail.example.org", Email: "postmaster@mail.example.org", Contact: "https://example.org/?a&b", ID: "0af3", Begin: 1764028800, End: 1764115199,
		Errors: []string{"2 messages are not in it"}, Generator: "Pennypost",
		Policy: Policy{
			Domain: "example.com", Policy: "reject", Subdomains: "quarantine", NonExistent: "none", DKIM: "s", SPF: "r", Discovery: "treewalk", FailureOptions: "1:d",
			Testing: "n",
		},
		Records: []Record{
			{
				Source: "192.0.2.1", Count: 5, Disposition: "quarantine", DKIM: "fail", SPF: "fail", Reasons: []Reason{{"local_policy", "<arc=pass>"}, {Type: "other"}},
				HeaderFrom: "news.example.com", EnvelopeFrom: "lists.example.net", EnvelopeTo: "example.org",
				DKIMResults: []DKIMResult{{"example.com", "a", "fail", "body hash"}, {"lists.example.net", "b", "pass", ""}},
				SPFResults:  []SPFResult{{"lists.example.net", "mfrom", "pass", ""}},
			},
			{
				Source: "2001:db8::1", Count: 1, Disposition: "pass", DKIM: "pass", SPF: "fail", HeaderFrom: "example.com",
				DKIMResults: []DKIMResult{{"example.com", "a", "pass", ""}}, SPFResults: []SPFResult{{"helo.example.com", "mfrom", "none", ""}},
			},
		},
	}
}

func written(t testing.TB, r Report) []byte {
	t.Helper()
	var packed bytes.Buffer
	if err := Write(&packed, r); err != nil {
		t.Fatal(err)
	}
	g, err := gzip.NewReader(&packed)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(g)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	want := whole()
	text := written(t, want)
	got, err := Read(text)
	if err != nil {
		t.Fatal(err)
	}
	want.Version = "1.0"
	if !reflect.DeepEqual(got, &want) {
		t.Errorf("read is\n%+v, want\n%+v", got, &want)
	}
	// The schema wants these in this order, and one namespace for all.
	order := 0
	for _, tag := range []string{
		`<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"><version>1.0</version>`, "<report_metadata>", "<policy_published>", "<record><row><source_ip>", "<count>", "<policy_evaluated>",
		"<disposition>", "<dkim>fail", "<spf>fail", "<reason>", "<identifiers>", "<auth_results><dkim>", "<spf><domain>", "</feedback>",
	} {
		i := bytes.Index(text[order:], []byte(tag))
		if i < 0 {
			t.Fatalf("%s is not where it should be in\n%s", tag, text)
		}
		order += i
	}
	if n := bytes.Count(text, []byte("xmlns")); n != 1 {
		t.Errorf("%d namespaces are named", n)
	}
}

func TestSamplesOfLargeSenders(t *testing.T) {
	for _, c := range []struct {
		name, organization, id, policy string
		count                          int64
		passed                         bool
		first                          Record
	}{
		{"google", "google.com", "1234567890123456789", "quarantine", 45, true, Record{
			Source: "192.0.2.10", Count: 42, Disposition: "none", DKIM: "pass", SPF: "pass", HeaderFrom: "example.com",
			DKIMResults: []DKIMResult{{Domain: "example.com", Selector: "r2026", Result: "pass"}}, SPFResults: []SPFResult{{Domain: "example.com", Result: "pass"}},
		}},
		{"microsoft", "Enterprise Outlook", "0123456789abcdef0123456789abcdef", "reject", 7, false, Record{
			Source: "192.0.2.10", Count: 7, Disposition: "reject", DKIM: "fail", SPF: "fail", HeaderFrom: "example.com", EnvelopeFrom: "spam.example", EnvelopeTo: "contoso.example",
			DKIMResults: []DKIMResult{{Domain: "spam.example", Selector: "s1", Result: "none"}},
			SPFResults:  []SPFResult{{Domain: "spam.example", Scope: "mfrom", Result: "none"}},
		}},
		{"yahoo", "Yahoo", "1764115201.123456", "none", 1, true, Record{
			Source: "192.0.2.10", Count: 1, Disposition: "none", DKIM: "pass", SPF: "fail", HeaderFrom: "example.com",
			DKIMResults: []DKIMResult{{Domain: "example.com", Selector: "r2026", Result: "pass"}}, SPFResults: []SPFResult{{Domain: "bounce.example.net", Result: "softfail"}},
		}},
	} {
		r, err := Read(sample(t, c.name))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var count int64
		for _, one := range r.Records {
			count += one.Count
		}
		if r.Organization != c.organization || r.ID != c.id || r.Policy.Policy != c.policy || r.Policy.Domain != "example.com" || count != c.count || r.Begin != 1764028800 {
			t.Errorf("%s is %+v", c.name, r)
		}
		if !reflect.DeepEqual(r.Records[0], c.first) || r.Records[0].Passed() != c.passed {
			t.Errorf("%s has the record %+v, want %+v", c.name, r.Records[0], c.first)
		}
	}
	r, err := Read(sample(t, "google"))
	if err != nil || r.Records[1].Source != "2001:db8::25" || r.Records[1].Reasons[0] != (Reason{"local_policy", "arc=pass"}) || r.Policy.NonExistent != "quarantine" {
		t.Errorf("the second record is %+v (%v)", r.Records[1], err)
	}
}

// TestOddReports: what senders get wrong, and what is no report.
func TestOddReports(t *testing.T) {
	good := string(sample(t, "google"))
	for name, c := range map[string]struct {
		text   string
		refuse string
		holds  func(r *Report) bool
	}{
		"a namespace of the drafts": {text: strings.Replace(good, "<feedback>", `<feedback xmlns="http://dmarc.org/dmarc-xml/0.1">`, 1)},
		"prefixes":                  {text: strings.NewReplacer("<?", "<?", "</", "</d:", "<feedback", "<d:feedback xmlns:d='urn:ietf:params:xml:ns:dmarc-2.0'", "<", "<d:").Replace(good)},
		"a schema's tag in front":   {text: strings.Replace(good, "<feedback>", `<xs:schema xmlns:xs="x"></xs:schema><feedback>`, 1), refuse: "no report but <schema>"},
		"an ampersand as it is":     {text: strings.Replace(good, "answer/2466580", "?a&b", 1), holds: func(r *Report) bool { return strings.HasSuffix(r.Contact, "?a&b") }},
		"Latin-1": {
			text:  strings.NewReplacer("UTF-8", "ISO-8859-1", "<org_name>google.com", "<org_name>caf\xe9").Replace(good),
			holds: func(r *Report) bool { return r.Organization == "café" },
		},
		"two encodings":          {text: strings.Repeat(`<?xml version="1.0" encoding="latin1"?>`, 2) + good, refuse: "declared twice"},
		"extensions":             {text: strings.Replace(good, "</policy_published>", "</policy_published><extension><x:y xmlns:x='z'>1</x:y></extension>", 1)},
		"a domain of capitals":   {text: strings.Replace(good, "<domain>example.com", "<domain>Example.COM.", 1)},
		"a record of no address": {text: strings.Replace(good, "192.0.2.10", "x", 1), holds: func(r *Report) bool { return len(r.Records) == 1 }},
		"a record of nothing":    {text: strings.Replace(good, "<count>42", "<count>-1", 1), holds: func(r *Report) bool { return len(r.Records) == 1 }},
		"a long comment": {
			text:  strings.Replace(good, "arc=pass", strings.Repeat("ü", 1000), 1),
			holds: func(r *Report) bool { return len(r.Records[1].Reasons[0].Comment) == mailreport.MaxText },
		},
		"no name but an address": {text: strings.Replace(good, "<org_name>google.com</org_name>", "", 1), holds: func(r *Report) bool { return r.Organization == r.Email }},
		"no id":                  {text: strings.Replace(good, "1234567890123456789", " ", 1), refuse: "no id"},
		"no domain":              {text: strings.Replace(good, "<domain>example.com", "<domain>", 1), refuse: "which domain"},
		"no time":                {text: strings.Replace(good, "1764028800", "0", 1), refuse: "no time"},
		"an end before it began": {text: strings.Replace(good, "1764115199", "1764028799", 1), refuse: "no time"},
		"no record":              {text: good[:strings.Index(good, "<record>")] + "</feedback>", refuse: "no record"},
		"half of it":             {text: good[:len(good)/2], refuse: "EOF"},
		"words for a number":     {text: strings.Replace(good, "<count>42", "<count>many", 1), refuse: "invalid syntax"},
		"entities": {
			text:   strings.Replace(good, "<feedback>", `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><feedback>`, 1),
			refuse: "document type",
		},
		"too many elements":   {text: strings.Replace(good, "<version>", strings.Repeat("<x/>", maxElements)+"<version>", 1), refuse: "elements"},
		"too deep":            {text: strings.Replace(good, "<version>", strings.Repeat("<x>", maxDepth), 1), refuse: "inside each other"},
		"too many attributes": {text: strings.Replace(good, "<version>", "<version "+strings.Repeat("a='b' ", maxAttributes+1)+">", 1), refuse: "attributes"},
		"HTML":                {text: "<html><body>hello</body></html>", refuse: "no report but <html>"},
		"nothing":             {text: "", refuse: "EOF"},
	} {
		r, err := Read([]byte(c.text))
		switch {
		case c.refuse != "":
			if err == nil || !strings.Contains(err.Error(), c.refuse) {
				t.Errorf("%s: %v, want %q", name, err, c.refuse)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case r.Policy.Domain != "example.com" || c.holds != nil && !c.holds(r):
			t.Errorf("%s is %+v", name, r)
		}
	}
}

// TestManyEncodings: each declaration of an encoding would copy what follows, so that the time was the square of the size.
func TestManyEncodings(t *testing.T) {
	bomb := bytes.Repeat([]byte(`<?xml version="1.0" encoding="latin1"?>`), 400)
	if n := testing.AllocsPerRun(1, func() { _, _ = Read(bomb) }); n > 100 {
		t.Errorf("a document with many encodings takes %.0f allocations", n)
	}
	if _, err := Read(bomb); err == nil || !strings.Contains(err.Error(), "declared twice") {
		t.Errorf("read: %v", err)
	}
}

func TestManyRecords(t *testing.T) {
	const record = `<record><row><source_ip>192.0.2.1</source_ip><count>1</count></row></record>`
	good := string(sample(t, "google"))
	start := strings.Index(good, "<record>")
	full := &Report{Records: make([]Record, MaxRecords-1)}
	d := xml.NewDecoder(strings.NewReader(strings.Repeat(record, 3)))
	for range 3 {
		token, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		start := token.(xml.StartElement)
		if err := full.child(d, &start); err != nil {
			t.Fatal(err)
		}
	}
	if len(full.Records) != MaxRecords || full.Omitted != 2 {
		t.Errorf("%d records, %d omitted", len(full.Records), full.Omitted)
	}
	r, err := Read([]byte(good[:start] + `<record><row><source_ip>192.0.2.1</source_ip><count>1</count><policy_evaluated>` + strings.Repeat("<reason/>", 99) +
		`</policy_evaluated></row><auth_results>` + strings.Repeat("<dkim/>", 999) + strings.Repeat("<spf/>", 99) + `</auth_results></record></feedback>`))
	if err != nil {
		t.Fatal(err)
	}
	if one := r.Records[0]; len(one.Reasons) != maxReasons || len(one.DKIMResults) != maxSignatures || len(one.SPFResults) != maxResults {
		t.Errorf("the lists have %d, %d and %d items", len(one.Reasons), len(one.DKIMResults), len(one.SPFResults))
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"google", "microsoft", "yahoo"} {
		f.Add(sample(f, name))
	}
	f.Add(written(f, whole()))
	f.Add(bytes.Repeat([]byte(`<?xml version="1.0" encoding="latin1"?>`), 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Read(b)
		if err != nil {
			return
		}
		// What was read can be written, and is read again as the same.
		again, err := Read(written(t, *r))
		if err != nil {
			t.Fatalf("%v of %q", err, b)
		}
		again.Version, again.Omitted = r.Version, r.Omitted
		if fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", r) {
			t.Errorf("%+v is read as %+v", r, again)
		}
	})
}
