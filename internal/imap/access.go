package imap

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
)

// Beyond maxToldItems messages a command is one record with their UIDs, of which maxToldUIDs bytes are told: who marks 100,000
// messages as read must not flood the log.
const (
	maxToldItems = 1000
	maxToldUIDs  = 4096
)

// touched is what the command that runs did, as far as its handler notes it for the mailbox access log.
type touched struct {
	folder, to mailbox.FolderID // the folder that it names; where messages came into another, that one
	uids       mailbox.UIDSet   // of the messages that it changed, removed or looked at
	items      []mailbox.ItemID // of the messages that it changed or removed
	copies     []mailbox.ItemID // of those that came into another folder
	summaries  bool             // FETCH showed a message without its text
}

// here is the folder that is selected, as records name it.
type here struct {
	path string
	id   mailbox.FolderID
}

// toldAccess reports whether what the user does is told to a log.
func (c *conn) toldAccess() bool {
	return c.user != nil && c.s.Audit != nil && c.s.Audit.WantsAudit(audit.MailboxAccessLogs, c.user.Organization)
}

// tellAccess tells the mailbox access log what a command did; at is the folder that was selected before it. What FETCH read was told
// as it was sent. No log group is waited for.
func (c *conn) tellAccess(ctx context.Context, args wire.Args, at here) {
	if !c.toldAccess() {
		return
	}
	did := &c.touched
	folder := func(action, path string, id mailbox.FolderID) {
		c.tell(audit.MailboxAccess{Action: action, ObjectType: audit.ObjectFolder, FolderPath: canonical(path), FolderID: folderID(id)})
	}
	find := func(path string) mailbox.FolderID { // for commands that don't learn it
		f, err := c.s.Mailboxes.Folder(ctx, c.box, canonical(path))
		if err != nil {
			return 0 // gone meanwhile
		}
		return f.ID
	}
	looked := func(uids string) {
		c.tell(audit.MailboxAccess{Action: audit.ActReadSummary, ObjectType: audit.ObjectFolder, UIDs: uids, FolderPath: at.path, FolderID: folderID(at.id)})
	}
	switch a := args.(type) {
	case wire.Select:
		folder(audit.ActRead, a.Mailbox, did.folder)
	case wire.List:
		folder(audit.ActReadHierarchy, a.Reference, 0)
	case wire.Status:
		folder(audit.ActReadSummary, a.Mailbox, did.folder)
	case wire.Create:
		folder(audit.ActCreate, a.Mailbox, did.folder)
	case wire.Delete:
		folder(audit.ActDelete, a.Mailbox, did.folder)
	case wire.Rename:
		to := find(a.To)
		from := to
		if strings.EqualFold(a.From, "INBOX") { // which stays, and only gives its messages away
			from = mailbox.InboxID
		}
		folder(audit.ActMove, a.From, from)
		folder(audit.ActMoveTo, a.To, to)
	case wire.Subscribe:
		folder(audit.ActUpdate, a.Mailbox, find(a.Mailbox))
	case wire.Unsubscribe:
		folder(audit.ActUpdate, a.Mailbox, find(a.Mailbox))
	case wire.Append:
		c.tellItems(audit.ActCreate, did.items, did.uids, here{canonical(a.Mailbox), did.folder})
	case wire.Fetch:
		if did.summaries {
			looked(toldUIDs(did.uids))
		}
	case wire.Search:
		looked("")
	case wire.Store:
		c.tellItems(storeAction(&a), did.items, did.uids, at)
	case wire.Expunge, wire.Close:
		c.tellItems(audit.ActDelete, did.items, did.uids, at)
	case wire.Copy:
		c.tellItems(audit.ActCopy, did.items, did.uids, at)
		c.tellItems(audit.ActCopyTo, did.copies, nil, here{canonical(a.Mailbox), did.to})
	case wire.Move:
		c.tellItems(audit.ActMove, did.items, did.uids, at)
		c.tellItems(audit.ActMoveTo, did.items, nil, here{canonical(a.Mailbox), did.to})
	}
}

// tellItems tells what was done with messages of a folder: a record for each, or one for very many.
func (c *conn) tellItems(action string, items []mailbox.ItemID, uids mailbox.UIDSet, in here) {
	e := audit.MailboxAccess{Action: action, ObjectType: audit.ObjectMessage, FolderPath: in.path, FolderID: folderID(in.id)}
	if len(items) > maxToldItems {
		e.UIDs = toldUIDs(uids)
		c.tell(e)
		return
	}
	for _, id := range items {
		e.ItemID = itemID(id)
		c.tell(e)
	}
}

func (c *conn) tell(e audit.MailboxAccess) {
	e.Time, e.RequestID, e.UserID, e.OwnerID, e.Protocol, e.Allowed = audit.Millis(time.Now()), c.id, c.user.User, c.user.User, "IMAP", true
	e.UserAgent = c.agent
	if c.address.IsValid() {
		e.SourceIP = c.address.Unmap().String()
	}
	c.s.Audit.Access(audit.MailboxAccessLogs, c.user.Organization, e)
}

// tellRead tells what FETCH has sent of a message: its text, attachments, both, or neither.
func (f *fetching) tellRead(m *opened, nowSeen bool) {
	c := f.c
	e := audit.MailboxAccess{
		Action: audit.ActUpdateReadState, ObjectType: audit.ObjectMessage, ItemID: itemID(m.item.ID), FolderPath: c.sel.path, FolderID: folderID(c.sel.folder),
	}
	if nowSeen {
		c.tell(e)
	}
	read, attachments := m.reads(f.plan.items)
	if read {
		e.Action = audit.ActRead
		c.tell(e)
	}
	for _, path := range attachments {
		e.Action, e.ObjectType, e.AttachmentPath = audit.ActReadAttachment, audit.ObjectAttachment, path
		c.tell(e)
	}
	if !read && len(attachments) == 0 {
		c.touched.summaries = true
	}
}

// reads says whether the items of a FETCH are of the text of a message, and of which attachments, by their sections.
func (m *opened) reads(items []wire.FetchItem) (text bool, attachments []string) {
	for i := range items {
		it := &items[i]
		switch it.Kind {
		case wire.FetchRFC822, wire.FetchRFC822Text:
			text = true
			continue
		case wire.FetchBinary, wire.FetchSection:
		default:
			continue
		}
		if k := it.Section.Kind; k != wire.SectionWhole && k != wire.SectionText {
			continue
		}
		if len(it.Section.Part) == 0 {
			text = true
			continue
		}
		s, err := m.structure()
		if err != nil {
			continue // nothing of it was sent
		}
		switch at, ok := s.Find(it.Section.Part); {
		case !ok:
		case !inAttachment(s, at):
			text = true
		default:
			if path := sectionPath(it.Section.Part); len(attachments) == 0 || attachments[len(attachments)-1] != path { // or pieces of one
				attachments = append(attachments, path)
			}
		}
	}
	return text, attachments
}

// inAttachment reports whether a part is an attachment or lies in a message that is one.
func inAttachment(s *message.Structure, at int) bool {
	p := &s.Parts[at]
	if p.IsAttachment() {
		return true
	}
	for p.Parent >= 0 {
		if p = &s.Parts[p.Parent]; p.IsMessage() {
			return true
		}
	}
	return false
}

func sectionPath(part []int) string {
	numbers := make([]string, len(part))
	for i, n := range part {
		numbers[i] = strconv.Itoa(n)
	}
	return strings.Join(numbers, ".")
}

// storeAction tells a change of what is read from any other of flags.
func storeAction(a *wire.Store) string {
	if a.Mode != wire.ReplaceFlags && len(a.Flags.Keywords) == 0 && len(a.Flags.System) == 1 && a.Flags.System[0] == `\Seen` {
		return audit.ActUpdateReadState
	}
	return audit.ActUpdate
}

// toldUIDs is a set of UIDs as IMAP writes it, cut where it is very long.
func toldUIDs(set mailbox.UIDSet) string {
	for n := len(set); ; n /= 2 {
		text := set[:n].String()
		switch {
		case len(text) <= maxToldUIDs && n == len(set):
			return text
		case len(text) <= maxToldUIDs:
			return text + ",…"
		}
	}
}

// folderID is a folder's id as the client knows it (RFC 8474); empty for none.
func folderID(id mailbox.FolderID) string {
	if id == 0 {
		return ""
	}
	return "F" + strconv.FormatInt(int64(id), 10)
}

// itemID is a message's id in records.
func itemID(id mailbox.ItemID) string { return "I" + strconv.FormatInt(int64(id), 10) }
