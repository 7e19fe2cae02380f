package directory

import (
	"time"

	"github.com/pennypost/pennypost/internal/fault"
)

// OrgID identifies an organisation: "m-" and 32 hexadecimal digits.
type OrgID string

// EntityID identifies a user, group or resource inside its organisation: a UUID for users and groups, "r-" and 32
// hexadecimal digits for resources, whatever an external directory says for its own.
type EntityID string

// Kind is what sort of thing an entity is.
type Kind uint8

// The kinds of entity. The numbers are stored.
const (
	KindUser     Kind = 1
	KindGroup    Kind = 2
	KindResource Kind = 3
)

// String returns the kind in the words of the API.
func (k Kind) String() string {
	switch k {
	case KindUser:
		return "USER"
	case KindGroup:
		return "GROUP"
	case KindResource:
		return "RESOURCE"
	}
	return "UNKNOWN"
}

// State is where an entity is in its life. New entities are disabled.
type State uint8

// The states of an entity. The numbers are stored.
const (
	Enabled  State = 1 // has an address, and a mailbox unless it is a group
	Disabled State = 2 // is in the directory; receives nothing and can't sign in
	Deleted  State = 3 // is gone; kept so that its id still has a meaning until its mailbox is purged
)

// String returns the state in the words of the API.
func (s State) String() string {
	switch s {
	case Enabled:
		return "ENABLED"
	case Disabled:
		return "DISABLED"
	case Deleted:
		return "DELETED"
	}
	return "UNKNOWN"
}

// ParseState reads a state in the words of the API.
func ParseState(s string) (State, error) {
	for _, state := range []State{Enabled, Disabled, Deleted} {
		if s == state.String() {
			return state, nil
		}
	}
	return 0, fault.New(fault.Invalid, fault.Entity, "state %q is none of ENABLED, DISABLED, DELETED", s)
}

// Role says what a user is for.
type Role uint8

// The roles. The numbers are stored; groups and resources have none.
const (
	RoleNone   Role = 0
	RoleUser   Role = 1
	RoleShared Role = 2 // RESOURCE: an Exchange resource seen as a user; never given by us
	RoleSystem Role = 3 // SYSTEM_USER: came with an external directory
	RoleRemote Role = 4 // REMOTE_USER: its mailbox is elsewhere, where its primary address leads
)

// String returns the role in the words of the API.
func (r Role) String() string {
	switch r {
	case RoleUser:
		return "USER"
	case RoleShared:
		return "RESOURCE"
	case RoleSystem:
		return "SYSTEM_USER"
	case RoleRemote:
		return "REMOTE_USER"
	}
	return ""
}

// ParseRole reads a role that a caller may give: USER, REMOTE_USER, or "" for USER.
func ParseRole(s string) (Role, error) {
	switch s {
	case "", "USER":
		return RoleUser, nil
	case "REMOTE_USER":
		return RoleRemote, nil
	case "SYSTEM_USER", "RESOURCE":
		return RoleNone, fault.New(fault.Invalid, fault.Entity, "role %s can't be given to a user; give USER or REMOTE_USER", s)
	}
	return RoleNone, fault.New(fault.Invalid, fault.Entity, "role %q is none of USER, REMOTE_USER", s)
}

// Entity is what users, groups and resources have in common. Times are zero for what never happened.
type Entity struct {
	// Key is the server's own number of the entity, unique on the server; it never leaves it.
	Key int64
	// OrgKey is the server's own number of the organisation.
	OrgKey int64
	ID     EntityID
	Kind   Kind
	State  State
	// Name is as given at creation; names compare without case.
	Name string
	// Email is the primary address, empty unless Enabled.
	Email string
	// Hidden keeps the entity out of the address book. Mail still arrives.
	Hidden bool
	// Mailbox is the mailbox package's number of the mailbox, 0 before the first registration and for groups.
	Mailbox int64
	// DisplayName and Role are a user's; Role is RoleNone for others.
	DisplayName string
	Role        Role
	// IdentityProviderUserID and IdentityProviderStoreID link a user to an identity provider.
	IdentityProviderUserID  string
	IdentityProviderStoreID string

	Created              time.Time
	Enabled              time.Time // last became enabled
	Disabled             time.Time // last became disabled
	Deleted              time.Time
	MailboxProvisioned   time.Time
	MailboxDeprovisioned time.Time

	change int64 // rises with every write to the row
}

// User is a user with the attributes that only Describe shows.
type User struct {
	Entity
	Profile
}

// Profile is what the address book says of a person beside the display name.
type Profile struct {
	FirstName, LastName, Initials, Telephone, Street, JobTitle, City, Company, ZipCode, Department, Country, Office string
}

// Group is a distribution list and a security group in one.
type Group struct{ Entity }

// ResourceType says what can be booked.
type ResourceType uint8

// The types of resource. The numbers are stored.
const (
	Room      ResourceType = 1
	Equipment ResourceType = 2
)

// String returns the type in the words of the API.
func (t ResourceType) String() string {
	switch t {
	case Room:
		return "ROOM"
	case Equipment:
		return "EQUIPMENT"
	}
	return "UNKNOWN"
}

// ParseResourceType reads a type in the words of the API.
func ParseResourceType(s string) (ResourceType, error) {
	switch s {
	case "ROOM":
		return Room, nil
	case "EQUIPMENT":
		return Equipment, nil
	}
	return 0, fault.New(fault.Invalid, fault.Entity, "resource type %q is none of ROOM, EQUIPMENT", s)
}

// BookingOptions say how a resource answers meeting requests.
type BookingOptions struct {
	AutoAccept             bool // answers by itself; without it a delegate must
	AutoDeclineRecurring   bool
	AutoDeclineConflicting bool
}

// DefaultBooking is what a new resource does.
var DefaultBooking = BookingOptions{AutoAccept: true, AutoDeclineConflicting: true}

// Resource is a room or a piece of equipment.
type Resource struct {
	Entity
	Type        ResourceType
	Description string
	Booking     BookingOptions
}

// Page says which part of a list to read. Lists return the cursor of the next page, empty on the last one. A cursor is
// plain text with a position in it: the face that hands it out seals it and ties it to the organisation.
type Page struct {
	// After is the cursor that the page before returned.
	After string
	// Limit is how many items at most; 0 and anything above 100 mean 100.
	Limit int
}

const pageLimit = 100

func (p Page) limit() int {
	if p.Limit <= 0 || p.Limit > pageLimit {
		return pageLimit
	}
	return p.Limit
}
