// Package tlsreport writes and reads reports on TLS: how protected connections to the hosts of a domain went (RFC 8460 section 4).
package tlsreport

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"time"
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
	MX      []string `json:"mx-host,omitempty"`
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
