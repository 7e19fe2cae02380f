package identity

import (
	"context"
	"crypto/hmac"
	"slices"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// proof is what the door knows of a secret before it hashes anything: the finds of two indexed look-ups.
type proof struct {
	// passwordsOff says that the organisation takes no passwords of the directory.
	passwordsOff bool
	// token is the personal access token that the secret is, nil where it is none of this user's.
	token *tokenRow
	// useless says why the token opens nothing, empty where it does.
	useless string
}

// admits reports whether the secret is a token that lets its user in.
func (p proof) admits() bool { return p.token != nil && p.useless == "" }

// noPasswords is the reason of a refusal, and of a session's end.
const noPasswords = "the organization takes no directory passwords"

// prove looks at a secret that somebody presents as who. For the zero SignIn it does the same work and finds nothing.
func (c *Center) prove(ctx context.Context, who directory.SignIn, secret, protocol string) (p proof, err error) {
	if c == nil {
		return proof{}, nil
	}
	m := tokenText.FindStringSubmatch(secret)
	err = c.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		provider, err := providerTx(ctx, tx, who.OrgKey)
		if err != nil {
			return err
		}
		p = proof{passwordsOff: provider != nil && provider.Only}
		if m == nil {
			return nil
		}
		t, err := scanToken(tx.QueryRow(ctx, tokenByID, m[1]))
		if fault.Is(err, fault.NotFound, fault.Resource) {
			return nil
		}
		if err != nil {
			return err
		}
		if hmac.Equal(t.mac, c.sum(secret)) && t.organization == who.OrgKey && t.entity == who.Key {
			p.token, p.useless = t, c.useless(provider, t, who, protocol)
		}
		return nil
	})
	return p, err
}

// useless says why a token opens nothing, empty where it does.
func (c *Center) useless(provider *Provider, t *tokenRow, who directory.SignIn, protocol string) string {
	switch {
	case provider == nil || !provider.TokensActive:
		return "personal access tokens are not active"
	case !t.Expires.IsZero() && !c.clock.Now().Before(t.Expires):
		return "the personal access token has expired"
	case who.ProviderUser == "":
		return "the user is not linked to an identity"
	case !slices.Contains(t.Scopes, protocol):
		return "the personal access token is not for " + protocol
	}
	return ""
}

// used writes down that a token was used, once an hour at most.
func (c *Center) used(ctx context.Context, t *tokenRow) error {
	now := c.clock.Now()
	if now.Sub(t.Used) < usedEvery {
		return nil
	}
	return c.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, useToken, t.ID, now.UnixMicro())
		return err
	})
}

// stale returns why a session of the user who now is as who says may not go on, empty while it may.
func (c *Center) stale(ctx context.Context, s *Session, who directory.SignIn) (reason string, err error) {
	if c == nil {
		return "", nil
	}
	err = c.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		provider, err := providerTx(ctx, tx, who.OrgKey)
		if err != nil {
			return err
		}
		switch {
		case s.identity != nil:
			if provider == nil || provider.Instance != s.identity.Instance || who.ProviderUser != s.SignIn.ProviderUser {
				reason = "the user does not sign in by this identity any more"
			}
		case s.Token != "":
			t, err := scanToken(tx.QueryRow(ctx, tokenByID, s.Token))
			if fault.Is(err, fault.NotFound, fault.Resource) {
				reason = "the personal access token was deleted"
				return nil
			}
			if err != nil {
				return err
			}
			reason = c.useless(provider, t, who, Circumstances{Protocol: s.Principal.Protocol}.wayIn())
		case provider != nil && provider.Only:
			reason = noPasswords
		}
		return nil
	})
	return reason, err
}

// Identity is somebody whom an identity provider vouches for.
type Identity struct {
	Instance string // the ARN that the operator mapped to the provider
	directory.Link
}

// AdmitIdentity lets in whoever an identity provider vouches for, and links the user at the first sign-in
// (directory.Service.LinkIdentity). Whoever comes here has shown who he is, so that a refusal says why: the faults of
// LinkIdentity; NotFound (Resource) and Invalid where the organisation does not sign in by this instance. The caller must Close the
// session.
func (d *Door) AdmitIdentity(ctx context.Context, org directory.OrgID, i Identity, how Circumstances) (*Session, error) {
	c := Credentials{Username: i.Name}
	provider, err := d.center.Provider(ctx, principal.TheSystem(how.Protocol), org)
	if err == nil && provider.Instance != i.Instance {
		err = fault.New(fault.Invalid, fault.Resource, "organization %s signs in by another identity provider", org)
	}
	var who directory.SignIn
	if err == nil {
		who, err = d.directory.LinkIdentity(ctx, org, i.Link)
	}
	if f := fault.As(err); f != nil {
		_ = d.refuse(ctx, directory.SignIn{Organization: org}, c, how, proof{}, f.Message, nil) // the fault says more than it
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	return d.enter(ctx, who, c, how, proof{}, &i)
}

// tokenIs is how an audit record names the token that was presented.
func tokenIs(id string) string { return "personal access token " + id }
