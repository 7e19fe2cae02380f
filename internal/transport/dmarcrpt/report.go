package dmarcrpt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dmarcreport"
	"github.com/pennypost/pennypost/internal/message/mailreport"
	"github.com/pennypost/pennypost/internal/transport/dayreport"
)

const (
	// maxAsked is how many addresses of a record are looked at, maxDestinations how many of them get the report.
	maxAsked        = 10
	maxDestinations = 2
)

// build makes the report of a domain; nil where nobody wants it.
func (r *Reporter) build(ctx context.Context, day dayreport.Day, domain string) (*dayreport.Report, error) {
	made, rua, err := r.compose(ctx, day, domain)
	if err != nil || made == nil {
		return nil, err
	}
	var body bytes.Buffer
	if err := dmarcreport.Write(&body, *made); err != nil {
		return nil, err
	}
	to, err := r.destinations(ctx, day, domain, rua, mimeSize(body.Len()))
	if err != nil || len(to) == 0 {
		return nil, err
	}
	return &dayreport.Report{Day: day, Domain: domain, ID: made.ID, To: to, Body: body.Bytes()}, nil
}

// mimeSize is how many bytes n are in base64, in lines.
func mimeSize(n int) int64 {
	encoded := int64(base64.StdEncoding.EncodedLen(n))
	return encoded + encoded/76*2
}

// compose makes a report of what was counted for a domain, and says where it is wanted; nil where nothing was counted. A report has one
// policy: where the domain changed it that day, the one that most messages were judged by.
func (r *Reporter) compose(ctx context.Context, day dayreport.Day, domain string) (out *dmarcreport.Report, rua []string, err error) {
	report := &dmarcreport.Report{
		// The id is a part of the file's name, which has letters and digits only.
		Organization: r.Organization, Email: r.From, ID: strings.ReplaceAll(id.UUID(), "-", ""), Generator: r.Generator,
		Begin: day.Begin().Unix(), End: day.End().Unix(),
	}
	policies := map[string]int64{}
	records := map[string]int{} // their places in the report
	var left int64              // messages that are not in it
	err = r.Counted(ctx, day, domain, func(policy, detail string, n int64) error {
		if policy != "" {
			policies[policy] += n
		}
		i, known := records[detail]
		switch {
		case known:
			report.Records[i].Count += n
			return nil
		case policy == "":
			left += n
			return nil
		}
		var one dmarcreport.Record
		if err := json.Unmarshal([]byte(detail), &one); err != nil {
			return err
		}
		one.Count = n
		records[detail] = len(report.Records)
		report.Records = append(report.Records, one)
		return nil
	})
	if err != nil || len(report.Records) == 0 {
		return nil, nil, err
	}
	if left > 0 {
		report.Errors = []string{fmt.Sprintf("%d messages are not in this report: they were of too many kinds", left)}
	}
	most := ""
	for policy, n := range policies {
		if n > policies[most] || n == policies[most] && policy < most {
			most = policy
		}
	}
	var p published
	if err := json.Unmarshal([]byte(most), &p); err != nil {
		return nil, nil, err
	}
	report.Policy = p.Policy
	return report, p.Aggregate, nil
}

// patience is how long after its day a report waits for DNS to say whether it may go where it is wanted. Then it goes to the others.
const patience = 24 * time.Hour

// destinations returns the addresses that get a report of size bytes: those of rua which want one so large, and, where they are outside of
// the domain's organisation, say so in DNS (RFC 9990 section 4).
func (r *Reporter) destinations(ctx context.Context, day dayreport.Day, domain string, rua []string, size int64) (to []string, err error) {
	for _, uri := range rua {
		if len(to) == maxDestinations {
			break
		}
		wanted, err := r.agreed(ctx, domain, uri)
		switch {
		case err == nil:
		case r.Clock.Now().Sub((day + 1).Begin()) < patience:
			return nil, err
		default:
			r.Log.InfoContext(ctx, "it can't be found out whether a DMARC report may go where it is wanted", "domain", domain, "to", uri, "error", err)
		}
		for _, uri := range wanted {
			a, limit := destination(uri)
			if limit > 0 && size > limit {
				r.Log.InfoContext(ctx, "a DMARC report is larger than who asked for it takes", "domain", domain, "to", a.String(), "bytes", size)
				continue
			}
			if !a.IsZero() && !contains(to, a) && len(to) < maxDestinations {
				to = append(to, a.String())
			}
		}
	}
	return to, nil
}

// agreed returns the URIs that a report goes to which is wanted at one; none where it may not go there.
func (r *Reporter) agreed(ctx context.Context, domain, uri string) ([]string, error) {
	a, _ := destination(uri)
	if a.IsZero() {
		return nil, nil
	}
	inside, err := r.inside(ctx, domain, a)
	switch {
	case err != nil:
		return nil, err
	case inside:
		return []string{uri}, nil
	}
	return r.external(ctx, domain, uri, a)
}

func contains(list []string, a message.Address) bool {
	for _, other := range list {
		if o, err := message.ParseAddress(other); err == nil && o.Fold() == a.Fold() {
			return true
		}
	}
	return false
}

// destination reads a URI of rua: a mailto, and behind an exclamation mark how many bytes it takes, 0 for any number (RFC 7489 section
// 6.2). The zero address is of what is no such URI.
func destination(uri string) (a message.Address, limit int64) {
	uri = strings.TrimSpace(uri)
	if at := strings.LastIndexByte(uri, '!'); at >= 0 {
		n, ok := size(uri[at+1:])
		if !ok {
			return message.Address{}, 0
		}
		uri, limit = uri[:at], n
	}
	a = dayreport.Mailto(uri)
	return a, limit
}

// size reads a number of bytes: digits, and k, m, g or t.
func size(s string) (n int64, ok bool) {
	unit := int64(1)
	if s != "" {
		if i := strings.IndexByte("kmgt", s[len(s)-1]|0x20); i >= 0 {
			unit, s = 1<<(10*(i+1)), s[:len(s)-1]
		}
	}
	digits, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, false
	}
	return min(int64(digits), math.MaxInt64/unit) * unit, true
}

// inside reports whether an address is of the organisation that a domain is of.
func (r *Reporter) inside(ctx context.Context, domain string, a message.Address) (bool, error) {
	host := message.FoldDomain(a.Domain)
	if host == domain {
		return true, nil
	}
	ours, err := r.Organizational(ctx, domain)
	if err != nil {
		return false, err
	}
	theirs, err := r.Organizational(ctx, host)
	return err == nil && ours == theirs, err
}

// external returns the URIs that the reports on a domain go to which wants them at an address outside: those of the record with which that
// host says that it takes them, or the one that was asked for; none where it does not.
func (r *Reporter) external(ctx context.Context, domain, uri string, a message.Address) ([]string, error) {
	host := message.FoldDomain(a.Domain)
	name := domain + "._report._dmarc." + host
	if len(name) > 253 {
		return nil, nil
	}
	records, err := r.Resolver.LookupTXT(ctx, name)
	if err != nil {
		if errors.Is(err, dns.ErrNotFound) {
			err = nil
		}
		return nil, err
	}
	agreed := false
	for _, record := range records {
		rua, ok := agreement(record)
		if !ok {
			continue
		}
		if agreed = true; len(rua) == 0 {
			continue
		}
		for _, other := range rua {
			if o, _ := destination(other); message.FoldDomain(o.Domain) != host {
				return nil, nil // neither there nor here (RFC 9990 section 4)
			}
		}
		return rua, nil
	}
	if !agreed {
		return nil, nil
	}
	return []string{uri}, nil
}

// agreement reads a record by which a host takes reports for others, and its rua.
func agreement(record string) (rua []string, ok bool) {
	for i, tag := range strings.Split(record, ";") {
		key, value, _ := strings.Cut(tag, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if i == 0 && (key != "v" || value != "DMARC1") {
			return nil, false
		}
		if key == "rua" && rua == nil {
			rua = strings.Split(value, ",")
		}
	}
	return rua[:min(len(rua), maxAsked)], true
}

// deliver mails a report.
func (r *Reporter) deliver(ctx context.Context, found *dayreport.Report, to string, done func(context.Context, *db.Tx) error) error {
	return r.Mailer.Send(ctx, r.mail(found, to), done)
}

// mail is a report as a message (RFC 9990 section 3.5).
func (r *Reporter) mail(found *dayreport.Report, to string) *dayreport.Mail {
	_, submitter, _ := strings.Cut(r.From, "@")
	return &dayreport.Mail{
		ID: found.ID, From: r.From, To: to,
		Subject:     fmt.Sprintf("Report Domain: %s Submitter: %s Report-ID: <%s>", found.Domain, submitter, found.ID),
		ContentType: "multipart/mixed",
		Parts: []dayreport.Part{
			{ContentType: "text/plain; charset=us-ascii", Body: fmt.Appendf(nil,
				"This is an aggregate DMARC report for %s of %s (UTC), from %s.\r\n", found.Domain, found.Day, submitter)},
			{
				ContentType: "application/gzip", Body: found.Body,
				FileName: mailreport.FileName(submitter, found.Domain, found.Day.Begin(), found.Day.End(), found.ID, "xml.gz"),
			},
		},
	}
}
