package imap

import (
	"strconv"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// accessEvent is a record of WorkMail's WORKMAIL_MAILBOX_ACCESS_LOGS: what a command did with a folder or with messages of it.
// One record tells of all messages of a command, by their UIDs in the folder.
type accessEvent struct {
	Time       int64  `json:"event_timestamp"`
	RequestID  string `json:"request_id"` // of the connection
	UserID     string `json:"user_id"`
	Protocol   string `json:"protocol"`
	SourceIP   string `json:"source_ip,omitempty"`
	Action     string `json:"action"`
	OwnerID    string `json:"owner_id"`
	ObjectType string `json:"object_type"`
	UIDs       string `json:"item_uids,omitempty"`
	FolderPath string `json:"folder_path,omitempty"`
	FolderID   string `json:"folder_id,omitempty"`
	Allowed    bool   `json:"action_allowed"`
}

// The actions and types of objects that IMAP has, in WorkMail's words.
const (
	actRead            = "read"
	actReadHierarchy   = "read_hierarchy"
	actReadSummary     = "read_summary"
	actCreate          = "create"
	actUpdate          = "update"
	actUpdateReadState = "update_read_state"
	actDelete          = "delete"
	actMove            = "move"
	actMoveTo          = "move_to"
	actCopy            = "copy"
	actCopyTo          = "copy_to"

	objectFolder  = "Folder"
	objectMessage = "Message"
)

// maxToldUIDs is how many bytes of a set of UIDs are told.
const maxToldUIDs = 4096

// here is the folder that is selected, as records name it.
type here struct {
	path string
	id   mailbox.FolderID
}

// tellAccess tells the mailbox access log what a command did, or tried on messages; at is the folder that was selected before
// it. It waits for nobody.
func (c *conn) tellAccess(args wire.Args, at here) {
	if c.user == nil || c.s.Audit == nil || !c.s.Audit.WantsAudit(audit.MailboxAccessLogs, c.user.Organization) {
		return
	}
	folder := func(action, path string) {
		c.tell(accessEvent{Action: action, ObjectType: objectFolder, FolderPath: canonical(path)})
	}
	messages := func(actions ...string) { // of the selected folder
		if len(c.touched) == 0 {
			return
		}
		for _, action := range actions {
			c.tell(accessEvent{Action: action, ObjectType: objectMessage, UIDs: toldUIDs(c.touched), FolderPath: at.path, FolderID: folderID(at.id)})
		}
	}
	arrived := func(action, path string) { // in another folder
		if len(c.touched) > 0 {
			c.tell(accessEvent{Action: action, ObjectType: objectMessage, FolderPath: canonical(path)})
		}
	}
	switch a := args.(type) {
	case wire.Select:
		folder(actRead, a.Mailbox)
	case wire.List:
		folder(actReadHierarchy, a.Reference)
	case wire.Status:
		folder(actReadSummary, a.Mailbox)
	case wire.Create:
		folder(actCreate, a.Mailbox)
	case wire.Delete:
		folder(actDelete, a.Mailbox)
	case wire.Rename:
		folder(actMove, a.From)
		folder(actMoveTo, a.To)
	case wire.Subscribe:
		folder(actUpdate, a.Mailbox)
	case wire.Unsubscribe:
		folder(actUpdate, a.Mailbox)
	case wire.Append:
		c.tell(accessEvent{Action: actCreate, ObjectType: objectMessage, UIDs: toldUIDs(c.touched), FolderPath: canonical(a.Mailbox)})
	case wire.Fetch:
		messages(fetchAction(&a))
	case wire.Search:
		c.tell(accessEvent{Action: actReadSummary, ObjectType: objectMessage, FolderPath: at.path, FolderID: folderID(at.id)})
	case wire.Store:
		messages(storeAction(&a))
	case wire.Expunge, wire.Close:
		messages(actDelete)
	case wire.Copy:
		messages(actCopy)
		arrived(actCopyTo, a.Mailbox)
	case wire.Move:
		messages(actMove)
		arrived(actMoveTo, a.Mailbox)
	}
}

func (c *conn) tell(e accessEvent) {
	e.Time, e.RequestID, e.UserID, e.OwnerID, e.Protocol, e.Allowed = time.Now().UnixMilli(), c.id, c.user.User, c.user.User, "IMAP", true
	if c.address.IsValid() {
		e.SourceIP = c.address.Unmap().String()
	}
	c.s.Audit.Access(audit.MailboxAccessLogs, c.user.Organization, e)
}

// fetchAction tells reading a message from looking at its header and flags.
func fetchAction(a *wire.Fetch) string {
	for _, it := range a.Items {
		switch it.Kind {
		case wire.FetchRFC822, wire.FetchRFC822Text, wire.FetchBinary:
			return actRead
		case wire.FetchSection:
			if k := it.Section.Kind; k == wire.SectionWhole || k == wire.SectionText {
				return actRead
			}
		}
	}
	return actReadSummary
}

// storeAction tells a change of what is read from any other of flags.
func storeAction(a *wire.Store) string {
	if a.Mode != wire.ReplaceFlags && len(a.Flags.Keywords) == 0 && len(a.Flags.System) == 1 && a.Flags.System[0] == `\Seen` {
		return actUpdateReadState
	}
	return actUpdate
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

// folderID is a folder's id as the client knows it (RFC 8474).
func folderID(id mailbox.FolderID) string { return "F" + strconv.FormatInt(int64(id), 10) }
