package domain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pennypost/pennypost/internal/transport/intake"
	"github.com/pennypost/pennypost/internal/transport/route"
)

// Record is one DNS record that a domain should have.
type Record struct {
	Purpose Purpose `json:"purpose"`
	Type    string  `json:"type"`  // TXT, MX, CNAME or SRV
	Name    string  `json:"name"`  // without its final dot
	Value   string  `json:"value"` // as in a zone file, but that names have no final dot and a text no quotes
	// Detail tells it from others of its purpose, in a few words; empty where there is nothing to tell.
	Detail string `json:"detail,omitempty"`
}

// Purpose is what a record is for.
type Purpose string

// The purposes. Those of what is checked and is no record of the domain stand last.
const (
	Ownership    Purpose = "ownership"
	MX           Purpose = "mx"
	SPF          Purpose = "spf"
	DKIM         Purpose = "dkim"
	DMARC        Purpose = "dmarc"
	Autodiscover Purpose = "autodiscover"
	Autoconfig   Purpose = "autoconfig"
	MTASTS       Purpose = "mta-sts"
	TLSReports   Purpose = "tls-rpt"
	Services     Purpose = "services"

	PolicyFile Purpose = "mta-sts-policy"
	HostName   Purpose = "host"
	Reverse    Purpose = "reverse"
)

// records are what the owner of a domain is to publish, in an order that is always the same: what mail needs first.
func (s *Service) records(d *Description) []Record {
	at := func(label string) string { return label + "." + d.Name }
	records := []Record{
		{Ownership, d.Proof.Type, d.Proof.Hostname, d.Proof.Value, ""},
		{MX, "MX", d.Name, "10 " + s.Host, ""},
	}
	records = append(records, s.spfRecord(d.Name, "a:"+s.Host, "~all")...) // RFC 7208 section 5.3
	records = append(records, d.dkim()...)
	records = append(
		records,
		Record{DMARC, "TXT", at("_dmarc"), "v=DMARC1;p=quarantine;pct=100;fo=1;rua=mailto:" + intake.DMARCReports + "@" + d.Name, ""},
		Record{TLSReports, "TXT", at("_smtp._tls"), "v=TLSRPTv1; rua=mailto:" + intake.TLSReports + "@" + d.Name, ""}, // RFC 8460 section 3
		Record{Autodiscover, "CNAME", at("autodiscover"), s.Host, ""},
		Record{Autoconfig, "CNAME", at("autoconfig"), s.Host, ""},
	)
	if s.STS.Mode != route.STSNone {
		records = append(
			records,
			Record{MTASTS, "CNAME", at("mta-sts"), s.Host, ""},
			Record{MTASTS, "TXT", at("_mta-sts"), s.stsRecord(), ""},
		)
	}
	for _, service := range []struct {
		label string
		port  int
	}{
		{"_imaps._tcp", s.Ports.IMAPS}, {"_imap._tcp", s.Ports.IMAP}, // RFC 6186
		{"_submissions._tcp", s.Ports.Submissions}, {"_submission._tcp", s.Ports.Submission}, // RFC 8314
		{"_sieve._tcp", s.Ports.ManageSieve}, // RFC 5804 section 1.8
		{"_autodiscover._tcp", s.Ports.HTTPS},
	} {
		value := "0 0 0 ." // RFC 2782: decidedly not offered
		if service.port != 0 {
			value = fmt.Sprintf("0 1 %d %s", service.port, s.Host)
		}
		records = append(records, Record{Services, "SRV", at(service.label), value, ""})
	}
	return records
}

// spfRecord lists who sends: the server itself, as own says, and the addresses of whom Include names. Mail that leaves by a gateway comes from
// its addresses alone: where they are not known there is no record.
func (s *Service) spfRecord(name, own, rest string) []Record {
	terms := []string{"v=spf1"}
	if s.Way != Gateway {
		terms = append(terms, own)
	}
	if s.Include != "" {
		terms = append(terms, "include:"+s.Include)
	}
	if len(terms) == 1 {
		return nil
	}
	return []Record{{SPF, "TXT", name, strings.Join(append(terms, rest), " "), ""}}
}

func (d *Description) dkim() (records []Record) {
	for _, k := range d.keys {
		records = append(records, Record{DKIM, "TXT", k.Name, k.Value, fmt.Sprintf("%s, %s", k.Algorithm, k.Role)})
	}
	return records
}

// Data is the value as a zone file has it: names with their final dot, a text in quoted strings of at most 255 bytes.
func (r Record) Data() string {
	switch r.Type {
	case "MX", "CNAME", "SRV":
		return strings.TrimSuffix(r.Value, ".") + "."
	case "TXT":
		var out []string
		for part := range slices.Chunk([]byte(r.Value), maxString) {
			out = append(out, strconv.Quote(string(part))) // the values are ASCII
		}
		return strings.Join(out, " ")
	}
	return r.Value
}

// Line is the record as a line of a zone file.
func (r Record) Line() string { return fmt.Sprintf("%s. %d IN %s %s", r.Name, TTL, r.Type, r.Data()) }

const (
	// TTL is how many seconds others may keep the records.
	TTL = 3600
	// maxString is the length of a string in a TXT record (RFC 1035 section 3.3).
	maxString = 255
)
