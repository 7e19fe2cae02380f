package directory

// NewUser asks for a user.
type NewUser struct {
	Name        string // at most 64 characters in our own directory, 20 in an external one; never changes
	DisplayName string
	// Password may be nil: the user can't sign in with one until it is set.
	Password               *string
	Role                   Role // RoleNone means RoleUser
	FirstName, LastName    string
	Hidden                 bool
	IdentityProviderUserID string
}

// UserChange asks for changes of a user: nil leaves a value as it is, "" clears it.
type UserChange struct {
	Role                   *Role
	DisplayName            *string
	FirstName, LastName    *string
	Hidden                 *bool
	Initials, Telephone    *string
	Street, JobTitle, City *string
	Company, ZipCode       *string
	Department, Country    *string
	Office                 *string
	IdentityProviderUserID *string
}

// UserFilter narrows a list of users. One member at most may be set; texts are prefixes and compare without case.
type UserFilter struct {
	NamePrefix                   string
	DisplayNamePrefix            string
	EmailPrefix                  string // of the primary address
	State                        *State
	IdentityProviderUserIDPrefix string
}

// Filter narrows a list of groups or resources. One member at most may be set.
type Filter struct {
	NamePrefix  string
	EmailPrefix string // of the primary address
	State       *State
}

// NewGroup asks for a group.
type NewGroup struct {
	Name   string // 1 to 256 characters of printable Latin-1
	Hidden bool
}

// NewResource asks for a resource.
type NewResource struct {
	Name        string // 1 to 20 characters
	Type        ResourceType
	Description string
	Hidden      bool
}

// ResourceChange asks for changes of a resource: nil leaves a value as it is, an empty Description clears it. Booking
// options are given as a whole.
type ResourceChange struct {
	Name        *string
	Type        *ResourceType
	Description *string
	Booking     *BookingOptions
	Hidden      *bool
}

// GroupRef is a group as ListGroupsForEntity shows it.
type GroupRef struct {
	ID   EntityID
	Name string
}

// Delegate answers booking requests of a resource.
type Delegate struct {
	ID   EntityID
	Kind Kind
}

// Tag is a key and a value on an organisation.
type Tag struct{ Key, Value string }

// Domain is a mail domain of one organisation.
type Domain struct {
	Name    string
	Status  DomainStatus
	Test    bool // the organisation's domain under the server's own suffix
	Default bool
	Vouched bool // verified by an operator's word, whatever DNS says
	// Proof is what its owner publishes to prove it; zero for a test domain, which is the server's own.
	Proof DNSRecord
}

// DNSRecord is one record to publish.
type DNSRecord struct{ Type, Hostname, Value string }

// DomainStatus says whether the organisation has proven that a domain is its own. Only a verified domain sends,
// receives, and keeps others out.
type DomainStatus uint8

// The statuses of a domain. The numbers are stored.
const (
	DomainPending  DomainStatus = 0
	DomainVerified DomainStatus = 1
	DomainFailed   DomainStatus = 2 // not proven in time, or the proof went away; checks go on
)

// String returns the status in the words of the API.
func (s DomainStatus) String() string {
	switch s {
	case DomainPending:
		return "PENDING"
	case DomainVerified:
		return "VERIFIED"
	case DomainFailed:
		return "FAILED"
	}
	return "UNKNOWN"
}
