package policy

import (
	"strings"

	"github.com/pennypost/pennypost/internal/fault"
)

// Rights are what a grantee may do with an owner's mailbox. The bits are stored.
type Rights uint8

// The rights.
const (
	FullAccess   Rights = 1 << iota // read and write everything; not to send as the owner
	SendAs                          // From and Sender are the owner's; the actor does not show
	SendOnBehalf                    // From is the owner's, Sender the actor's

	allRights = FullAccess | SendAs | SendOnBehalf
)

var rightNames = []struct {
	right Rights
	name  string
}{{FullAccess, "FULL_ACCESS"}, {SendAs, "SEND_AS"}, {SendOnBehalf, "SEND_ON_BEHALF"}}

// Has reports whether r holds all of other.
func (r Rights) Has(other Rights) bool { return r&other == other }

// Names returns the rights in the words of the API, always in the same order.
func (r Rights) Names() []string {
	names := []string{}
	for _, n := range rightNames {
		if r.Has(n.right) {
			names = append(names, n.name)
		}
	}
	return names
}

// String returns the names with commas between them.
func (r Rights) String() string { return strings.Join(r.Names(), ", ") }

// ParseRights reads rights in the words of the API. A repetition counts once.
func ParseRights(names []string) (Rights, error) {
	var r Rights
next:
	for _, name := range names {
		for _, n := range rightNames {
			if n.name == name {
				r |= n.right
				continue next
			}
		}
		return 0, fault.New(fault.Invalid, fault.Entity, "permission %q is none of FULL_ACCESS, SEND_AS, SEND_ON_BEHALF", name)
	}
	return r, nil
}
