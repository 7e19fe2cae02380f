package imap

import (
	"sync"

	"github.com/pennypost/pennypost/internal/mailbox"
)

// recents is the server's memory of \Recent (RFC 3501 section 2.3.2): the highest UID of each folder that some session was
// told of as recent. It is kept in memory alone: RFC 9051 dropped the flag, and a durable write at each SELECT is too high
// a price for it. After a restart, or for a folder that was forgotten, every message is recent once more, which is what
// RFC 3501 asks for where a server can't tell.
type recents struct {
	mu   sync.Mutex
	told map[folderKey]recentMark
}

type folderKey struct {
	box    mailbox.ID
	folder mailbox.FolderID
}

type recentMark struct {
	validity uint32
	upTo     mailbox.UID
}

// maxRecents is how many folders are remembered.
const maxRecents = 100_000

// upTo returns the highest UID that is no longer recent.
func (r *recents) upTo(k folderKey, validity uint32) mailbox.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.get(k, validity)
}

func (r *recents) get(k folderKey, validity uint32) mailbox.UID {
	if m := r.told[k]; m.validity == validity {
		return m.upTo
	}
	return 0
}

// claim makes the messages up to upTo recent for the caller alone, and returns the highest UID that belonged to others
// before: those above it are the caller's.
func (r *recents) claim(k folderKey, validity uint32, upTo mailbox.UID) mailbox.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.get(k, validity)
	if upTo > before {
		if _, ok := r.told[k]; !ok && len(r.told) >= maxRecents {
			for forget := range r.told {
				delete(r.told, forget)
				break
			}
		}
		r.told[k] = recentMark{validity, upTo}
	}
	return before
}
