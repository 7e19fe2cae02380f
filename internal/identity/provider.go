package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/lazyregexp"
	"github.com/pennypost/pennypost/internal/principal"
)

// Provider is how an organisation's users sign in beside, or instead of, by the passwords of its directory.
type Provider struct {
	Instance    string // the ARN of the Identity Center instance
	Application string // the ARN of an application in it
	// Only refuses the passwords of the directory.
	Only bool
	// TokensActive lets personal access tokens be made, listed, deleted and used.
	TokensActive bool
	// LifetimeDays is how long a new token is good, 1 to 3653 days; 0 is for ever.
	LifetimeDays int
}

// maxLifetimeDays is the API's bound.
const maxLifetimeDays = 3653

const (
	putProvider = `INSERT INTO identity_provider (organization, application, instance, provider_only, tokens_active, lifetime_days)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (organization) DO UPDATE SET application = excluded.application,
		instance = excluded.instance, provider_only = excluded.provider_only, tokens_active = excluded.tokens_active,
		lifetime_days = excluded.lifetime_days`
	getProvider    = `SELECT application, instance, provider_only, tokens_active, lifetime_days FROM identity_provider WHERE organization = $1`
	deleteProvider = `DELETE FROM identity_provider WHERE organization = $1`
)

// PutProvider sets how an organisation's users sign in. It acts on new sign-ins at once and ends, within a second, the sessions
// that it no longer allows. Faults: Invalid for an instance that is not mapped, an application of another instance, a lifetime
// out of bounds; NotFound (Resource) for an application that does not exist.
func (c *Center) PutProvider(ctx context.Context, p principal.Principal, org directory.OrgID, v Provider) error {
	return c.directory.Change(ctx, p, org, "PutIdentityProviderConfiguration", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return v.Application, c.putProviderTx(ctx, tx, o, v)
	})
}

func (c *Center) putProviderTx(ctx context.Context, tx *db.Tx, o *directory.Organization, v Provider) error {
	if v.LifetimeDays < 0 || v.LifetimeDays > maxLifetimeDays {
		return fault.New(fault.Invalid, fault.Resource, "a lifetime of %d days is not between 1 and %d", v.LifetimeDays, maxLifetimeDays)
	}
	if err := c.checkInstance(v.Instance); err != nil {
		return err
	}
	instance, err := lockApplicationTx(ctx, tx, v.Application)
	if err != nil {
		return err
	}
	if instance != v.Instance {
		return fault.New(fault.Invalid, fault.Resource, "application %s is not one of instance %s", v.Application, v.Instance)
	}
	if _, err := tx.Exec(ctx, putProvider, o.Key, v.Application, v.Instance, v.Only, v.TokensActive, v.LifetimeDays); err != nil {
		return fmt.Errorf("put an identity provider configuration: %w", err)
	}
	c.publishOrganization(tx, o.ID)
	return nil
}

// BringProviderTx is PutProvider in a transaction, for an organisation that is brought here from elsewhere with its application: one
// that does not exist here is made, under the name of the organisation's alias, since its own is told by nobody.
func (c *Center) BringProviderTx(ctx context.Context, tx *db.Tx, o *directory.Organization, v Provider) error {
	if err := c.checkInstance(v.Instance); err != nil {
		return err
	}
	parts := instanceARN.FindStringSubmatch(v.Instance)
	if !applicationARN.MatchString(v.Application) || !strings.Contains(v.Application, ":application/"+parts[2]+"/") {
		return fault.New(fault.Invalid, fault.Resource, "%.200q is not the ARN of an application of instance %s", v.Application, v.Instance)
	}
	_, err := tx.Exec(ctx, insertApplication+` ON CONFLICT DO NOTHING`, v.Application, v.Instance, o.Alias, c.clock.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("bring an application: %w", err)
	}
	return c.putProviderTx(ctx, tx, o, v)
}

var applicationARN = lazyregexp.New(`\Aarn:aws[a-z-]*:sso::[0-9]{12}:application/(sso)?ins-[a-zA-Z0-9.-]{16}/apl-[a-zA-Z0-9]{16}\z`)

// ProviderTx returns an organisation's configuration, nil where it has none.
func (c *Center) ProviderTx(ctx context.Context, tx *db.Tx, o *directory.Organization) (*Provider, error) {
	return providerTx(ctx, tx, o.Key)
}

// Provider returns how an organisation's users sign in, or a NotFound (Resource) fault where nothing but passwords is set.
func (c *Center) Provider(ctx context.Context, p principal.Principal, org directory.OrgID) (v Provider, err error) {
	err = c.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		found, err := providerTx(ctx, tx, o.Key)
		if err == nil && found == nil {
			err = fault.New(fault.NotFound, fault.Resource, "organization %s has no identity provider configuration", o.ID)
		}
		if err == nil {
			v = *found
		}
		return err
	})
	return v, err
}

// DeleteProvider returns an organisation to the passwords of its directory. Its tokens stay, and are of no use until there is a
// configuration again. Where there is none nothing happens.
func (c *Center) DeleteProvider(ctx context.Context, p principal.Principal, org directory.OrgID) error {
	return c.directory.Change(ctx, p, org, "DeleteIdentityProviderConfiguration", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return "", c.DeleteProviderTx(ctx, tx, o)
	})
}

// DeleteProviderTx is DeleteProvider in a transaction.
func (c *Center) DeleteProviderTx(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
	if _, err := tx.Exec(ctx, deleteProvider, o.Key); err != nil {
		return fmt.Errorf("delete an identity provider configuration: %w", err)
	}
	c.publishOrganization(tx, o.ID)
	return nil
}

// publishOrganization makes the door look again at every session of an organisation, after the commit.
func (c *Center) publishOrganization(tx *db.Tx, org directory.OrgID) {
	tx.OnCommit(func() { c.feed.Publish(feed.Topic{Kind: "organization", Key: string(org)}) })
}

// providerTx returns an organisation's configuration, nil where it has none.
func providerTx(ctx context.Context, tx *db.Tx, org int64) (*Provider, error) {
	var v Provider
	err := tx.QueryRow(ctx, getProvider, org).Scan(&v.Application, &v.Instance, &v.Only, &v.TokensActive, &v.LifetimeDays)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read an identity provider configuration: %w", err)
	}
	return &v, nil
}
