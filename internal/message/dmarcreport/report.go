// Package dmarcreport writes and reads aggregate reports of DMARC: it writes the format of RFC 9990, and reads that and the one of RFC 7489
// appendix C and its drafts, whatever namespace they name.
package dmarcreport

import "encoding/xml"

// Report is an aggregate report. Texts are as the report has them, but bounded.
type Report struct {
	XMLName      xml.Name `xml:"urn:ietf:params:xml:ns:dmarc-2.0 feedback"` // that of RFC 9990, whatever was read
	Version      string   `xml:"version,omitempty"`
	Organization string   `xml:"report_metadata>org_name"` // who reports
	Email        string   `xml:"report_metadata>email"`
	Contact      string   `xml:"report_metadata>extra_contact_info,omitempty"`
	ID           string   `xml:"report_metadata>report_id"`
	// Begin and End are the time that is reported on, in seconds since 1970.
	Begin     int64    `xml:"report_metadata>date_range>begin"`
	End       int64    `xml:"report_metadata>date_range>end"`
	Errors    []string `xml:"report_metadata>error"`
	Generator string   `xml:"report_metadata>generator,omitempty"`
	Policy    Policy   `xml:"policy_published"`
	Records   []Record `xml:"record"`
	// Omitted is how many records a report had beyond those that Read reads.
	Omitted int `xml:"-"`
}

// Policy is what a domain published.
type Policy struct {
	Domain      string `xml:"domain" json:"domain"`
	Policy      string `xml:"p" json:"p"`
	Subdomains  string `xml:"sp,omitempty" json:"sp,omitempty"`
	NonExistent string `xml:"np,omitempty" json:"np,omitempty"`
	DKIM        string `xml:"adkim,omitempty" json:"adkim,omitempty"` // r or s
	SPF         string `xml:"aspf,omitempty" json:"aspf,omitempty"`
	// Percent is pct of RFC 7489, which RFC 9990 has no more.
	Percent        string `xml:"pct,omitempty" json:"pct,omitempty"`
	Discovery      string `xml:"discovery_method,omitempty" json:"discovery,omitempty"` // psl or treewalk
	FailureOptions string `xml:"fo,omitempty" json:"fo,omitempty"`
	Testing        string `xml:"testing,omitempty" json:"testing,omitempty"` // y or n
}

// Record counts messages that are alike.
type Record struct {
	Source      string `xml:"row>source_ip" json:"source"`
	Count       int64  `xml:"row>count" json:"count,omitempty"`
	Disposition string `xml:"row>policy_evaluated>disposition" json:"disposition"` // none, pass, quarantine, reject
	// DKIM and SPF are pass or fail, as DMARC sees them: with alignment.
	DKIM         string       `xml:"row>policy_evaluated>dkim" json:"dkim"`
	SPF          string       `xml:"row>policy_evaluated>spf" json:"spf"`
	Reasons      []Reason     `xml:"row>policy_evaluated>reason" json:"reasons,omitempty"`
	HeaderFrom   string       `xml:"identifiers>header_from" json:"headerFrom"`
	EnvelopeFrom string       `xml:"identifiers>envelope_from" json:"envelopeFrom,omitempty"`
	EnvelopeTo   string       `xml:"identifiers>envelope_to,omitempty" json:"envelopeTo,omitempty"`
	DKIMResults  []DKIMResult `xml:"auth_results>dkim" json:"dkimResults,omitempty"`
	SPFResults   []SPFResult  `xml:"auth_results>spf" json:"spfResults,omitempty"`
}

// Reason is why the disposition is another than the policy.
type Reason struct {
	Type    string `xml:"type" json:"type"`
	Comment string `xml:"comment,omitempty" json:"comment,omitempty"`
}

// DKIMResult is what became of a signature.
type DKIMResult struct {
	Domain   string `xml:"domain" json:"domain"`
	Selector string `xml:"selector" json:"selector,omitempty"`
	Result   string `xml:"result" json:"result"`
	Human    string `xml:"human_result,omitempty" json:"human,omitempty"`
}

// SPFResult is what became of the reverse-path's check.
type SPFResult struct {
	Domain string `xml:"domain" json:"domain"`
	Scope  string `xml:"scope,omitempty" json:"scope,omitempty"` // mfrom, or helo
	Result string `xml:"result" json:"result"`
	Human  string `xml:"human_result,omitempty" json:"human,omitempty"`
}

// Passed reports whether the messages pass DMARC.
func (r *Record) Passed() bool { return r.DKIM == "pass" || r.SPF == "pass" }
