package imap

import (
	"context"

	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// Through returns a Config.SignIn that lets users in through the door, each to the mailbox of their own.
func Through(d *identity.Door) func(context.Context, Credentials) (*SignedIn, error) {
	return func(ctx context.Context, c Credentials) (*SignedIn, error) {
		s, err := d.Authenticate(ctx,
			identity.Credentials{Username: c.Username, Password: c.Password},
			identity.Circumstances{Protocol: "IMAP", Address: c.Address, UserAgent: c.UserAgent, RequestID: c.ConnectionID})
		if err != nil {
			return nil, err
		}
		return &SignedIn{
			User: s.Principal.ID, Organization: s.Principal.Organization,
			Mailbox: mailbox.ID(s.SignIn.Mailbox), Done: s.Done(), Close: s.Close,
		}, nil
	}
}
