// Package principal says who acts, and on whose behalf. A principal is always a parameter of a core verb: it can't be
// forgotten, as a context value could.
package principal

import "net/netip"

// Kind is what sort of actor a principal is.
type Kind uint8

// The kinds of principal.
const (
	System        Kind = iota // the server itself: a job, a delivery
	Administrator             // the holder of an access key; its policy was checked by the face's authoriser
	User                      // an enabled user who signed in
	Operator                  // whoever may open the control socket or the data directory
	Role                      // the holder of an impersonation role's token
)

// Principal is who acts. The zero value is the system itself.
type Principal struct {
	Kind Kind
	// ID is the access key id of an administrator, the entity id of a user or the id of a role.
	ID string
	// Organization is the organisation of a user or a role ("m-…"); empty for the others.
	Organization string
	// Name is what logs and the audit trail show: the user's or the role's name, or the key's label.
	Name string
	// Protocol and Address are the circumstances of the access: "IMAP", "SMTP", "API", and the client's address.
	Protocol string
	Address  netip.Addr
	// UserAgent is what the client calls itself, empty where the protocol has no such word.
	UserAgent string
	// RequestID ties the audit record to the request's log line.
	RequestID string
}

// TheSystem is the principal of the server's own work.
func TheSystem(protocol string) Principal { return Principal{Kind: System, Protocol: protocol} }
