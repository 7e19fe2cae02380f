package dmarcreport

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/pennypost/pennypost/internal/boundedxml"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/mailreport"
)

// What Read reads of a report. What lies beyond the lists' limits is left out; more elements, or deeper ones, are refused.
const (
	MaxRecords    = 20_000
	maxElements   = 600_000
	maxDepth      = 16
	maxAttributes = 16 // of an element
	maxErrors     = 10
	maxReasons    = 10   // of a record
	maxSignatures = 100  // of a record (RFC 9990 section 3.1.3)
	maxResults    = 10   // of SPF, of a record
	maxCount      = 1e12 // messages of a record
)

// Read reads the XML of a report, of which the caller bounds the size. It refuses what has a document type, and so any entities but XML's own;
// what says not who reports, on what, or on when; and what has no record.
func Read(b []byte) (*Report, error) {
	inner := xml.NewDecoder(bytes.NewReader(b))
	inner.Strict = false
	declared := false
	inner.CharsetReader = func(charset string, rest io.Reader) (io.Reader, error) {
		if declared { // each would copy all that follows
			return nil, errors.New("its encoding is declared twice")
		}
		declared = true
		text, err := io.ReadAll(rest)
		return strings.NewReader(message.DecodeCharset(charset, text)), err
	}
	r, err := readFeedback(boundedxml.NewDecoder(inner, boundedxml.Limits{Elements: maxElements, Depth: maxDepth, Attributes: maxAttributes}))
	if err != nil {
		return nil, fmt.Errorf("read a DMARC report: %w", err)
	}
	return r, nil
}

// readFeedback reads the children of the root one by one, so that there are never more records in memory than are kept.
func readFeedback(d *xml.Decoder) (*Report, error) {
	r, inside := &Report{}, false
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
		switch t := token.(type) {
		case xml.EndElement: // the root's
			return r, r.check()
		case xml.StartElement:
			if !inside {
				if t.Name.Local != "feedback" {
					return nil, fmt.Errorf("it is no report but <%.20s>", t.Name.Local)
				}
				inside = true
				continue
			}
			if err := r.child(d, &t); err != nil {
				return nil, err
			}
		}
	}
}

// metadata is report_metadata.
type metadata struct {
	Organization string   `xml:"org_name"`
	Email        string   `xml:"email"`
	Contact      string   `xml:"extra_contact_info"`
	ID           string   `xml:"report_id"`
	Begin        int64    `xml:"date_range>begin"`
	End          int64    `xml:"date_range>end"`
	Errors       []string `xml:"error"`
	Generator    string   `xml:"generator"`
}

func (r *Report) child(d *xml.Decoder, start *xml.StartElement) error {
	switch start.Name.Local {
	case "version":
		return d.DecodeElement(&r.Version, start)
	case "report_metadata":
		var m metadata
		err := d.DecodeElement(&m, start)
		r.Organization, r.Email, r.Contact, r.ID, r.Begin, r.End, r.Generator = m.Organization, m.Email, m.Contact, m.ID, m.Begin, m.End, m.Generator
		r.Errors = m.Errors[:min(len(m.Errors), maxErrors)]
		return err
	case "policy_published":
		return d.DecodeElement(&r.Policy, start)
	case "record":
		if len(r.Records) == MaxRecords {
			r.Omitted++
			break
		}
		var one Record
		if err := d.DecodeElement(&one, start); err != nil {
			return err
		}
		if one.clean() {
			r.Records = append(r.Records, one)
		}
		return nil
	}
	return d.Skip()
}

// check bounds the texts, and says what is missing.
func (r *Report) check() error {
	p := &r.Policy
	for _, s := range []*string{
		&r.Version, &r.Organization, &r.Email, &r.Contact, &r.ID, &r.Generator,
		&p.Domain, &p.Policy, &p.Subdomains, &p.NonExistent, &p.DKIM, &p.SPF, &p.Percent, &p.Discovery, &p.FailureOptions, &p.Testing,
	} {
		*s = mailreport.Text(*s)
	}
	for i := range r.Errors {
		r.Errors[i] = mailreport.Text(r.Errors[i])
	}
	p.Domain = message.FoldDomain(strings.TrimSuffix(p.Domain, "."))
	if r.Organization == "" {
		r.Organization = r.Email
	}
	switch {
	case r.Organization == "" || r.ID == "":
		return errors.New("it does not say who reports, or has no id")
	case p.Domain == "":
		return errors.New("it does not say on which domain it is")
	case !sane(r.Begin) || !sane(r.End) || r.End < r.Begin:
		return fmt.Errorf("it is on no time: from %d to %d", r.Begin, r.End)
	case len(r.Records) == 0:
		return errors.New("it has no record")
	}
	return nil
}

// sane reports whether a time is one since 2000 that four digits have a year for.
func sane(seconds int64) bool { return seconds > 946684800 && seconds < 253402300800 }

// clean bounds a record, and reports whether it is one: it counts messages from an address.
func (r *Record) clean() bool {
	a, err := netip.ParseAddr(strings.TrimSpace(r.Source))
	if err != nil || r.Count <= 0 || r.Count > maxCount {
		return false
	}
	r.Source = a.Unmap().WithZone("").String()
	r.Reasons = r.Reasons[:min(len(r.Reasons), maxReasons)]
	r.DKIMResults = r.DKIMResults[:min(len(r.DKIMResults), maxSignatures)]
	r.SPFResults = r.SPFResults[:min(len(r.SPFResults), maxResults)]
	texts := []*string{&r.Disposition, &r.DKIM, &r.SPF, &r.HeaderFrom, &r.EnvelopeFrom, &r.EnvelopeTo}
	for i := range r.Reasons {
		texts = append(texts, &r.Reasons[i].Type, &r.Reasons[i].Comment)
	}
	for i := range r.DKIMResults {
		s := &r.DKIMResults[i]
		texts = append(texts, &s.Domain, &s.Selector, &s.Result, &s.Human)
	}
	for i := range r.SPFResults {
		s := &r.SPFResults[i]
		texts = append(texts, &s.Domain, &s.Scope, &s.Result, &s.Human)
	}
	for _, s := range texts {
		*s = mailreport.Text(*s)
	}
	for _, word := range []*string{&r.Disposition, &r.DKIM, &r.SPF} {
		*word = strings.ToLower(*word)
	}
	return true
}
