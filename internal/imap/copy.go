package imap

import (
	"context"
	"strconv"

	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// copy answers COPY and UID COPY.
func (c *conn) copy(ctx context.Context, a wire.Copy) (result, error) {
	set, to, err := c.setAndTarget(ctx, a.UID, a.Set, a.Mailbox)
	if err != nil || len(set) == 0 {
		return result{}, err
	}
	copied, err := c.s.Mailboxes.Copy(ctx, c.box, c.sel.folder, set, to)
	c.touched.items, c.touched.copies, c.touched.to = copied.Items, copied.Copies, to
	if err != nil {
		return result{}, tryCreate(err)
	}
	return result{code: copyUID(&copied)}, nil
}

// move answers MOVE and UID MOVE (RFC 6851). COPYUID is sent before the EXPUNGEs, which the update behind every command
// sends.
func (c *conn) move(ctx context.Context, a wire.Move) (result, error) {
	if err := c.writable(); err != nil {
		return result{}, err
	}
	set, to, err := c.setAndTarget(ctx, a.UID, a.Set, a.Mailbox)
	if err != nil || len(set) == 0 {
		return result{}, err
	}
	moved, err := c.s.Mailboxes.Move(ctx, c.box, c.sel.folder, set, to)
	c.touched.items, c.touched.to = moved.Items, to
	if code := copyUID(&moved); code != "" { // what was moved before an error stays moved
		c.w.Status("*", "OK", code, "moved")
	}
	return result{}, tryCreate(err)
}

func (c *conn) setAndTarget(ctx context.Context, uid bool, in wire.NumSet, path string) (mailbox.UIDSet, mailbox.FolderID, error) {
	set, err := c.resolve(uid, in)
	if err != nil {
		return nil, 0, err
	}
	f, err := c.s.Mailboxes.Folder(ctx, c.box, canonical(path))
	if err != nil {
		return nil, 0, tryCreate(err)
	}
	if !f.Selectable() { // CREATE makes it a folder that holds messages
		return nil, 0, no("TRYCREATE", strconv.Quote(path)+" holds no messages, only folders")
	}
	return set, f.ID, nil
}

// copyUID returns the response code COPYUID (RFC 4315 section 3), "" where nothing was copied. Both sets list the messages
// in the same order.
func copyUID(m *mailbox.Copied) string {
	if len(m.From) == 0 {
		return ""
	}
	b := append(appendNumber([]byte("COPYUID "), int64(m.UIDValidity)), ' ')
	b = append(appendInOrder(b, m.From), ' ')
	return string(appendInOrder(b, m.To))
}

// appendInOrder appends UIDs as a set that lists them in their order.
func appendInOrder(dst []byte, uids []mailbox.UID) []byte {
	var ranges []wire.Range
	for _, u := range uids {
		if k := len(ranges); k > 0 && uint32(u) == ranges[k-1].Last+1 {
			ranges[k-1].Last = uint32(u)
		} else {
			ranges = append(ranges, wire.Range{First: uint32(u), Last: uint32(u)})
		}
	}
	return wire.AppendRanges(dst, ranges)
}
