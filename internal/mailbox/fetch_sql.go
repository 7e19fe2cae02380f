package mailbox

import (
	"database/sql"
	"fmt"

	"github.com/pennypost/pennypost/internal/lazy"
)

// fetchTexts has the text of each Want that full returns.
var fetchTexts = lazy.Value[*[WantModSeq]string]{Make: func() *[WantModSeq]string {
	var texts [WantModSeq]string
	for w := range WantModSeq {
		if w != w.full() {
			continue
		}
		columns, join := `i.uid, i.item, i.flags, i.changed`, ``
		if w&WantItem != 0 {
			columns += `, i.created, i.size, i.received, i.saved, i.email, i.thread`
		}
		if w&WantEnvelope != 0 {
			columns += `, m.envelope`
			join += ` CROSS JOIN meta m`
		}
		if w&WantMeta != 0 {
			columns += `, m.parser, m.structure`
		}
		if w&WantPrefix != 0 {
			columns += `, i.prefix`
		}
		if w&WantBody != 0 {
			columns += `, b.size, b.store, b.ref, b.codec, b.data`
			join += ` CROSS JOIN body b`
		}
		where := ` WHERE i.mailbox = $1 AND i.folder = $2 AND i.uid BETWEEN $3 AND $4`
		if w&WantEnvelope != 0 {
			where += ` AND m.mailbox = i.mailbox AND m.item = i.item`
		}
		if w&WantBody != 0 {
			where += ` AND b.id = i.body`
		}
		texts[w] = `SELECT ` + columns + ` FROM item i` + join + where + ` ORDER BY i.uid LIMIT $5`
	}
	return &texts
}}

// itemScan scans the rows of fetchTexts. Numbers go through num, which spares database/sql its slow conversions.
type itemScan struct {
	item                                          Item
	uid, id, flags, changed                       num
	created, size, received, saved, email, thread num
	parser, bodySize, store, codec                num
	dest                                          []any
}

// num is an integer column.
type num int64

// Scan implements sql.Scanner.
func (n *num) Scan(src any) error {
	v, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a number was expected, not %T", src)
	}
	*n = num(v)
	return nil
}

func (sc *itemScan) scan(rows *sql.Rows, want Want) error {
	sc.item = Item{}
	it := &sc.item
	d := append(sc.dest[:0], &sc.uid, &sc.id, &sc.flags, &sc.changed)
	if want&WantItem != 0 {
		d = append(d, &sc.created, &sc.size, &sc.received, &sc.saved, &sc.email, &sc.thread)
	}
	if want&WantEnvelope != 0 {
		d = append(d, (*blobColumn)(&it.Envelope))
	}
	if want&WantMeta != 0 {
		d = append(d, &sc.parser, (*blobColumn)(&it.Structure))
	}
	if want&WantPrefix != 0 {
		d = append(d, (*blobColumn)(&it.Prefix))
	}
	if want&WantBody != 0 {
		d = append(d, &sc.bodySize, &sc.store, &it.body.ref, &sc.codec, (*blobColumn)(&it.body.data))
	}
	sc.dest = d
	if err := rows.Scan(d...); err != nil {
		return err
	}
	it.UID, it.ID, it.Flags, it.ModSeq = UID(sc.uid), ItemID(sc.id), Flags(sc.flags), ModSeq(sc.changed)
	if want&WantItem != 0 {
		it.Created, it.Size = ModSeq(sc.created), int64(sc.size)
		it.Received, it.Saved = fromMicros(int64(sc.received)), fromMicros(int64(sc.saved))
		it.Email, it.Thread = EmailID(sc.email), ThreadID(sc.thread)
	}
	if want&WantMeta != 0 {
		it.ParserVersion = int(sc.parser)
	}
	if want&WantBody != 0 {
		it.body.size, it.body.store, it.body.codec, it.body.read = int64(sc.bodySize), bodyStore(sc.store), codec(sc.codec), true
	}
	return nil
}

// bytes is about how much memory the item's variable parts take.
func (sc *itemScan) bytes() int {
	it := &sc.item
	return len(it.Envelope) + len(it.Structure) + len(it.Prefix) + len(it.body.data)
}

// blobColumn is a binary column; it keeps what the driver gives.
type blobColumn []byte

// Scan implements sql.Scanner. The driver's slice is its own until the next row only, by the contract of sql.Scanner.
func (b *blobColumn) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*b = nil
	case []byte:
		*b = append([]byte(nil), v...)
	default:
		return fmt.Errorf("bytes were expected, not %T", src)
	}
	return nil
}
