package migration

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/principal"
)

// Passwords gives users passwords whose own could not be brought along.
type Passwords struct {
	Directory *directory.Service
	Center    *identity.Center
}

// Found is the user that a text names, or why there is none to give a password.
type Found struct {
	ID      directory.EntityID
	Problem string // does not repeat the text
}

// Find looks for the users that texts name, each an id, a name or an address: those who may be given a password. Faults:
// Unsupported (Directory) where an external directory keeps the passwords; NotFound and State of the organisation.
func (s *Passwords) Find(ctx context.Context, p principal.Principal, org directory.OrgID, users []string) (found []Found, err error) {
	err = s.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		if err := directory.KeepsPasswords(o); err != nil {
			return err
		}
		found = make([]Found, len(users))
		for i, user := range users {
			e, err := s.Directory.ResolveTx(ctx, tx, o, user, directory.Narrow{Kind: directory.KindUser})
			switch {
			case fault.Is(err, fault.NotFound, fault.Entity):
				found[i].Problem = noSuchUser
			case err != nil:
				return err
			case e.State != directory.Enabled:
				found[i].Problem = "user " + string(e.ID) + " is in state " + e.State.String() + "; register it to WorkMail first"
			case e.Role != directory.RoleUser:
				found[i].Problem = "user " + string(e.ID) + " has the role " + e.Role.String() + " and so no password here"
			default:
				found[i].ID = e.ID
			}
		}
		return nil
	})
	return found, err
}

const noSuchUser = "no user of the organization has this id, name or address"

// NewPassword is a password for the user with the id.
type NewPassword struct {
	User     directory.EntityID
	Password string
}

// Outcome is what became of a new password: it was set, it was the user's already, or there was a problem.
type Outcome struct {
	Set     bool
	Problem string // does not repeat the password
}

// atOnce is how many passwords are hashed at once: as many as the directory does.
const atOnce = 2

// Set sets passwords, each for another user. One that a user has already stays, and so do the sessions. While as many sign-ins wait
// for their hash as may, that is a password's problem, which passes. Faults as Find's.
func (s *Passwords) Set(ctx context.Context, p principal.Principal, org directory.OrgID, passwords []NewPassword) ([]Outcome, error) {
	err := s.Directory.View(ctx, p, org, func(_ context.Context, _ *db.Tx, o *directory.Organization) error {
		return directory.KeepsPasswords(o)
	})
	if err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(passwords))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, n := range passwords {
		g.Go(func() error {
			set, err := s.set(ctx, p, org, n)
			outcomes[i].Set = set
			if f := fault.As(err); f != nil {
				outcomes[i].Problem = f.Message
				return nil
			}
			return err
		})
	}
	return outcomes, g.Wait()
}

func (s *Passwords) set(ctx context.Context, p principal.Principal, org directory.OrgID, n NewPassword) (bool, error) {
	if err := directory.CheckPassword(n.Password); err != nil {
		return false, err
	}
	who, err := s.Directory.SignInByID(ctx, org, n.User)
	if err != nil {
		return false, err
	}
	if !who.MaySignIn() {
		return false, fault.New(fault.State, fault.Entity, "user %s is not enabled, or has no mailbox to sign in to", n.User)
	}
	if who.PasswordVersion != 0 {
		if same, err := s.Directory.VerifySignIn(ctx, who, n.Password); err != nil || same {
			return false, err
		}
	}
	err = s.Directory.SetPassword(ctx, p, org, string(n.User), n.Password, directory.Narrow{IDOnly: true})
	return err == nil, err
}

// Link is a set-password link, or why there is none for a user.
type Link struct {
	identity.PasswordLink
	Problem string
}

// LinksFor makes a link for each of the users that texts name. Faults as Find's, and Invalid for a life out of bounds.
func (s *Passwords) LinksFor(ctx context.Context, p principal.Principal, org directory.OrgID, users []string, life time.Duration) ([]Link, error) {
	found, err := s.Find(ctx, p, org, users)
	if err != nil {
		return nil, err
	}
	links := make([]Link, len(users))
	for i, f := range found {
		if links[i].Problem = f.Problem; f.Problem != "" {
			continue
		}
		if links[i], err = s.link(ctx, p, org, f.ID, life); err != nil {
			return nil, err
		}
	}
	return links, nil
}

// Links makes a link for each of the enabled users without a password, a page of them at a time. Faults as LinksFor's.
func (s *Passwords) Links(ctx context.Context, p principal.Principal, org directory.OrgID, page directory.Page, life time.Duration) (links []Link, next string, err error) {
	users, next, err := s.Directory.UsersWithoutPassword(ctx, p, org, page)
	if err != nil {
		return nil, "", err
	}
	for i := range users {
		l, err := s.link(ctx, p, org, users[i].ID, life)
		if err != nil {
			return nil, "", err
		}
		links = append(links, l)
	}
	return links, next, nil
}

func (s *Passwords) link(ctx context.Context, p principal.Principal, org directory.OrgID, user directory.EntityID, life time.Duration) (Link, error) {
	l, err := s.Center.CreatePasswordLink(ctx, p, org, string(user), life)
	if f := fault.As(err); f != nil && f.Subject == fault.Entity { // changed meanwhile
		return Link{PasswordLink: identity.PasswordLink{User: directory.Entity{ID: user}}, Problem: f.Message}, nil
	}
	return Link{PasswordLink: l}, err
}
