package wire

// StatusItems is a set of items of STATUS.
type StatusItems uint16

// The items of STATUS: RFC 3501 section 6.3.10, RFC 7162, RFC 8438, RFC 9208, RFC 8474, RFC 7889.
const (
	StatusMessages StatusItems = 1 << iota
	StatusRecent
	StatusUIDNext
	StatusUIDValidity
	StatusUnseen
	StatusHighestModSeq
	StatusSize
	StatusDeleted
	StatusMailboxID
	StatusAppendLimit
	StatusDeletedStorage
)

// Status is STATUS.
type Status struct {
	Mailbox string
	Items   StatusItems
}

func (Status) args() {}

func (r *Reader) status() Args {
	s := Status{Mailbox: r.oneMailbox()}
	r.space()
	s.Items = r.statusItems()
	return s
}

func (r *Reader) statusItems() StatusItems {
	var items StatusItems
	r.list(false, func() {
		switch r.atom("an item of STATUS") {
		case "MESSAGES":
			items |= StatusMessages
		case "RECENT":
			items |= StatusRecent
		case "UIDNEXT":
			items |= StatusUIDNext
		case "UIDVALIDITY":
			items |= StatusUIDValidity
		case "UNSEEN":
			items |= StatusUnseen
		case "HIGHESTMODSEQ":
			items |= StatusHighestModSeq
		case "SIZE":
			items |= StatusSize
		case "DELETED":
			items |= StatusDeleted
		case "MAILBOXID":
			items |= StatusMailboxID
		case "DELETED-STORAGE":
			items |= StatusDeletedStorage
		case "APPENDLIMIT":
			items |= StatusAppendLimit
		default:
			r.fail("STATUS has no such item")
		}
	})
	return items
}
