package mailauth

import (
	"fmt"
	"strings"
	"testing"
)

// said is a record in short: its policies, and what else is not as it is without.
func said(r *Record) string {
	if r == nil {
		return "none"
	}
	s := fmt.Sprintf("%s %s %s", r.Policy, r.Subdomains, r.NonExistent)
	for word, is := range map[string]bool{" adkim": r.StrictDKIM, " aspf": r.StrictSPF, " t": r.Testing} {
		if is {
			s += word
		}
	}
	if r.Percent != 100 {
		s += fmt.Sprintf(" pct=%d", r.Percent)
	}
	if r.PublicSuffix != "u" {
		s += " psd=" + r.PublicSuffix
	}
	if r.FailureOptions != "0" {
		s += " fo=" + r.FailureOptions
	}
	if len(r.Aggregate) > 0 {
		s += " " + strings.Join(r.Aggregate, " ")
	}
	return s
}

func TestRecords(t *testing.T) {
	for text, want := range map[string]string{
		"v=DMARC1; p=none":                                              "none none none",
		"v=DMARC1;p=reject":                                             "reject reject reject",
		"v = DMARC1 ; P = Reject ; sp=quarantine;":                      "reject quarantine quarantine",
		"v=DMARC1; p=reject; np=quarantine":                             "reject reject quarantine",
		"v=DMARC1; p=none; sp=reject; np=none":                          "none reject none",
		"v=DMARC1; p=reject; adkim=s":                                   "reject reject reject adkim",
		"v=DMARC1; p=reject; aspf=S; adkim=r":                           "reject reject reject aspf",
		"v=DMARC1; p=reject; adkim=x; pct=101; t=maybe; psd=x; fo=9":    "reject reject reject", // each as if it was not there
		"v=DMARC1; p=quarantine; pct=5; t=y; psd=Y; fo=1:d":             "quarantine quarantine quarantine t pct=5 psd=y fo=1:d",
		"v=DMARC1; p=reject; p=none":                                    "reject reject reject",
		"v=DMARC1; p=reject; x-tag=1; ;; noise; =":                      "reject reject reject",
		"v=DMARC1; p=none; rua=mailto:a@x.example!10m, mailto:b@x.test": "none none none mailto:a@x.example!10m mailto:b@x.test",
		"v=DMARC1; p=none; rua=a@x.example,:,https://h/p,mailto:":       "none none none https://h/p",
		"v=DMARC1; rua=mailto:a@x.example":                              "none none none mailto:a@x.example",
		"v=DMARC1; p=refuse; rua=mailto:a@x.example":                    "none none none mailto:a@x.example",
		"v=DMARC1; p=reject; sp=all; rua=mailto:a@x.example":            "none none none mailto:a@x.example",
		"v=DMARC1":                       "none",
		"v=DMARC1; p=":                   "none",
		"v=DMARC1; p=reject; np=nothing": "none",
		"v=DMARC1; rua=nobody":           "none",
		"":                               "none",
		"p=reject; v=DMARC1":             "none",
		"v=dmarc1; p=reject":             "none",
		"v=DMARC12; p=reject":            "none",
		"v=DMARC1 p=reject":              "none",
		"v=spf1 -all":                    "none",
	} {
		r, ok := ParseRecord(text)
		if got := said(r); got != want || ok != (r != nil) {
			t.Errorf("%q is %q, %v; want %q", text, got, ok, want)
		}
	}
	r, _ := ParseRecord("v=DMARC1; p=none; rua=" + strings.Repeat("mailto:a@x.example,", 1000))
	if len(r.Aggregate) != maxURIs {
		t.Errorf("%d addresses for reports", len(r.Aggregate))
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("v=DMARC1; p=reject; sp=none; np=quarantine; rua=mailto:a@x.example!10m; adkim=s; aspf=r; pct=50; t=y; psd=n; fo=1:d:s")
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := ParseRecord(text)
		if ok != (r != nil) {
			t.Fatal("a record that is none")
		}
		if !ok {
			return
		}
		for _, p := range []Policy{r.Policy, r.Subdomains, r.NonExistent} {
			if p != PolicyNone && p != PolicyQuarantine && p != PolicyReject {
				t.Errorf("the policy %q", p)
			}
		}
		if r.Percent < 0 || r.Percent > 100 || len(r.Aggregate) > maxURIs || !strings.Contains("ynu", r.PublicSuffix) {
			t.Errorf("%+v", r)
		}
	})
}
