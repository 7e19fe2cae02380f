package intake

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/message/dmarcreport"
	"github.com/pennypost/pennypost/internal/message/mailreport"
	"github.com/pennypost/pennypost/internal/message/tlsreport"
)

// stored is what a report counts, as the table has it.
type stored struct {
	Policy  *dmarcreport.Policy      `json:"policy,omitempty"`
	Records []dmarcreport.Record     `json:"records,omitempty"`
	TLS     []tlsreport.PolicyReport `json:"tls,omitempty"`
	Errors  []string                 `json:"errors,omitempty"`
	Omitted int                      `json:"omitted,omitempty"` // records that are not kept
}

// received is a report that was read.
type received struct {
	Summary
	hash    string
	domains []string // that it is on
	body    []byte
}

// Receive reads the reports in a message to the addresses, and returns what keeps them, in the transaction that takes the message in.
// sender is the domain that sent it, where that is proven. What is no report is no error; the error says that others are being read.
func (b *Box) Receive(ctx context.Context, m []byte, sender string, to []Address) (keep func(context.Context, *db.Tx) error, err error) {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := b.reading.Acquire(waiting, 1); err != nil {
		return nil, err
	}
	reports, err := readAll(m)
	b.reading.Release(1)
	for i := range reports {
		reports[i].Sender, reports[i].Received = sender, b.Clock.Now()
	}
	if len(reports) == 0 {
		b.count(unreadable)
		b.Log.InfoContext(ctx, "a message to an address for reports has none that can be read", "domain", to[0].Domain, "from", sender, "error", err)
	}
	return func(ctx context.Context, tx *db.Tx) error {
		seen := map[int64]bool{}
		for _, a := range to {
			for i := range reports {
				if seen[a.Key] {
					break // its other address
				}
				if err := b.keepTx(ctx, tx, &reports[i], a); err != nil {
					return err
				}
			}
			seen[a.Key] = true
		}
		return nil
	}, nil
}

func (b *Box) count(o outcome) { b.stats[o].Add(1) }

// readAll reads the reports in a message. The error says why there is none.
func readAll(m []byte) (reports []received, err error) {
	documents, err := mailreport.Documents(m)
	for _, d := range documents {
		var r *received
		if r, err = read(d); err == nil {
			reports = append(reports, *r)
		}
	}
	return reports, err
}

// read reads a document of either kind, whichever address it came to.
func read(d mailreport.Document) (*received, error) {
	if d.IsJSON() {
		return readTLS(d)
	}
	return readDMARC(d)
}

func readDMARC(d mailreport.Document) (*received, error) {
	r, err := dmarcreport.Read(d)
	if err != nil {
		return nil, err
	}
	out := &received{Summary: Summary{
		Kind: DMARC, Reporter: r.Organization, ReportID: r.ID, Contact: r.Email, Begin: unix(r.Begin), End: unix(r.End),
	}, domains: []string{r.Policy.Domain}}
	for i := range r.Records {
		out.Total += r.Records[i].Count
		if !r.Records[i].Passed() {
			out.Failed += r.Records[i].Count
		}
	}
	s := stored{Policy: &r.Policy, Records: r.Records, Errors: r.Errors, Omitted: r.Omitted}
	return out, out.pack(&s)
}

func readTLS(d mailreport.Document) (*received, error) {
	r, err := tlsreport.Read(d)
	if err != nil {
		return nil, err
	}
	out := &received{Summary: Summary{
		Kind: TLS, Reporter: r.Organization, ReportID: r.ID, Contact: r.Contact, Begin: r.Range.Start.UTC(), End: r.Range.End.UTC(),
	}}
	for _, p := range r.Policies {
		out.Total += p.Summary.Succeeded + p.Summary.Failed
		out.Failed += p.Summary.Failed
		out.domains = append(out.domains, p.Policy.Domain)
	}
	return out, out.pack(&stored{TLS: r.Policies})
}

func unix(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// pack makes the body, with as many records as fit, and the hash.
func (r *received) pack(s *stored) error {
	sum := sha256.Sum256([]byte(strings.Join([]string{string(r.Kind), r.Reporter, r.ReportID, strings.Join(r.domains, " ")}, "\n")))
	r.hash = hex.EncodeToString(sum[:16])
	for {
		var b bytes.Buffer
		packed := gzip.NewWriter(&b)
		if err := cmp.Or(json.NewEncoder(packed).Encode(s), packed.Close()); err != nil {
			return err
		}
		if r.body = b.Bytes(); len(r.body) <= maxBody {
			return nil
		}
		left := len(s.Records) / 2
		if left == 0 {
			return fmt.Errorf("the report has more than %d bytes, packed", maxBody)
		}
		s.Omitted += len(s.Records) - left
		s.Records = s.Records[:left]
	}
}

// unpack is pack's reverse.
func unpack(body []byte) (*stored, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read a kept report: %w", err)
	}
	var s stored
	text, err := io.ReadAll(r)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return nil, fmt.Errorf("read a kept report: %w", err)
	}
	return &s, nil
}

const (
	keptToday  = `SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM mail_report WHERE organization = $1 AND domain = $2 AND received > $3`
	unproven   = ` AND sender = ''`
	keepReport = `INSERT INTO mail_report
		(id, organization, domain, kind, hash, reporter, report, contact, sender, begins, ends, received, total, failed, size, body)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT (organization, hash) DO NOTHING`
)

// keepTx keeps a report for an organisation, if it is one on its domains, and there are not too many.
func (b *Box) keepTx(ctx context.Context, tx *db.Tx, r *received, a Address) error {
	became := func(o outcome) { tx.OnCommit(func() { b.count(o) }) }
	// The lock lets the end of the organisation find all of its reports.
	_, err := b.Directory.GateTx(ctx, tx, a.Organization)
	if fault.As(err) != nil {
		became(foreign)
		return nil
	}
	if err != nil {
		return err
	}
	domain, err := b.domainTx(ctx, tx, r, a)
	if err != nil {
		return err
	}
	if domain == "" {
		became(foreign)
		b.Log.InfoContext(ctx, "a report is on a domain that is not the organization's", "organization", a.Organization, "domains", r.domains, "from", r.Sender)
		return nil
	}
	room, err := roomTx(ctx, tx, r, a, domain)
	if err != nil {
		return err
	}
	if !room {
		became(excess)
		b.Log.WarnContext(ctx, "a domain gets more reports than are kept of a day", "domain", domain, "from", r.Sender)
		return nil
	}
	inserted, err := tx.Exec(ctx, keepReport, id.Key(), a.Key, domain, r.Kind.place(), r.hash, r.Reporter, r.ReportID, r.Contact, r.Sender,
		r.Begin.Unix(), r.End.Unix(), r.Received.UnixMicro(), r.Total, r.Failed, int64(len(r.body)), r.body)
	if err != nil {
		return fmt.Errorf("keep a report: %w", err)
	}
	if inserted == 0 {
		became(duplicate)
		return nil
	}
	became(kept)
	return nil
}

// roomTx reports whether a domain can get one more report that day.
func roomTx(ctx context.Context, tx *db.Tx, r *received, a Address, domain string) (bool, error) {
	within := func(which string, reports, bytes int64) (bool, error) {
		var n, size int64
		if err := tx.QueryRow(ctx, which, a.Key, domain, r.Received.Add(-24*time.Hour).UnixMicro()).Scan(&n, &size); err != nil {
			return false, fmt.Errorf("count the reports of a day: %w", err)
		}
		return n < reports && size+int64(len(r.body)) <= bytes, nil
	}
	if r.Sender == "" {
		if room, err := within(keptToday+unproven, maxDayUnproven, maxDayUnprovenBytes); err != nil || !room {
			return room, err
		}
	}
	return within(keptToday, maxDayReports, maxDayBytes)
}

// domainTx returns the organisation's domain that a report is on or below; empty where there is none. One on TLS may be on a host (DANE): it
// counts as on the domain that it was sent to.
func (b *Box) domainTx(ctx context.Context, tx *db.Tx, r *received, a Address) (string, error) {
	for _, domain := range r.domains {
		for range maxLabels {
			o, err := b.Directory.DomainOrganizationTx(ctx, tx, domain)
			switch {
			case err == nil && o.Key == a.Key:
				return domain, nil
			case err != nil && !fault.Is(err, fault.NotFound, fault.Domain):
				return "", err
			}
			_, above, more := strings.Cut(domain, ".")
			if domain = above; !more {
				break
			}
		}
	}
	if r.Kind == TLS {
		return a.Domain, nil
	}
	return "", nil
}

// maxLabels is how far above a domain its organisation is looked for.
const maxLabels = 6

const eraseReports = `DELETE FROM mail_report WHERE id IN (SELECT id FROM mail_report WHERE organization = $1 LIMIT $2)`

// EraseTx removes up to limit reports of an organisation that is being deleted, and returns how many; fewer means that none are left.
func EraseTx(ctx context.Context, tx *db.Tx, o *directory.Organization, limit int) (int, error) {
	n, err := tx.Exec(ctx, eraseReports, o.Key, int64(limit))
	if err != nil {
		return 0, fmt.Errorf("erase reports: %w", err)
	}
	return int(n), nil
}

// Check returns a line for each organisation that has reports and should have none.
func (b *Box) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	owners, err := db.All(ctx, tx, db.Value[int64], `SELECT DISTINCT organization FROM mail_report`)
	if err != nil {
		return nil, fmt.Errorf("check reports: %w", err)
	}
	for _, key := range owners {
		o, err := b.Directory.OrganizationByKeyTx(ctx, tx, key)
		switch {
		case err == nil && o.State == directory.OrgDeleted:
			faults = append(faults, fmt.Sprintf("reports: some are left of organization %s, which is deleted", o.ID))
		case fault.Is(err, fault.NotFound, fault.Organization):
			faults = append(faults, fmt.Sprintf("reports: some are of an organization with the key %d, which there is not", key))
		case err != nil:
			return nil, err
		}
	}
	return faults, nil
}
