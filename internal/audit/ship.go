package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/stack"
)

// group is a log group at work. One goroutine sends, so that records stay in order and a sink that hangs holds up no other.
type group struct {
	Group
	name                string
	wake                chan struct{} // holds one notice
	waiting, sent, lost atomic.Int64
}

// poke makes the group's goroutine look.
func (g *group) poke() {
	select {
	case g.wake <- struct{}{}:
	default: // a notice waits already
	}
}

// Run sends what is in the outbox to the log groups until ctx ends. What is not sent then is sent after the next start.
func (l *Log) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() {
		stack.Deepen()
		l.collect(ctx)
	})
	if err := l.dropUnknown(ctx); err != nil && ctx.Err() == nil {
		l.log.ErrorContext(ctx, "records of log groups that are configured no more could not be dropped", "error", err)
	}
	for _, g := range l.groups {
		work.Go(func() {
			stack.Deepen()
			l.ship(ctx, g)
		})
	}
	return nil
}

// dropUnknown drops what waits for log groups that the configuration has no more.
func (l *Log) dropUnknown(ctx context.Context) error {
	for name := ""; ; {
		err := l.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			return tx.QueryRow(ctx, `SELECT COALESCE(MIN(log_group), '') FROM log_outbox WHERE log_group > $1`, name).Scan(&name)
		})
		if err != nil || name == "" {
			return err
		}
		if l.groups[name] != nil {
			continue
		}
		gone := &group{name: name}
		gone.waiting.Store(1)
		if err := l.trim(ctx, gone, 0); err != nil {
			return err
		}
	}
}

// ship sends batch after batch. After a failure it waits, longer each time, and drops the oldest where too much waits.
func (l *Log) ship(ctx context.Context, g *group) {
	if bytes, err := l.total(ctx, g.name); err == nil {
		g.waiting.Store(bytes)
	}
	limit, failures := batchRows, 0
	for batches := 1; ctx.Err() == nil; batches++ {
		rows, err := l.waitingRows(ctx, g.name, limit)
		if err == nil && len(rows) > 0 {
			err = l.send(ctx, g, rows)
		}
		switch {
		case err == nil && len(rows) == 0:
			select {
			case <-g.wake:
				l.wait(ctx)
			case <-ctx.Done():
			}
			continue
		case err == nil:
			limit, failures = min(2*limit, batchRows), 0
			if batches%64 > 0 {
				continue
			}
		case errors.Is(err, ErrRefused) && len(rows) > 1: // one of them is bad: find it
			limit = len(rows) / 2
			continue
		case ctx.Err() == nil:
			if failures++; failures&(failures-1) == 0 { // the first, second, fourth …
				l.log.WarnContext(ctx, "log records could not be sent; trying again", "log_group", g.name, "failures", failures, "waiting_bytes", g.waiting.Load(), "error", err)
			}
			if errors.Is(err, ErrRefused) && failures >= refusals {
				if gone, err := l.removeRows(ctx, g, rows); err == nil {
					l.lose(ctx, g, gone, "the log group refuses them")
					failures = 0
					continue
				}
			}
			_ = l.clock.Sleep(ctx, min(firstRetry<<min(failures-1, 10), lastRetry)) // whatever ended it, the loop looks
		}
		if err := l.trim(ctx, g, outboxLimit); err != nil && ctx.Err() == nil {
			l.log.ErrorContext(ctx, "the outbox of a log group could not be trimmed", "log_group", g.name, "error", err)
		}
	}
}

// send hands rows to the sink and removes them.
func (l *Log) send(ctx context.Context, g *group, rows []outboxRow) error {
	var records []LogRecord
	for _, r := range rows {
		arn, err := l.arn(ctx, r)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(r.body) {
			records = append(records, LogRecord{Time: r.time, Stream: r.stream, Organization: r.organization, JSON: withMember(line, arn)})
		}
	}
	bounded, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	var rejected *Rejected
	err := g.Sink.Send(bounded, records)
	if errors.As(err, &rejected) {
		g.lost.Add(rejected.Records)
		l.log.ErrorContext(ctx, "log records were dropped", "log_group", g.name, "records", rejected.Records, "reason", rejected.Why)
		err = nil
	}
	if err != nil {
		return err
	}
	g.sent.Add(int64(len(records)))
	_, err = l.removeRows(context.WithoutCancel(ctx), g, rows) // or they would be sent again after the next start
	return err
}

// arn is the member of a row's records that names their organisation, as JSON.
func (l *Log) arn(ctx context.Context, r outboxRow) ([]byte, error) {
	if l.organizationARN == nil {
		return nil, nil
	}
	arn, err := l.organizationARN(ctx, r.organization)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("name organization %s in a log record: %w", r.organization, err)
	}
	member := "organization_arn" // as WorkMail's audit logs have it
	if r.stream == EmailEvents {
		member = "organizationArn"
	}
	return fmt.Appendf(nil, "%q:%q", member, arn), nil
}

// withMember puts a member in front of those of a JSON object that has some.
func withMember(line, member []byte) []byte {
	line = bytes.TrimSpace(line)
	if len(member) == 0 || len(line) < 3 {
		return line
	}
	out := append(make([]byte, 0, len(line)+len(member)+1), '{')
	return append(append(append(out, member...), ','), line[1:]...)
}

// accessRecord is an audit log event that waits in memory to become durable.
type accessRecord struct {
	stream       Stream
	organization string
	event        any
}

// accessBuffer is how many audit log events may wait in memory.
const accessBuffer = 16384

// Access tells an audit log event of something that changes nothing in the store, and doesn't wait: the event becomes durable
// soon after. Where too many wait, it is dropped and counted, so that no reader is held up by who logs it.
func (l *Log) Access(stream Stream, organization string, event any) {
	if !l.WantsAudit(stream, organization) {
		return
	}
	select {
	case l.accesses <- accessRecord{stream, organization, event}:
	default:
		l.missed.Add(1)
	}
}

// wait lets some more come, for as long as Config.Linger.
func (l *Log) wait(ctx context.Context) {
	if l.linger > 0 {
		_ = l.clock.Sleep(ctx, l.linger) // whatever ended it, what is there is dealt with
	}
}

// collect makes what Access was told durable, and what waits when ctx ends too.
func (l *Log) collect(ctx context.Context) {
	for {
		select {
		case first := <-l.accesses:
			if len(l.accesses) < batchRows { // else each batch would wait, while more comes than goes
				l.wait(ctx)
			}
			l.keep(ctx, first)
		case <-ctx.Done():
			for {
				select {
				case first := <-l.accesses:
					l.keep(ctx, first)
				default:
					return
				}
			}
		}
	}
}

// keep writes a batch of events, of which the first is given.
func (l *Log) keep(ctx context.Context, first accessRecord) {
	type of struct {
		stream       Stream
		organization string
	}
	events, n := map[of][]any{{first.stream, first.organization}: {first.event}}, int64(1)
more:
	for n < batchRows {
		select {
		case r := <-l.accesses:
			k := of{r.stream, r.organization}
			events[k] = append(events[k], r.event)
			n++
		default:
			break more
		}
	}
	err := l.db.Write(context.WithoutCancel(ctx), func(ctx context.Context, tx *db.Tx) error {
		for k, list := range events {
			if err := l.AuditTx(ctx, tx, k.stream, k.organization, list...); err != nil {
				return err
			}
		}
		return nil
	})
	missed := l.missed.Swap(0)
	if err != nil {
		missed += n
	}
	if missed > 0 {
		for _, g := range l.groups {
			if len(g.AuditLogs) > 0 {
				g.lost.Add(missed)
			}
		}
		l.log.ErrorContext(ctx, "audit log events were not kept", "events", missed, "error", err)
	}
}
