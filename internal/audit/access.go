package audit

import "time"

// MailboxAccess is a record of WorkMail's WORKMAIL_MAILBOX_ACCESS_LOGS: what a user did with a folder, a message or an
// attachment, by whatever protocol.
type MailboxAccess struct {
	Time       int64  `json:"event_timestamp"`
	RequestID  string `json:"request_id,omitempty"`
	UserID     string `json:"user_id"`
	Protocol   string `json:"protocol"`
	SourceIP   string `json:"source_ip,omitempty"`
	UserAgent  string `json:"user_agent,omitempty"`
	Action     string `json:"action"`
	OwnerID    string `json:"owner_id"` // of the mailbox
	ObjectType string `json:"object_type"`
	// ItemID is "I" and the mailbox.ItemID: unique in its mailbox, and the same wherever the message is moved to.
	ItemID string `json:"item_id,omitempty"`
	// UIDs is ours: the messages that one record tells of, by their UIDs in the folder, as IMAP writes sets.
	UIDs           string `json:"item_uids,omitempty"`
	FolderPath     string `json:"folder_path,omitempty"`
	FolderID       string `json:"folder_id,omitempty"`
	AttachmentPath string `json:"attachment_path,omitempty"`
	Allowed        bool   `json:"action_allowed"`
}

// The actions and the types of objects that there are so far, in WorkMail's words.
const (
	ActRead            = "read"
	ActReadHierarchy   = "read_hierarchy"
	ActReadSummary     = "read_summary"
	ActReadAttachment  = "read_attachment"
	ActCreate          = "create"
	ActUpdate          = "update"
	ActUpdateReadState = "update_read_state"
	ActDelete          = "delete"
	ActMove            = "move"
	ActMoveTo          = "move_to"
	ActCopy            = "copy"
	ActCopyTo          = "copy_to"
	ActSubmit          = "submit_email_for_sending"

	ObjectFolder     = "Folder"
	ObjectMessage    = "Message"
	ObjectAttachment = "Attachment"
)

// Millis is a time as audit logs have it: milliseconds since 1970.
func Millis(t time.Time) int64 { return t.UnixMilli() }
