package tlsreport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/mailreport"
)

// What Read reads of a report. What lies beyond the lists' limits is left out.
const (
	maxBytes    = 4 << 20
	maxPolicies = 100
	maxFailures = 1000 // of a policy
	maxStrings  = 50   // of a policy, and hosts
	maxSessions = 1e12 // of a kind
)

// Read reads the JSON of a report. It refuses what says not who reports, on which policies, or on when.
func Read(b []byte) (*Report, error) {
	if len(b) > maxBytes {
		return nil, fmt.Errorf("read a TLS report: it has more than %d bytes", maxBytes)
	}
	r, d := &Report{}, &reader{Decoder: json.NewDecoder(bytes.NewReader(b))}
	err := d.report(r)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows it")
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = r.clean()
	}
	if err != nil {
		return nil, fmt.Errorf("read a TLS report: %w", err)
	}
	return r, nil
}

// reader reads one item of a list after the other and stops at the first of another type: json.Unmarshal would first make room for all of
// them, two bytes of text each.
type reader struct {
	*json.Decoder
	skipped json.RawMessage
}

func (d *reader) report(r *Report) error {
	return d.object(func(name string) error {
		switch name {
		case "organization-name":
			return d.Decode(&r.Organization)
		case "date-range":
			return d.Decode(&r.Range)
		case "contact-info":
			return d.Decode(&r.Contact)
		case "report-id":
			return d.Decode(&r.ID)
		case "policies":
			return list(d, &r.Policies, maxPolicies, d.policyReport)
		}
		return d.skip()
	})
}

func (d *reader) policyReport(p *PolicyReport) error {
	return d.object(func(name string) error {
		switch name {
		case "policy":
			return d.policy(&p.Policy)
		case "summary":
			return d.Decode(&p.Summary)
		case "failure-details":
			return list(d, &p.Failures, maxFailures, func(f *Failure) error { return d.Decode(f) })
		}
		return d.skip()
	})
}

func (d *reader) policy(p *Policy) error {
	text := func(s *string) error { return d.Decode(s) }
	return d.object(func(name string) error {
		switch name {
		case "policy-type":
			return d.Decode(&p.Type)
		case "policy-string":
			return list(d, &p.Strings, maxStrings, text)
		case "policy-domain":
			return d.Decode(&p.Domain)
		case "mx-host":
			return list(d, &p.MX, maxStrings, text)
		}
		return d.skip()
	})
}

func (d *reader) skip() error { return d.Decode(&d.skipped) }

// object calls member for each member of an object, in lower case, to read its value. null has none.
func (d *reader) object(member func(name string) error) error {
	switch token, err := d.Token(); {
	case err != nil:
		return err
	case token == nil:
		return nil
	case token != json.Delim('{'):
		return fmt.Errorf("%.20q is no object", fmt.Sprint(token))
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // the decoder takes nothing else
		if err := member(strings.ToLower(name)); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// list reads up to limit items of a list; of texts also one alone, as an example of the RFC has it. null is empty.
func list[T any](d *reader, out *[]T, limit int, item func(*T) error) error {
	token, err := d.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('[') {
		if one, ok := token.(T); ok && len(*out) < limit {
			*out = append(*out, one)
			return nil
		}
		return fmt.Errorf("%.20q is no list", fmt.Sprint(token))
	}
	for d.More() {
		if len(*out) == limit {
			err = d.skip()
		} else {
			var one T
			err = item(&one)
			*out = append(*out, one)
		}
		if err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// clean bounds what the report has, and says what is missing.
func (r *Report) clean() error {
	for _, s := range []*string{&r.Organization, &r.Contact, &r.ID} {
		*s = mailreport.Text(*s)
	}
	if r.Organization == "" {
		r.Organization = r.Contact
	}
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
	for _, list := range [][]string{p.Policy.Strings, p.Policy.MX} {
		for i := range list {
			list[i] = mailreport.Text(list[i])
		}
	}
	p.Summary.Succeeded, p.Summary.Failed = count(p.Summary.Succeeded), count(p.Summary.Failed)
	for i := range p.Failures {
		f := &p.Failures[i]
		f.Sessions = count(f.Sessions)
		for _, s := range []*string{&f.Result, &f.Host, &f.Helo, &f.Info, &f.Reason} {
			*s = mailreport.Text(*s)
		}
		f.Local, f.Address = address(f.Local), address(f.Address)
	}
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
