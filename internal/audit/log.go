package audit

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/principal"
)

const (
	// DefaultRetention is how long records are kept where the configuration says nothing.
	DefaultRetention = 365 * 24 * time.Hour

	detailLimit = 1024 // bytes of Detail that are kept
	fieldLimit  = 256  // bytes of any other text that is kept
	pruneBatch  = 1000 // records deleted in one transaction
	pageLimit   = 1000 // records read at once
)

// Config says how records are kept.
type Config struct {
	// Retention is how long a record is kept. Zero means DefaultRetention.
	Retention time.Duration
	// Groups are the log groups by their ARN.
	Groups map[string]Group
	// Linger is how long the first of some records waits for others, so that they cost one commit and one request together. Zero
	// means not at all.
	Linger time.Duration
	// OrganizationARN names an organisation by its id in what log groups get; nil leaves it out.
	OrganizationARN func(ctx context.Context, id string) (string, error)
	Log             *slog.Logger // nil discards
}

// Log writes and reads audit records. It is safe for concurrent use.
type Log struct {
	db        *db.DB
	clock     clock.Clock
	retention time.Duration

	log             *slog.Logger
	linger          time.Duration
	groups          map[string]*group
	organizationARN func(ctx context.Context, id string) (string, error)
	accesses        chan accessRecord
	missed          atomic.Int64 // events that found accesses full, since they were last told
}

// New returns the log kept in d.
func New(d *db.DB, c clock.Clock, config Config) *Log {
	if config.Retention <= 0 {
		config.Retention = DefaultRetention
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	l := &Log{
		db: d, clock: c, retention: config.Retention, log: config.Log, linger: config.Linger, organizationARN: config.OrganizationARN,
		groups: map[string]*group{},
	}
	if len(config.Groups) > 0 { // without any nothing is sent
		l.accesses = make(chan accessRecord, accessBuffer)
	}
	for name, g := range config.Groups {
		l.groups[name] = &group{Group: g, name: name, wake: make(chan struct{}, 1)}
	}
	return l
}

// AppendTx writes r in the transaction of the change it tells of.
func (l *Log) AppendTx(ctx context.Context, tx *db.Tx, r Record) error {
	err := tx.Send(ctx, `INSERT INTO audit_record (`+recordColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		l.clock.Now().UnixMicro(), id.Key(), clean(r.Organization, fieldLimit), clean(r.Operation, fieldLimit),
		clean(r.Subject, fieldLimit), clean(r.Outcome, fieldLimit), clean(r.Detail, detailLimit),
		int64(r.Actor.Kind), clean(r.Actor.ID, fieldLimit), clean(r.Actor.Name, fieldLimit),
		clean(r.Actor.Protocol, fieldLimit), addressText(r.Actor.Address), clean(r.Actor.RequestID, fieldLimit))
	if err != nil {
		return fmt.Errorf("append audit record of %s: %w", r.Operation, err)
	}
	for _, t := range r.Told {
		if err := l.AuditTx(ctx, tx, t.Stream, r.Organization, t.Event); err != nil {
			return err
		}
	}
	return nil
}

// Record writes records in a transaction of its own: for refusals, which change nothing else. It returns when the records are
// durable.
func (l *Log) Record(ctx context.Context, records ...Record) error {
	return l.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, r := range records {
			if err := l.AppendTx(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// clean makes s storable: valid UTF-8 without NUL, no longer than limit bytes.
func clean(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// Query says which records to read: those of one organisation, the oldest first.
type Query struct {
	// Organization is its id ("m-…"). Empty reads the records that concern none.
	Organization string
	// Since is the earliest time read.
	Since time.Time
	// After continues behind a record that was read before.
	After *Record
	// Limit is how many to read, at most and by default 1,000.
	Limit int
}

// Read returns records, the oldest first.
func (l *Log) Read(ctx context.Context, q Query) ([]Record, error) {
	if q.Limit <= 0 || q.Limit > pageLimit {
		q.Limit = pageLimit
	}
	time, key := int64(0), int64(0)
	if !q.Since.IsZero() {
		time = q.Since.UnixMicro()
	}
	if q.After != nil && q.After.Time.UnixMicro() >= time {
		time, key = q.After.Time.UnixMicro(), q.After.Key
	}
	var records []Record
	err := l.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		records = nil
		return tx.Each(ctx, func(row db.Row) error {
			r, err := scan(row)
			if err != nil {
				return err
			}
			records = append(records, r)
			return nil
		}, readRecords, q.Organization, time, key, q.Limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read audit records: %w", err)
	}
	return records, nil
}

const (
	recordColumns = `time, key, organization, operation, subject, outcome, detail,
		actor_kind, actor_id, actor_name, protocol, address, request`
	readRecords = `SELECT ` + recordColumns + ` FROM audit_record
		WHERE organization = $1 AND (time, key) > ($2, $3) ORDER BY time, key LIMIT $4`
)

func scan(rows db.Row) (Record, error) {
	var (
		r       Record
		at      int64
		kind    int64
		address string
	)
	err := rows.Scan(&at, &r.Key, &r.Organization, &r.Operation, &r.Subject, &r.Outcome, &r.Detail,
		&kind, &r.Actor.ID, &r.Actor.Name, &r.Actor.Protocol, &address, &r.Actor.RequestID)
	if err != nil {
		return Record{}, err
	}
	r.Time = time.UnixMicro(at).UTC()
	r.Actor.Kind = principal.Kind(kind)
	if address != "" {
		if r.Actor.Address, err = netip.ParseAddr(address); err != nil {
			return Record{}, err
		}
	}
	return r, nil
}
