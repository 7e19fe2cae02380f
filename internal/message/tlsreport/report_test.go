package tlsreport

import (
	"bytes"
	"compress/gzip"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

// microsoft has the shape of Microsoft's reports, with several policies.
const microsoft = `{"organization-name":"Microsoft Corporation","date-range":{"start-datetime":"2026-11-24T00:00:00Z","end-datetime":"2026-11-24T23:59:59Z"},
"contact-info":"tlsrpt-noreply@microsoft.com","report-id":"639000000000000000+example.com","policies":[
{"policy":{"policy-type":"sts","policy-string":["version: STSv1","mode: enforce","mx: mail.example.com","max_age: 604800"],"policy-domain":"Example.com"},
"summary":{"total-successful-session-count":12,"total-failure-session-count":2},
"failure-details":[{"result-type":"certificate-host-mismatch","sending-mta-ip":"::ffff:192.0.2.7","receiving-mx-hostname":"mail.example.com","failed-session-count":2}]},
{"policy":{"policy-type":"no-policy-found","policy-domain":"example.com"},"summary":{"total-successful-session-count":1,"total-failure-session-count":0}}]}`

// google has the shape of Google's: mx-host is a list, and there are offsets of zones in none of them.
const google = `{"organization-name":"Google Inc.","date-range":{"start-datetime":"2026-11-24T00:00:00Z","end-datetime":"2026-11-24T23:59:59Z"},
"contact-info":"smtp-tls-reporting@google.com","report-id":"2026-11-24T00:00:00Z_example.com","policies":[{"policy":{"policy-type":"sts",
"policy-string":["version: STSv1","mode: testing","mx: mail.example.com","max_age: 86400"],"policy-domain":"example.com","mx-host":["mail.example.com"]},
"summary":{"total-successful-session-count":3,"total-failure-session-count":0}}]}`

func TestSamplesOfLargeSenders(t *testing.T) {
	day := Range{time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 24, 23, 59, 59, 0, time.UTC)}
	got, err := Read([]byte(microsoft))
	want := &Report{
		Organization: "Microsoft Corporation", Range: day, Contact: "tlsrpt-noreply@microsoft.com", ID: "639000000000000000+example.com",
		Policies: []PolicyReport{
			{
				Policy:   Policy{Type: "sts", Strings: []string{"version: STSv1", "mode: enforce", "mx: mail.example.com", "max_age: 604800"}, Domain: "example.com"},
				Summary:  Summary{12, 2},
				Failures: []Failure{{Result: "certificate-host-mismatch", Local: "192.0.2.7", Host: "mail.example.com", Sessions: 2}},
			},
			{Policy: Policy{Type: "no-policy-found", Domain: "example.com"}, Summary: Summary{1, 0}},
		},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Microsoft's is\n%+v (%v), want\n%+v", got, err, want)
	}
	if got, err = Read([]byte(google)); err != nil || got.Policies[0].Policy.MX[0] != "mail.example.com" || got.Policies[0].Summary.Succeeded != 3 {
		t.Errorf("Google's is %+v (%v)", got, err)
	}
	// What was read can be written, and is read again as the same.
	if again, err := Read(written(t, want)); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("read again it is %+v (%v)", again, err)
	}
}

func written(t testing.TB, r *Report) []byte {
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

func TestOddReports(t *testing.T) {
	for name, c := range map[string]struct {
		text, refuse string
		holds        func(r *Report) bool
	}{
		"a host that is no list": {text: strings.Replace(google, `["mail.example.com"]`, `"mail.example.com"`, 1), holds: func(r *Report) bool { return len(r.Policies[0].Policy.MX) == 1 }},
		"a negative number":      {text: strings.Replace(google, `count":3`, `count":-3`, 1), holds: func(r *Report) bool { return r.Policies[0].Summary.Succeeded == 0 }},
		"a NUL":                  {text: strings.Replace(google, "Google", `\u0000`, 1), holds: func(r *Report) bool { return r.Organization == "\uFFFD Inc." }},
		"no name":                {text: strings.Replace(google, "Google Inc.", "", 1), holds: func(r *Report) bool { return r.Organization == r.Contact }},
		"many failures": {
			text:  strings.Replace(google, `"summary"`, `"failure-details":[`+strings.Repeat("{},", maxFailures)+`{}],"summary"`, 1),
			holds: func(r *Report) bool { return len(r.Policies[0].Failures) == maxFailures },
		},
		"too many of them": {text: strings.Replace(google, `"summary"`, `"failure-details":[`+strings.Repeat("{},", maxObjects)+`{}],"summary"`, 1), refuse: "objects"},
		"too many bytes":   {text: google + strings.Repeat(" ", maxBytes), refuse: "bytes"},
		"no id":            {text: strings.Replace(google, "2026-11-24T00:00:00Z_example.com", " ", 1), refuse: "no id"},
		"no time":          {text: strings.Replace(google, `"start-datetime":"2026-11-24T00:00:00Z",`, "", 1), refuse: "no time"},
		"no policy":        {text: google[:strings.Index(google, "[")] + "[]}", refuse: "no policy"},
		"another thing":    {text: `{"a":1}`, refuse: "who reports"},
		"half of it":       {text: google[:len(google)/2], refuse: "unexpected end"},
	} {
		r, err := Read([]byte(c.text))
		switch {
		case c.refuse != "":
			if err == nil || !strings.Contains(err.Error(), c.refuse) {
				t.Errorf("%s: %v, want %q", name, err, c.refuse)
			}
		case err != nil || !c.holds(r):
			t.Errorf("%s is %+v (%v)", name, r, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(google))
	f.Add([]byte(microsoft))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Read(b)
		if err != nil {
			return
		}
		if _, err := Read(written(t, r)); err != nil {
			t.Errorf("%v of %q", err, b)
		}
	})
}
