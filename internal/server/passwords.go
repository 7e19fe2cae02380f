package server

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/migration"
)

// PasswordUsers asks for the users of an organisation that texts name, each an id, a name or an address.
type PasswordUsers struct {
	Organization string   `json:"organization"` // "m-…"
	Users        []string `json:"users"`
}

// NewPasswords asks to set passwords of users of an organisation: few at a time, as each costs a hash.
type NewPasswords struct {
	Organization string                  `json:"organization"`
	Passwords    []migration.NewPassword `json:"passwords"`
}

// LinkRequest asks for set-password links: for the users that texts name, or for a page of the enabled ones without a password.
type LinkRequest struct {
	Organization string        `json:"organization"`
	Users        []string      `json:"users,omitempty"`
	After        string        `json:"after,omitempty"` // the Next of the page before
	Life         time.Duration `json:"life"`
}

// PasswordLinks are the links that were asked for.
type PasswordLinks struct {
	Links []PasswordLink `json:"links"` // of named users, in their order
	Next  string         `json:"next,omitempty"`
}

// PasswordLink is a link for a user, or why there is none.
type PasswordLink struct {
	User    string    `json:"user"`
	Name    string    `json:"name"`
	Address string    `json:"address"`
	Secret  string    `json:"secret"`
	Expires time.Time `json:"expires"`
	Problem string    `json:"problem,omitempty"`
}

func passwordLinks(ctx context.Context, passwords *migration.Passwords, r LinkRequest) (answer PasswordLinks, err error) {
	var links []migration.Link
	if org := directory.OrgID(r.Organization); len(r.Users) > 0 {
		links, err = passwords.LinksFor(ctx, operator, org, r.Users, r.Life)
	} else {
		links, answer.Next, err = passwords.Links(ctx, operator, org, directory.Page{After: r.After}, r.Life)
	}
	if err != nil {
		return PasswordLinks{}, err
	}
	for i := range links {
		l := &links[i]
		answer.Links = append(answer.Links, PasswordLink{
			User: string(l.User.ID), Name: l.User.Name, Address: l.User.Email, Secret: l.Secret, Expires: l.Expires, Problem: l.Problem,
		})
	}
	return answer, nil
}

// FindUsers finds the users that texts name, in their order.
func (o *Operator) FindUsers(ctx context.Context, r PasswordUsers) (found []migration.Found, err error) {
	return found, o.do(ctx, "password-users", r, &found)
}

// SetPasswords sets passwords, and says of each what came of it, in their order.
func (o *Operator) SetPasswords(ctx context.Context, r NewPasswords) (outcomes []migration.Outcome, err error) {
	return outcomes, o.do(ctx, "password-set", r, &outcomes)
}

// PasswordLinks makes set-password links.
func (o *Operator) PasswordLinks(ctx context.Context, r LinkRequest) (links PasswordLinks, err error) {
	return links, o.do(ctx, "password-links", r, &links)
}

// BaseURL is where people reach the pages of the server, as far as its settings say: the host name, and the port of https. It fails
// where that listener is off.
func (o *Operator) BaseURL(ctx context.Context, c *config.Config) (string, error) {
	address, host := c.HTTPS, c.Hostname
	if o.core == nil { // the running server's settings are the ones that count
		var s state
		if err := o.do(ctx, "state", nothing{}, &s); err != nil {
			return "", err
		}
		address, host = s.Addresses["https"], s.Hostname
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return "", fmt.Errorf("the setting https names no port that people could open the pages by")
	}
	if port == "443" {
		return "https://" + host, nil
	}
	return "https://" + net.JoinHostPort(host, port), nil
}
