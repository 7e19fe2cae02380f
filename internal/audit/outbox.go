package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/id"
)

// Knows reports whether the log group is configured.
func (l *Log) Knows(group string) bool { return l.groups[group] != nil }

// Ships reports whether any log group is configured.
func (l *Log) Ships() bool { return len(l.groups) > 0 }

const insertOutbox = `INSERT INTO log_outbox (log_group, key, time, organization, stream, records, size, body)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

// EmitTx puts events, each of which becomes one JSON object, into the outbox of a log group, in the transaction of what they
// tell of. For a group that is not configured it does nothing.
func (l *Log) EmitTx(ctx context.Context, tx *db.Tx, group string, stream Stream, organization string, events ...any) error {
	body, err := encodeEvents(events)
	if err != nil {
		return err
	}
	return l.emitTx(ctx, tx, group, stream, organization, len(events), body)
}

// AuditTx puts audit log events into the outbox of every log group that takes the stream of the organisation.
func (l *Log) AuditTx(ctx context.Context, tx *db.Tx, stream Stream, organization string, events ...any) error {
	if !l.WantsAudit(stream, organization) {
		return nil
	}
	body, err := encodeEvents(events)
	if err != nil {
		return err
	}
	for name, g := range l.groups {
		if g.takes(stream, organization) {
			if err := l.emitTx(ctx, tx, name, stream, organization, len(events), body); err != nil {
				return err
			}
		}
	}
	return nil
}

// WantsAudit reports whether any log group takes the organisation's audit logs of the stream.
func (l *Log) WantsAudit(stream Stream, organization string) bool {
	for _, g := range l.groups {
		if g.takes(stream, organization) {
			return true
		}
	}
	return false
}

func (g *group) takes(stream Stream, organization string) bool {
	return organization != "" && slices.Contains(g.AuditLogs, stream) &&
		(len(g.Organizations) == 0 || slices.Contains(g.Organizations, organization))
}

// encodeEvents makes one line of JSON of each event.
func encodeEvents(events []any) ([]byte, error) {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	for _, event := range events {
		if err := e.Encode(event); err != nil {
			return nil, fmt.Errorf("encode a log record: %w", err)
		}
	}
	return body.Bytes(), nil
}

func (l *Log) emitTx(ctx context.Context, tx *db.Tx, name string, stream Stream, organization string, records int, body []byte) error {
	g := l.groups[name]
	if g == nil || records == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, insertOutbox, name, id.Key(), l.clock.Now().UnixMicro(), organization, string(stream), records, len(body), body)
	if err != nil {
		return fmt.Errorf("put records into the outbox of %s: %w", name, err)
	}
	tx.OnCommit(func() {
		g.waiting.Add(int64(len(body)))
		g.poke()
	})
	return nil
}

// outboxRow is a row of the outbox: records that became durable together.
type outboxRow struct {
	key          int64
	time         time.Time
	organization string
	stream       Stream
	records      int64
	body         []byte
}

const readOutbox = `SELECT key, time, organization, stream, records, body FROM log_outbox WHERE log_group = $1 ORDER BY key LIMIT $2`

// waitingRows reads the oldest rows of a log group: as many as limit and as fit into a batch, and at least one.
func (l *Log) waitingRows(ctx context.Context, name string, limit int) (found []outboxRow, err error) {
	err = l.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		found = nil
		rows, err := tx.Query(ctx, readOutbox, name, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for size := 0; size < batchBytes && rows.Next(); {
			var (
				r  outboxRow
				at int64
			)
			if err := rows.Scan(&r.key, &at, &r.organization, &r.stream, &r.records, &r.body); err != nil {
				return err
			}
			r.time = time.UnixMicro(at).UTC()
			found = append(found, r)
			size += len(r.body)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read the outbox of %s: %w", name, err)
	}
	return found, nil
}

// removeRows deletes rows by their keys: on PostgreSQL a row with a lower key may become visible later. It returns those that were
// there: Prune and who sends may meet.
func (l *Log) removeRows(ctx context.Context, g *group, rows []outboxRow) (gone []outboxRow, err error) {
	err = l.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		gone = nil
		for _, r := range rows {
			n, err := tx.Exec(ctx, `DELETE FROM log_outbox WHERE log_group = $1 AND key = $2`, g.name, r.key)
			if err != nil {
				return err
			}
			if n > 0 {
				gone = append(gone, r)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("clear the outbox of %s: %w", g.name, err)
	}
	for _, r := range gone {
		g.waiting.Add(-int64(len(r.body)))
	}
	return gone, nil
}

// total is how many bytes wait for a log group.
func (l *Log) total(ctx context.Context, name string) (bytes int64, err error) {
	err = l.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM log_outbox WHERE log_group = $1`, name).Scan(&bytes)
	})
	if err != nil {
		return 0, fmt.Errorf("measure the outbox of %s: %w", name, err)
	}
	return bytes, nil
}

// trim drops the oldest rows of a log group until no more than limit bytes wait, counts and logs them.
func (l *Log) trim(ctx context.Context, g *group, limit int64) error {
	if g.waiting.Load() <= limit {
		return nil
	}
	bytes, err := l.total(ctx, g.name) // what is counted in memory may have missed or doubled something
	if err != nil {
		return err
	}
	g.waiting.Store(bytes)
	for g.waiting.Load() > limit {
		rows, err := l.waitingRows(ctx, g.name, batchRows)
		if err != nil || len(rows) == 0 {
			return err
		}
		over, n := g.waiting.Load()-limit, 0
		for n < len(rows) && over > 0 {
			over -= int64(len(rows[n].body))
			n++
		}
		gone, err := l.removeRows(ctx, g, rows[:n])
		if err != nil {
			return err
		}
		l.lose(ctx, g, gone, "the outbox is full")
	}
	return nil
}

// lose counts and logs records that nobody will get.
func (l *Log) lose(ctx context.Context, g *group, rows []outboxRow, why string) {
	if len(rows) == 0 {
		return
	}
	var records int64
	for _, r := range rows {
		records += r.records
	}
	g.lost.Add(records)
	l.log.ErrorContext(ctx, "log records were dropped", "log_group", g.name, "records", records, "reason", why)
}

// GroupState is what a log group's outbox tells to monitoring.
type GroupState struct {
	Name    string
	Waiting int64 // bytes in the outbox
	Sent    int64 // records handed over since the start
	Lost    int64 // records dropped since the start
}

// Groups tells the states of the log groups.
func (l *Log) Groups() []GroupState {
	var all []GroupState
	for name, g := range l.groups {
		all = append(all, GroupState{Name: name, Waiting: max(g.waiting.Load(), 0), Sent: g.sent.Load(), Lost: g.lost.Load()})
	}
	return all
}
