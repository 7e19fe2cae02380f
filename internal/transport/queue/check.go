package queue

import (
	"context"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
)

// checks are questions whose rows are each a contradiction: what it is, and the numbers that show it.
var checks = []struct{ what, query string }{
	{
		"a delivery has no message (delivery, message)",
		`SELECT d.id, d.message FROM queue_delivery d LEFT JOIN queue_message m ON m.id = d.message WHERE m.id IS NULL`,
	},
	{
		"a delivery has no destination (delivery, destination)",
		`SELECT d.id, d.destination FROM queue_delivery d LEFT JOIN queue_destination t ON t.id = d.destination WHERE t.id IS NULL`,
	},
	{
		"a delivery and its destination are of two organisations (delivery)",
		`SELECT d.id, 0 FROM queue_delivery d JOIN queue_message m ON m.id = d.message JOIN queue_destination t ON t.id = d.destination WHERE t.org <> m.org`,
	},
	{
		"a report has no message (message, delivery)",
		`SELECT r.message, r.delivery FROM queue_report r LEFT JOIN queue_message m ON m.id = r.message WHERE m.id IS NULL`,
	},
	{
		"a message has nothing to deliver and nothing to tell, or its count is wrong (message, count)",
		`SELECT m.id, m.pending FROM queue_message m WHERE m.pending < 1 OR m.pending <>
			(SELECT COUNT(*) FROM queue_delivery d WHERE d.message = m.id) + (SELECT COUNT(*) FROM queue_report r WHERE r.message = m.id)`,
	},
	{
		// One that is due is removed when it is looked at.
		"a destination has no deliveries (destination, time)",
		`SELECT t.id, t.due FROM queue_destination t WHERE t.due > $2 AND NOT EXISTS (SELECT 1 FROM queue_delivery d WHERE d.destination = t.id)`,
	},
	{
		"a destination is looked at later than its first delivery is due (destination, time)",
		`SELECT t.id, t.due FROM queue_destination t WHERE t.due > $2 AND t.due > t.not_before AND t.due >
			(SELECT MIN(d.due) FROM queue_delivery d WHERE d.destination = t.id AND d.state = 0)`,
	},
	{
		"a message's bytes are missing, or of another size (message, size)",
		`SELECT m.id, m.size FROM queue_message m LEFT JOIN queue_body b ON b.message = m.id
			WHERE m.ref = '' AND (b.message IS NULL OR LENGTH(b.data) <> m.size)`,
	},
	{
		"bytes have no message (message)",
		`SELECT b.message, 0 FROM queue_body b LEFT JOIN queue_message m ON m.id = b.message WHERE m.id IS NULL`,
	},
	{
		"what an organization has is counted wrong (organization, part)",
		`SELECT org, part FROM (
			SELECT org, part, messages, bytes FROM queue_usage UNION ALL SELECT org, id % 64, -1, -size FROM queue_message
		) AS counted GROUP BY org, part HAVING SUM(messages) <> 0 OR SUM(bytes) <> 0`,
	},
	{
		"a large message's bytes are marked as garbage (message, size)",
		`SELECT m.id, m.size FROM queue_message m JOIN queue_upload u ON u.ref = m.ref WHERE m.ref <> ''`,
	},
}

// maxFaults is how many contradictions of one sort Check lists.
const maxFaults = 20

// Check looks for contradictions in the tables and returns a line for each, at most 20 of a sort. It reads everything. Whether the
// bytes of large messages are in Blobs, CheckBodies tells.
func (q *Queue) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	for _, c := range checks {
		args := []any{maxFaults, q.Clock.Now().UnixMicro()}
		err := tx.Each(ctx, func(row db.Row) error {
			var a, b int64
			err := row.Scan(&a, &b)
			faults = append(faults, fmt.Sprintf("queue: %s: %d %d", c.what, a, b))
			return err
		}, c.query+" LIMIT $1", args[:1+strings.Count(c.query, "$2")]...)
		if err != nil {
			return nil, fmt.Errorf("check whether %s: %w", c.what, err)
		}
	}
	return faults, nil
}

// CheckBodies looks whether the bytes of large messages are in Blobs, whole, and returns a line for each that is not, at most 20. A
// message that is delivered meanwhile is none.
func (q *Queue) CheckBodies(ctx context.Context) (faults []string, err error) {
	type large struct {
		id, size int64
		ref      string
	}
	for after := int64(0); len(faults) < maxFaults; {
		var page []large
		err := q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			page = page[:0]
			return tx.Each(ctx, func(row db.Row) error {
				var l large
				err := row.Scan(&l.id, &l.size, &l.ref)
				page = append(page, l)
				return err
			}, selectLarge, after, sweepBatch)
		})
		if err != nil {
			return nil, fmt.Errorf("check the bytes of large messages: %w", err)
		}
		if len(page) == 0 {
			break
		}
		for _, l := range page {
			after = l.id
			if err := q.checkBody(ctx, l.ref, l.size); err != nil && q.exists(ctx, ID(l.id)) && len(faults) < maxFaults {
				faults = append(faults, fmt.Sprintf("queue: the bytes of message %d are not whole: %v", l.id, err))
			}
		}
	}
	return faults, nil
}

func (q *Queue) checkBody(ctx context.Context, ref string, size int64) error {
	b, err := q.Blobs.Open(ctx, ref)
	if err != nil {
		return err
	}
	defer b.Close() // it was only looked at
	if b.Size() != size {
		return fmt.Errorf("%d bytes are there where %d were stored", b.Size(), size)
	}
	return nil
}

// exists reports whether the message is there still.
func (q *Queue) exists(ctx context.Context, m ID) bool {
	return q.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := messageTx(ctx, tx, m)
		return err
	}) == nil
}
