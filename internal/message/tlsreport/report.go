// Package tlsreport writes and reads reports on TLS: how protected connections to the hosts of a domain went (RFC 8460 section 4).
package tlsreport

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/mailreport"
)

// Report is a report.
type Report struct {
	Organization string         `json:"organization-name"` // who reports
	Range        Range          `json:"date-range"`
	Contact      string         `json:"contact-info"`
	ID           string         `json:"report-id"`
	Policies     []PolicyReport `json:"policies"`
}

// Range is the time that is reported on.
type Range struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// PolicyReport is what was counted under one policy.
type PolicyReport struct {
	Policy   Policy    `json:"policy"`
	Summary  Summary   `json:"summary"`
	Failures []Failure `json:"failure-details,omitempty"`
}

// Policy is what protected the connections.
type Policy struct {
	Type    string   `json:"policy-type"` // sts, tlsa, no-policy-found
	Strings []string `json:"policy-string,omitempty"`
	Domain  string   `json:"policy-domain"`
	MX      Hosts    `json:"mx-host,omitempty"`
}

// Summary is how many sessions there were.
type Summary struct {
	Succeeded int64 `json:"total-successful-session-count"`
	Failed    int64 `json:"total-failure-session-count"`
}

// Failure counts failures that are alike.
type Failure struct {
	Result   string `json:"result-type"`
	Local    string `json:"sending-mta-ip,omitempty"`
	Host     string `json:"receiving-mx-hostname,omitempty"`
	Helo     string `json:"receiving-mx-helo,omitempty"`
	Address  string `json:"receiving-ip,omitempty"`
	Sessions int64  `json:"failed-session-count"`
	Info     string `json:"additional-information,omitempty"`
	Reason   string `json:"failure-reason-code,omitempty"`
}

// Hosts are the mx-host of a policy: a list, or the text that an example of the RFC has.
type Hosts []string

// UnmarshalJSON reads a list or a text.
func (h *Hosts) UnmarshalJSON(b []byte) error {
	var list []string
	if err := json.Unmarshal(b, &list); err == nil {
		*h = list
		return nil
	}
	var one string
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*h = Hosts{one}
	return nil
}

// Write writes the report as JSON, packed by gzip.
func Write(w io.Writer, r *Report) error {
	packed := gzip.NewWriter(w)
	if err := json.NewEncoder(packed).Encode(r); err != nil {
		return fmt.Errorf("write a TLS report: %w", err)
	}
	if err := packed.Close(); err != nil {
		return fmt.Errorf("write a TLS report: %w", err)
	}
	return nil
}

// What Read reads of a report. What lies beyond the lists' limits is left out.
const (
	maxBytes    = 4 << 20
	maxObjects  = 50_000 // of the document; one that has more is refused
	maxPolicies = 100
	maxFailures = 1000 // of a policy
	maxStrings  = 50   // of a policy, and hosts
	maxSessions = 1e12 // of a kind
)

// Read reads the JSON of a report. It refuses what says not who reports, on which policies, or on when.
func Read(b []byte) (*Report, error) {
	if len(b) > maxBytes || bytes.Count(b, []byte("{")) > maxObjects {
		return nil, fmt.Errorf("read a TLS report: it has more than %d bytes or %d objects", maxBytes, maxObjects)
	}
	r := &Report{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read a TLS report: %w", err)
	}
	if err := r.clean(); err != nil {
		return nil, fmt.Errorf("read a TLS report: %w", err)
	}
	return r, nil
}

// clean bounds what the report has, and says what is missing.
func (r *Report) clean() error {
	for _, s := range []*string{&r.Organization, &r.Contact, &r.ID} {
		*s = mailreport.Text(*s)
	}
	if r.Organization == "" {
		r.Organization = r.Contact
	}
	r.Policies = r.Policies[:min(len(r.Policies), maxPolicies)]
	for i := range r.Policies {
		r.Policies[i].clean()
	}
	begin := r.Range.Start.Year()
	switch {
	case r.Organization == "" || r.ID == "":
		return errors.New("it does not say who reports, or has no id")
	case begin < 2000 || begin > 9998 || r.Range.End.Before(r.Range.Start) || r.Range.End.Year() > 9999:
		return fmt.Errorf("it is on no time: from %v to %v", r.Range.Start, r.Range.End)
	case len(r.Policies) == 0:
		return errors.New("it has no policy")
	}
	return nil
}

func (p *PolicyReport) clean() {
	p.Policy.Type = mailreport.Text(p.Policy.Type)
	p.Policy.Domain = message.FoldDomain(strings.TrimSuffix(mailreport.Text(p.Policy.Domain), "."))
	p.Policy.Strings = texts(p.Policy.Strings)
	p.Policy.MX = texts(p.Policy.MX)
	p.Summary.Succeeded, p.Summary.Failed = count(p.Summary.Succeeded), count(p.Summary.Failed)
	p.Failures = p.Failures[:min(len(p.Failures), maxFailures)]
	for i := range p.Failures {
		f := &p.Failures[i]
		f.Sessions = count(f.Sessions)
		for _, s := range []*string{&f.Result, &f.Host, &f.Helo, &f.Info, &f.Reason} {
			*s = mailreport.Text(*s)
		}
		f.Local, f.Address = address(f.Local), address(f.Address)
	}
}

func texts(list []string) []string {
	list = list[:min(len(list), maxStrings)]
	for i := range list {
		list[i] = mailreport.Text(list[i])
	}
	return list
}

func count(n int64) int64 { return min(max(n, 0), maxSessions) }

// address returns an address as it is always written, and other things as they are.
func address(s string) string {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return mailreport.Text(s)
	}
	return a.Unmap().WithZone("").String()
}
