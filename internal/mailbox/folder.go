package mailbox

// Kind is what a folder holds.
type Kind uint8

// The kinds of folders. NoItems is a name in the hierarchy that holds no items (IMAP's \Noselect).
const (
	Mail Kind = iota
	NoItems
	Calendar
	Contacts
	Tasks
	Notes
)

// Use is what a folder is for (RFC 6154 special-use); at most one folder of a mailbox has each use but NoUse.
type Use uint8

// The uses. Inbox is the folder of that reserved name.
const (
	NoUse Use = iota
	Inbox
	Drafts
	Sent
	Trash
	JunkMail
	Archive
)

// Delimiter separates the names of a path. It can't be part of a name.
const Delimiter = "/"

// Folder is a folder as it stood at one moment: its properties and kept counts, read from one row.
type Folder struct {
	ID     FolderID
	Parent FolderID // 0 at the top
	Name   string   // the last part of Path
	Path   string   // names joined by Delimiter, UTF-8 in NFC; the inbox is always "INBOX"
	Kind   Kind
	Use    Use
	// Default marks the folders every mailbox is made with; they can't be deleted, and only the inbox can be "renamed".
	Default    bool
	Subscribed bool
	// HasChildren is whether other folders lie below.
	HasChildren bool

	UIDValidity uint32
	UIDNext     UID
	// Highest is the number of the newest change of an item here, arrivals and departures included: the folder's version
	// (HIGHESTMODSEQ). It is at least 1.
	Highest ModSeq
	// Floor is the number up to which departures have been forgotten: Changes since an older number can't name them.
	Floor ModSeq
	// PropertiesChanged and CountsChanged are the numbers of the last change of the name, use or subscription, and of the
	// counts below.
	PropertiesChanged, CountsChanged ModSeq

	Messages, Unseen, DeletedMarked int64 // items; without Seen; with Deleted
	Bytes                           int64 // sum of the items' sizes
}

// Selectable reports whether the folder can hold items.
func (f *Folder) Selectable() bool { return f.Kind != NoItems }

// FolderList is all folders of a mailbox as they stood at one moment, parents before children, siblings by name, the inbox
// first.
type FolderList struct {
	Folders []Folder
	// SubscribedOnly are subscribed paths where no folder is (RFC 3501 section 6.3.9: they stay subscribed).
	SubscribedOnly []string
}

// The limits of names. A mailbox can have at most Options.MaxFolders folders.
const (
	MaxNameLength = 255  // bytes of one name in UTF-8
	MaxPathLength = 1000 // bytes of a path in UTF-8
	MaxDepth      = 32   // names in a path
)
