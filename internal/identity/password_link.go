package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/lazyregexp"
	"github.com/pennypost/pennypost/internal/principal"
)

// PasswordLink lets one user set a password once, without the old one.
type PasswordLink struct {
	User directory.Entity
	// Secret is what stands in the link. It can't be had again.
	Secret  string
	Expires time.Time
}

// How long a set-password link may be good for.
const (
	MinLinkLife = 5 * time.Minute
	MaxLinkLife = 30 * 24 * time.Hour
)

// A user has one link at most. mac is a sum of its secret. version is that of the user's password when the link was made, 0 for
// none, and enabled when the user became enabled: a new password and a new life end the link. Times are microseconds since 1970.
const linkTable = `
CREATE TABLE set_password_link (
	entity       {{.RowID}} NOT NULL PRIMARY KEY,
	organization BIGINT NOT NULL,
	mac          {{.Blob}} NOT NULL UNIQUE,
	version      BIGINT NOT NULL,
	enabled      BIGINT NOT NULL,
	created      BIGINT NOT NULL,
	expires      BIGINT NOT NULL
);
`

const (
	putLink = `INSERT INTO set_password_link (entity, organization, mac, version, enabled, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (entity) DO UPDATE SET mac = excluded.mac, version = excluded.version, enabled = excluded.enabled,
		created = excluded.created, expires = excluded.expires`
	linkByMAC   = `SELECT entity, version, enabled, expires FROM set_password_link WHERE mac = $1`
	useLink     = `DELETE FROM set_password_link WHERE mac = $1`
	forgetLink  = `DELETE FROM set_password_link WHERE entity = $1`
	linksByUser = `SELECT entity, organization FROM set_password_link WHERE entity > $1 ORDER BY entity LIMIT $2`
)

var linkSecret = lazyregexp.New(`\A[A-Za-z0-9_-]{43}\z`)

// CreatePasswordLink makes a link for a user, which is good for life. It ends the user's older one, and ends itself when it is used,
// when the password is set in any other way, and when the user is disabled or deleted. Faults: Invalid for a life out of bounds,
// NotFound (Entity), State (Entity) unless the user is enabled and has a mailbox here, Unsupported (Directory) where an external
// directory keeps the passwords.
func (c *Center) CreatePasswordLink(ctx context.Context, p principal.Principal, org directory.OrgID, user string, life time.Duration) (l PasswordLink, err error) {
	if life < MinLinkLife || life > MaxLinkLife {
		return PasswordLink{}, fault.New(fault.Invalid, fault.None, "a link is good for %s to %s, not for %s", MinLinkLife, MaxLinkLife, life)
	}
	text := base64.RawURLEncoding.EncodeToString(random(secretBytes))
	err = c.directory.Change(ctx, p, org, "CreateSetPasswordLink", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		if err := directory.KeepsPasswords(o); err != nil {
			return "", err
		}
		e, err := c.directory.FindForTx(ctx, tx, o, user, directory.Narrow{Kind: directory.KindUser})
		if err != nil {
			return "", err
		}
		who, err := c.directory.SignInByIDTx(ctx, tx, o.ID, e.ID)
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return "", err
		}
		if err != nil || !who.MaySignIn() {
			return "", fault.New(fault.State, fault.Entity, "user %s is not enabled, or has no mailbox to sign in to", e.ID)
		}
		now := c.clock.Now()
		l = PasswordLink{User: *e, Secret: text, Expires: now.Add(life).Truncate(time.Second)}
		_, err = tx.Exec(ctx, putLink, e.Key, o.Key, c.linkSum(text), who.PasswordVersion, e.Enabled.UnixMicro(), now.UnixMicro(), l.Expires.UnixMicro())
		if err != nil {
			return "", fmt.Errorf("store a set-password link: %w", err)
		}
		return string(e.ID), nil
	})
	return l, err
}

// linkSum is what is kept of a link's secret, for the reasons that Center.sum has.
func (c *Center) linkSum(text string) []byte {
	h := hmac.New(sha256.New, c.linkKey)
	_, _ = h.Write([]byte(text))
	return h.Sum(nil)
}

// linkUser is who a link is for, with the organisation and the row.
type linkUser struct {
	directory.SignIn
	organization *directory.Organization
	entity       *directory.Entity
}

// linkTx finds the user of a link, and why the link is of no use any more, empty while it is. A lock keeps the user from changing
// until the commit.
func (c *Center) linkTx(ctx context.Context, tx *db.Tx, text string, lock bool) (u linkUser, useless string, err error) {
	if !linkSecret.MatchString(text) {
		return u, "no such link", nil
	}
	var key int64
	find := func() (version, enabled, expires int64, err error) {
		err = tx.QueryRow(ctx, linkByMAC, c.linkSum(text)).Scan(&key, &version, &enabled, &expires)
		return version, enabled, expires, err
	}
	version, enabled, expires, err := find()
	if err == nil {
		u.entity, err = c.directory.EntityByKeyTx(ctx, tx, key)
	}
	if err == nil {
		u.organization, err = c.directory.OrganizationByKeyTx(ctx, tx, u.entity.OrgKey)
	}
	if err == nil && lock {
		if _, err = c.directory.GateTx(ctx, tx, u.organization.ID); err == nil {
			u.entity, err = c.directory.LockByKeyTx(ctx, tx, key)
		}
		if err == nil { // another may have used it while we waited
			version, enabled, expires, err = find()
		}
	}
	if err == nil {
		u.SignIn, err = c.directory.SignInByIDTx(ctx, tx, u.organization.ID, u.entity.ID)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return u, "no such link", nil
	case fault.KindOf(err) == fault.NotFound, fault.KindOf(err) == fault.State: // the organisation or the user is on the way out
		return u, notEnabled, nil
	case err != nil:
		return u, "", fmt.Errorf("read a set-password link: %w", err)
	case !c.clock.Now().Before(time.UnixMicro(expires)):
		return u, "the link has expired", nil
	case !u.MaySignIn():
		return u, notEnabled, nil
	case enabled != u.entity.Enabled.UnixMicro():
		return u, "the user was disabled after the link was made", nil
	case version != u.PasswordVersion:
		return u, "the password was set after the link was made", nil
	}
	return u, "", directory.KeepsPasswords(u.organization)
}

// errLink is every useless link's answer, whatever the reason.
var errLink = &fault.Error{Kind: fault.Unauthenticated, Subject: fault.Resource, Message: "this link can't be used: it is wrong, was used already or has expired; ask your administrator for a new one"}

// PasswordLink returns the user whose password a link sets, and does not use it up. Faults: Unauthenticated, the same for every
// link of no use; Temporary for an address from which too many such came.
func (d *Door) PasswordLink(ctx context.Context, link string, how Circumstances) (who directory.SignIn, err error) {
	err = d.tryLink(ctx, how, func() (useless string, err error) {
		var u linkUser
		err = d.center.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			u, useless, err = d.center.linkTx(ctx, tx, link, false)
			return err
		})
		who = u.SignIn
		return useless, err
	}, &who)
	return who, err
}

// SetPassword sets the password of the user whom a link is for, which uses the link up and ends the sessions that began with the
// older password. Of two at once with one link, one succeeds. Faults: those of PasswordLink, and BadPassword, which leaves the
// link as it is.
func (d *Door) SetPassword(ctx context.Context, link, password string, how Circumstances) (who directory.SignIn, err error) {
	if who, err = d.PasswordLink(ctx, link, how); err != nil {
		return who, err
	}
	hashed, err := d.directory.HashPassword(ctx, password)
	if err != nil {
		return who, err
	}
	err = d.tryLink(ctx, how, func() (useless string, err error) {
		err = d.center.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			u, reason, err := d.center.linkTx(ctx, tx, link, true)
			if useless = reason; err != nil || reason != "" {
				return err
			}
			if _, err := tx.Exec(ctx, useLink, d.center.linkSum(link)); err != nil {
				return fmt.Errorf("use a set-password link up: %w", err)
			}
			if err := d.directory.StorePasswordTx(ctx, tx, u.organization, u.entity, hashed); err != nil {
				return err
			}
			return d.audit.AppendTx(ctx, tx, linkRecord(u.SignIn, how))
		})
		return useless, err
	}, &who)
	return who, err
}

// tryLink runs try within the limit on guessing from an address, and records that a link was of no use.
func (d *Door) tryLink(ctx context.Context, how Circumstances, try func() (useless string, err error), who *directory.SignIn) error {
	key, failed := addressKey(how.Address), false
	may, err := d.addresses.begin(ctx, key)
	if err != nil {
		return err
	}
	if !may {
		r := linkRecord(directory.SignIn{}, how)
		r.Outcome, r.Detail = fault.Unauthenticated.String(), blockedAddress
		d.repeated.add(r, how, proof{}, "")
		return fault.New(fault.Temporary, fault.None, "there were too many failed attempts from your network; open the link again in some minutes")
	}
	defer func() { d.addresses.end(key, failed) }()
	useless, err := try()
	if err != nil || useless == "" {
		return err
	}
	failed = true
	r := linkRecord(*who, how)
	r.Outcome, r.Detail = fault.Unauthenticated.String(), useless
	if err := d.audit.Record(ctx, r); err != nil {
		d.log.ErrorContext(ctx, "a refused set-password link was not recorded", "error", err, "address", how.Address)
	}
	*who = directory.SignIn{}
	return errLink
}

// linkRecord is the audit record of a use of a user's link.
func linkRecord(who directory.SignIn, how Circumstances) audit.Record {
	return audit.Of(principal.Principal{
		Kind: principal.User, ID: string(who.ID), Organization: string(who.Organization), Name: who.Name,
		Protocol: how.Protocol, Address: how.Address, RequestID: how.RequestID,
	}, string(who.Organization), "UseSetPasswordLink", string(who.ID))
}
