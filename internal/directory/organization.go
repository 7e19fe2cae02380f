package directory

import "time"

// OrgState is where an organisation is in its life, in the API's words.
type OrgState string

// The states of an organisation. Nearly every verb refuses all but Active.
const (
	OrgRequested OrgState = "Requested"
	OrgCreating  OrgState = "Creating"
	OrgActive    OrgState = "Active"
	OrgDeleting  OrgState = "Deleting"
	OrgDeleted   OrgState = "Deleted"
	OrgFailed    OrgState = "Failed"
)

// OwnDirectoryType is what DescribeOrganization calls the server's own directory.
const OwnDirectoryType = "VpcDirectory"

// What DescribeOrganization calls external directories, after the types of the Directory Service.
const (
	WritableDirectoryType = "MicrosoftAD"
	ReadOnlyDirectoryType = "ADConnector"
)

// Organization is a tenant of the server. Rows are never removed: a deleted one goes on being described.
type Organization struct {
	Key   int64
	ID    OrgID
	Alias string
	State OrgState
	// Error says why the state is Failed.
	Error string
	// Account and Region are those of the server when the organisation was made; its ARN keeps them.
	Account, Region string
	DirectoryID     string
	DirectoryType   string
	// DefaultDomain is the domain new addresses are proposed in.
	DefaultDomain string
	// KeyARN is the KMS key the caller named, kept for the record.
	KeyARN string
	// MigrationAdmin is the id of the user who may open all mailboxes during a migration; usually empty.
	MigrationAdmin   string
	Interoperability bool
	Created          time.Time
	Completed        time.Time // became Active
	Deleted          time.Time
}

// ARN returns the organisation's resource name.
func (o *Organization) ARN() string {
	return "arn:aws:workmail:" + o.Region + ":" + o.Account + ":organization/" + string(o.ID)
}
