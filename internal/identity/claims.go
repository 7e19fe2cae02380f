package identity

import (
	"context"
	"crypto/sha1" // RFC 9562 section 5.5 names it; nothing rests on its strength
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/lazyregexp"
)

// Claims are what an OpenID Connect provider says of somebody (OpenID Connect Core 1.0 section 5.1), in a token that was verified.
type Claims struct {
	Issuer            string
	Subject           string
	PreferredUsername string
	Email             string
	EmailVerified     bool
}

var (
	// providerUser is the shape of an IdentityProviderUserId in WorkMail's API.
	providerUser      = lazyregexp.New(`\A(?:[0-9a-f]{10}-|)[A-Fa-f0-9]{8}(?:-[A-Fa-f0-9]{4}){3}-[A-Fa-f0-9]{12}\z`)
	organizationAlias = lazyregexp.New(`\A[0-9A-Za-z-]{1,62}\z`)
	// urlNamespace is the name space of URLs (RFC 9562 section 6.6).
	urlNamespace = [16]byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}
)

// IdentityOf turns what the provider of an instance says of somebody into the identity that is linked to a user. The user name is
// preferred_username, else the local part of an email that the provider has verified. The user's id is the subject where that has the
// shape of one, as with Identity Center; of another provider's subject it is the name-based UUID (version 5) of "<issuer>#<subject>", so that any
// provider's users can be linked and each of them always has the same id. It is Invalid where there is no subject or no name.
func IdentityOf(instance string, c Claims) (Identity, error) {
	name := c.PreferredUsername
	if name == "" && c.EmailVerified {
		name, _, _ = strings.Cut(c.Email, "@")
	}
	if c.Subject == "" || name == "" {
		return Identity{}, fault.New(fault.Invalid, fault.Entity,
			"the identity provider gave no subject, or neither a preferred_username nor a verified email")
	}
	id := c.Subject
	if !providerUser.MatchString(id) {
		id = nameBased(urlNamespace, c.Issuer+"#"+c.Subject)
	}
	return Identity{Instance: instance, Link: directory.Link{UserID: id, StoreID: storeOf(instance), Name: name}}, nil
}

// storeOf is the identity store of an instance: the real one's is not in its ARN, so that ours is made of it.
func storeOf(instance string) string {
	sum := sha256.Sum256([]byte(instance))
	return "d-" + hex.EncodeToString(sum[:5])
}

func nameBased(namespace [16]byte, name string) string {
	sum := sha1.Sum(append(namespace[:], name...))
	sum[6], sum[8] = sum[6]&0x0f|0x50, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// ProviderOf returns the organisation with an alias and how it signs in. NotFound (Resource) is told alike for an alias that nobody has,
// an organisation that is not active and one without a provider: a stranger may ask.
func (c *Center) ProviderOf(ctx context.Context, alias string) (org directory.OrgID, v Provider, err error) {
	unknown := fault.New(fault.NotFound, fault.Resource, "no organization signs in here by the name %.64q", alias)
	if !organizationAlias.MatchString(alias) {
		return "", Provider{}, unknown
	}
	err = c.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := c.directory.OrganizationByAliasTx(ctx, tx, alias)
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return err
		}
		var found *Provider
		if err == nil && o.State == directory.OrgActive {
			if found, err = providerTx(ctx, tx, o.Key); err != nil {
				return err
			}
		}
		if found == nil {
			return unknown
		}
		org, v = o.ID, *found
		return nil
	})
	return org, v, err
}
