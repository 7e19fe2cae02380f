package intake

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dmarcreport"
	"github.com/pennypost/pennypost/internal/message/tlsreport"
	"github.com/pennypost/pennypost/internal/principal"
)

// Filter chooses reports: those that keep to every field that is not zero.
type Filter struct {
	Domain string
	Kind   Kind
	// From and Until bound when the time that is reported on begins: From is in, Until out.
	From, Until time.Time
}

const (
	defaultPage = 100
	maxPage     = 1000
)

const (
	summaryColumns = `id, domain, kind, reporter, report, contact, sender, begins, ends, received, total, failed`
	chosen         = ` AND ($3 = 0 OR kind = $3) AND begins >= $4 AND begins < $5 AND id < $6 ORDER BY id DESC LIMIT $7`
	listAll        = `SELECT ` + summaryColumns + ` FROM mail_report WHERE organization = $1 AND $2 = ''` + chosen
	listDomain     = `SELECT ` + summaryColumns + ` FROM mail_report WHERE organization = $1 AND domain = $2` + chosen
	oneReport      = `SELECT ` + summaryColumns + `, body FROM mail_report WHERE organization = $1 AND id = $2`
)

// List returns the chosen reports of an organisation, the last that came first, page by page: 100 at once where the page does not say, 1,000
// at most. Faults: those of directory.View; Invalid Token.
func (b *Box) List(ctx context.Context, p principal.Principal, org directory.OrgID, f Filter, page directory.Page) (list []Summary, next string, err error) {
	after, err := position(page, math.MaxInt64)
	if err != nil {
		return nil, "", b.Directory.GateFirst(ctx, org, err)
	}
	until := int64(math.MaxInt64)
	if !f.Until.IsZero() {
		until = f.Until.Unix()
	}
	from := int64(math.MinInt64)
	if !f.From.IsZero() {
		from = f.From.Unix()
	}
	domain, query := message.FoldDomain(f.Domain), listDomain
	if domain == "" {
		query = listAll
	}
	most := limit(page)
	err = b.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		list = nil
		return tx.Each(ctx, func(row db.Row) error {
			var s Summary
			if err := row.Scan(s.targets()...); err != nil {
				return err
			}
			list = append(list, s)
			return nil
		}, query, o.Key, domain, f.Kind.place(), from, until, after, int64(most)+1)
	})
	if err != nil {
		return nil, "", fmt.Errorf("list reports: %w", err)
	}
	if len(list) > most {
		list = list[:most]
		next = strconv.FormatInt(list[most-1].ID, 10)
	}
	return list, next, nil
}

// targets are where the columns go.
func (s *Summary) targets() []any {
	return []any{
		&s.ID, &s.Domain, (*place)(&s.Kind), &s.Reporter, &s.ReportID, &s.Contact, &s.Sender, (*seconds)(&s.Begin), (*seconds)(&s.End),
		(*micros)(&s.Received), &s.Total, &s.Failed,
	}
}

type (
	place   Kind
	seconds time.Time
	micros  time.Time
)

// Scan reads a kind by its place.
func (p *place) Scan(v any) error {
	n, ok := v.(int64)
	if !ok || n < 0 || n >= int64(len(kinds)) {
		return fmt.Errorf("%v is no kind of reports", v)
	}
	*p = place(kinds[n])
	return nil
}

// Scan reads seconds since 1970.
func (s *seconds) Scan(v any) error {
	n, ok := v.(int64)
	*s = seconds(time.Unix(n, 0).UTC())
	return wrong(ok, v)
}

// Scan reads microseconds since 1970.
func (m *micros) Scan(v any) error {
	n, ok := v.(int64)
	*m = micros(time.UnixMicro(n).UTC())
	return wrong(ok, v)
}

func wrong(ok bool, v any) error {
	if !ok {
		return fmt.Errorf("%v is no time", v)
	}
	return nil
}

// Report is a report with a part of what it counts: Records of one on DMARC, Sessions of one on TLS.
type Report struct {
	Summary
	Policy   *dmarcreport.Policy // that the domain published; nil of one on TLS
	Records  []dmarcreport.Record
	Sessions []Sessions
	Errors   []string // what the reporter says went wrong
	Omitted  int      // records that were not kept, as they were too many
}

// Sessions counts sessions under a policy that are alike: those that went well, whose Failure has no result, or failures.
type Sessions struct {
	Policy  *tlsreport.Policy
	Failure tlsreport.Failure // with their number
}

// Get returns a report with what it counts, page by page as List. Faults: those of directory.View; NotFound Resource; Invalid Token.
func (b *Box) Get(ctx context.Context, p principal.Principal, org directory.OrgID, id int64, page directory.Page) (r *Report, next string, err error) {
	told, err := position(page, 0)
	if err != nil {
		return nil, "", b.Directory.GateFirst(ctx, org, err)
	}
	var body []byte
	err = b.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		r = &Report{}
		err := tx.QueryRow(ctx, oneReport, o.Key, id).Scan(append(r.targets(), &body)...)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, fault.Resource, "there is no report %d", id)
		}
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("read a report: %w", err)
	}
	s, err := unpack(body)
	if err != nil {
		return nil, "", err
	}
	r.Policy, r.Errors, r.Omitted = s.Policy, s.Errors, s.Omitted
	var more bool
	most := limit(page)
	if r.Kind == TLS {
		r.Sessions, more = part(sessions(s.TLS), told, most)
	} else {
		r.Records, more = part(s.Records, told, most)
	}
	if more {
		next = strconv.FormatInt(told+int64(most), 10)
	}
	return r, next, nil
}

// sessions makes rows of what was counted under policies.
func sessions(policies []tlsreport.PolicyReport) (rows []Sessions) {
	for i := range policies {
		p := &policies[i]
		if n := p.Summary.Succeeded; n > 0 || len(p.Failures) == 0 && p.Summary.Failed == 0 {
			rows = append(rows, Sessions{&p.Policy, tlsreport.Failure{Sessions: n}})
		}
		left := p.Summary.Failed
		for _, f := range p.Failures {
			left -= f.Sessions
			rows = append(rows, Sessions{&p.Policy, f})
		}
		if left > 0 { // the reporter does not say how
			rows = append(rows, Sessions{&p.Policy, tlsreport.Failure{Result: "unspecified", Sessions: left}})
		}
	}
	return rows
}

// part returns most of the items from a place on, and whether there are more.
func part[T any](items []T, from int64, most int) ([]T, bool) {
	items = items[min(from, int64(len(items))):]
	if len(items) > most {
		return items[:most], true
	}
	return items, false
}

func limit(page directory.Page) int {
	if page.Limit <= 0 {
		return defaultPage
	}
	return min(page.Limit, maxPage)
}

// position reads the cursor of a page, first where it has none.
func position(page directory.Page, first int64) (int64, error) {
	if page.After == "" {
		return first, nil
	}
	n, err := strconv.ParseInt(page.After, 10, 64)
	if err != nil || n <= 0 {
		return 0, fault.New(fault.Invalid, fault.Token, "the page token is not one that this list gave out; begin again without a token")
	}
	return n, nil
}

const (
	pruneKind  = "mail-report-prune"
	pruneBatch = 100 // reports deleted in one transaction
	pruneEvery = 24 * time.Hour
)

const deleteOld = `DELETE FROM mail_report WHERE id IN (SELECT id FROM mail_report WHERE received < $1 LIMIT $2)`

// Prune deletes the reports that came KeptDays ago, in batches, and returns how many.
func (b *Box) Prune(ctx context.Context) (total int64, err error) {
	before := b.Clock.Now().AddDate(0, 0, -KeptDays).UnixMicro()
	for {
		var n int64
		err := b.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			n, err = tx.Exec(ctx, deleteOld, before, int64(pruneBatch))
			return err
		})
		if err != nil {
			return total, fmt.Errorf("prune reports: %w", err)
		}
		if total += n; n < pruneBatch {
			return total, nil
		}
	}
}

// Handle makes runner prune the reports, which Start sets going.
func (b *Box) Handle(runner *job.Runner) {
	runner.Handle(pruneKind, func(ctx context.Context, _ job.Job) error {
		if _, err := b.Prune(ctx); err != nil {
			return err
		}
		return b.schedule(ctx, pruneEvery)
	})
}

// Start makes sure that pruning is scheduled. Call it once when the server starts.
func (b *Box) Start(ctx context.Context) error { return b.schedule(ctx, 0) }

func (b *Box) schedule(ctx context.Context, after time.Duration) error {
	due := b.Clock.Now().Add(after)
	return b.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		return job.EnqueueTx(ctx, tx, pruneKind, "", nil, due)
	})
}
