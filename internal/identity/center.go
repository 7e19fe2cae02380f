package identity

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/lazyregexp"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
)

// CenterConfig is what a Center is made of. All but Account are required.
type CenterConfig struct {
	DB        *db.DB
	Directory *directory.Service
	Audit     *audit.Log
	Feed      *feed.Feed
	Clock     clock.Clock
	Root      *secret.Key
	// Mapped says whether the operator has mapped an Identity Center instance to an OpenID Connect provider.
	Mapped func(instance string) bool
	// Account goes into the ARNs of new applications.
	Account string
}

// Center is what stands beside passwords: the Identity Center's applications, which provider each organisation's users sign in
// with, their personal access tokens, and the links by which they set a password. It is safe for concurrent use.
type Center struct {
	db        *db.DB
	directory *directory.Service
	audit     *audit.Log
	feed      *feed.Feed
	clock     clock.Clock
	tokenKey  []byte // of the tokens' sums
	linkKey   []byte // of the set-password links'
	mapped    func(string) bool
	account   string
}

// NewCenter returns the Center kept in c.DB.
func NewCenter(c CenterConfig) *Center {
	return &Center{
		db: c.DB, directory: c.Directory, audit: c.Audit, feed: c.Feed, clock: c.Clock, mapped: c.Mapped, account: c.Account,
		tokenKey: c.Root.Derive("personal access tokens"), linkKey: c.Root.Derive("set-password links"),
	}
}

// instanceARN has the partition and the instance's id as its groups.
var instanceARN = lazyregexp.New(`\Aarn:(aws[a-z-]*):sso:::instance/((?:sso)?ins-[a-zA-Z0-9.-]{16})\z`)

const (
	insertApplication = `INSERT INTO identity_application (arn, instance, name, created) VALUES ($1, $2, $3, $4)`
	// lockApplication lets nobody delete the application, or begin to use it, until the commit.
	lockApplication   = `UPDATE identity_application SET name = name WHERE arn = $1 RETURNING instance`
	applicationUsed   = `SELECT 1 FROM identity_provider WHERE application = $1 LIMIT 1`
	deleteApplication = `DELETE FROM identity_application WHERE arn = $1`
)

// CreateApplication makes an application in an Identity Center instance and returns its ARN. It changes no sign-in. Faults:
// Invalid, also for an instance that the operator has not mapped to a provider and for a client token used otherwise before.
func (c *Center) CreateApplication(ctx context.Context, p principal.Principal, name, instance, clientToken string) (arn string, err error) {
	if err := mayAdminister(p); err != nil {
		return "", err
	}
	if err := c.checkInstance(instance); err != nil {
		return "", err
	}
	parts := instanceARN.FindStringSubmatch(instance)
	made := fmt.Sprintf("arn:%s:sso::%s:application/%s/apl-%s", parts[1], c.account, parts[2], hex.EncodeToString(random(8)))
	once := directory.Once{Scope: "CreateIdentityCenterApplication", Token: clientToken, Input: []byte(instance + "\x00" + name)}
	err = c.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		arn, err = c.directory.OnceTx(ctx, tx, once, func() (string, error) {
			if _, err := tx.Exec(ctx, insertApplication, made, instance, name, c.clock.Now().UnixMicro()); err != nil {
				return "", fmt.Errorf("store an application: %w", err)
			}
			return made, c.audit.AppendTx(ctx, tx, audit.Of(p, "", "CreateIdentityCenterApplication", made))
		})
		return err
	})
	return arn, err
}

func (c *Center) checkInstance(instance string) error {
	if !instanceARN.MatchString(instance) {
		return fault.New(fault.Invalid, fault.Resource, "%.200q is not the ARN of an Identity Center instance", instance)
	}
	if !c.mapped(instance) {
		return fault.New(fault.Invalid, fault.Resource, "instance %s is not mapped to an identity provider on this server; "+
			"its operator does that in the configuration file, in the table identity_center", instance)
	}
	return nil
}

// DeleteApplication removes an application; one that does not exist is no error. Faults: InUse (Organization) while an
// organisation's configuration names it.
func (c *Center) DeleteApplication(ctx context.Context, p principal.Principal, arn string) error {
	if err := mayAdminister(p); err != nil {
		return err
	}
	return c.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		used, err := deleteApplicationTx(ctx, tx, arn)
		if err != nil {
			return err
		}
		if used {
			return fault.New(fault.InUse, fault.Organization,
				"an organization signs in through application %s; delete its identity provider configuration first", arn)
		}
		return c.audit.AppendTx(ctx, tx, audit.Of(p, "", "DeleteIdentityCenterApplication", arn))
	})
}

// deleteApplicationTx removes an application that exists and that no organisation uses.
func deleteApplicationTx(ctx context.Context, tx *db.Tx, arn string) (used bool, err error) {
	if _, err := lockApplicationTx(ctx, tx, arn); err != nil {
		if fault.KindOf(err) == fault.NotFound {
			return false, nil
		}
		return false, err
	}
	var one int64
	err = tx.QueryRow(ctx, applicationUsed, arn).Scan(&one)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("look for an application's organizations: %w", err)
	}
	if _, err := tx.Exec(ctx, deleteApplication, arn); err != nil {
		return false, fmt.Errorf("delete an application: %w", err)
	}
	return false, nil
}

func lockApplicationTx(ctx context.Context, tx *db.Tx, arn string) (instance string, err error) {
	err = tx.QueryRow(ctx, lockApplication, arn).Scan(&instance)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fault.New(fault.NotFound, fault.Resource, "there is no application %s; make it with CreateIdentityCenterApplication", arn)
	}
	if err != nil {
		return "", fmt.Errorf("read an application: %w", err)
	}
	return instance, nil
}

func mayAdminister(p principal.Principal) error {
	if p.Kind == principal.User {
		return fault.New(fault.Denied, fault.None, "a user may not administer the organization")
	}
	return nil
}
