package directory

import "context"

// Directory is where an organisation's entities and passwords are mastered: our own, which keeps everything in this
// package's tables, or an external one (LDAP, Active Directory), of which the tables hold a mirror.
//
// Every method is called outside any transaction and may wait for a network. It returns a fault of kind DirectoryDown
// when the directory does not answer, DirectoryRefusedUs when it refuses the server's own account, and Unsupported
// (subject Directory) when it can't be written. What a change needs to be remembered by us is returned, and stored in the
// transaction that follows; where that transaction fails after Create, the service calls Delete to undo it.
type Directory interface {
	// Type is what DescribeOrganization calls the directory.
	Type() string
	// NameLimit is how many characters a user's name may have.
	NameLimit() int
	// Create makes the entry and returns the id it is known by. The secret is what VerifyPassword will be given again,
	// empty where the directory keeps passwords itself or none was given. It returns an Exists fault for a taken name.
	Create(ctx context.Context, e NewEntry) (id EntityID, secret string, err error)
	// Delete removes the entry. An entry that is gone already is no error.
	Delete(ctx context.Context, e Entry) error
	// UpdateUser changes a user's attributes.
	UpdateUser(ctx context.Context, e Entry, c UserChange) error
	// UpdateResource changes a resource's name or description.
	UpdateResource(ctx context.Context, e Entry, c ResourceChange) error
	// SetAddress makes address the entry's mail address; an empty one takes it away.
	SetAddress(ctx context.Context, e Entry, address string) error
	// SetMember makes member a member of group, or no longer one.
	SetMember(ctx context.Context, group, member Entry, isMember bool) error
	// SetPassword sets a password that satisfies the policy of CheckPassword and returns what to keep of it.
	SetPassword(ctx context.Context, e Entry, password string) (secret string, err error)
	// VerifyPassword reports whether password is the entry's. secret is what Create or SetPassword returned. renewed is
	// not empty when what is kept should be replaced, because its cost is no longer the configured one.
	VerifyPassword(ctx context.Context, e Entry, secret, password string) (ok bool, renewed string, err error)
	// Waste costs what VerifyPassword costs, for a user who does not exist.
	Waste(ctx context.Context, password string) error
}

// Entry names an entry of a directory.
type Entry struct {
	Organization OrgID
	ID           EntityID
	Kind         Kind
	Name         string
}

// NewEntry is an entry to be made. User, Group and Resource: the one that Kind says is set.
type NewEntry struct {
	Organization OrgID
	Kind         Kind
	User         NewUser
	Group        NewGroup
	Resource     NewResource
}
