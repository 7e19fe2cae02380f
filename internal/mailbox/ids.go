package mailbox

import "strconv"

// ID is a mailbox: a small positive number, never reused.
type ID int64

// String returns the decimal form, which is also the key of the feed's topic.
func (id ID) String() string { return strconv.FormatInt(int64(id), 10) }

// OrgKey is the short key of the organisation that owns a mailbox, as directory gives it out. Bodies are never shared
// between organisations.
type OrgKey int64

// FolderID is a folder of one mailbox. It survives renaming and is never reused in its mailbox.
type FolderID int64

// ItemID is an item of one mailbox. It survives Move and is never reused in its mailbox.
type ItemID int64

// EmailID is shared by an item and its copies within one mailbox (RFC 8474 EMAILID). It is the ItemID of the first of them.
type EmailID int64

// ThreadID is shared by the items of a conversation within one mailbox (RFC 8474 THREADID).
type ThreadID int64

// BodyID is the stored bytes of a message. Bodies of one process rise in the order of delivery.
type BodyID int64

// UID is an item's number in its folder (RFC 3501 section 2.3.1.1): from 1, ascending in the order of arrival, never
// reused while the folder's UIDVALIDITY stands.
type UID uint32

// MaxUID is the largest UID.
const MaxUID UID = 1<<32 - 1

// ModSeq is a number of a mailbox's change counter (RFC 7162 mod-sequence): positive, below 2^63, unique for each change
// of an item. Numbers rise with time but not every number is used.
type ModSeq int64
