package identity

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

// Check looks for configurations, set-password links and tokens that contradict the directory or each other, and returns a line per find. It reads
// everything.
func (c *Center) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	if faults, err = c.checkProviders(ctx, tx); err != nil {
		return nil, err
	}
	links, err := c.checkLinks(ctx, tx)
	if err != nil {
		return nil, err
	}
	faults = append(faults, links...)
	after := ""
	for {
		page, err := allTokensTx(ctx, tx, after)
		if err != nil {
			return nil, err
		}
		for i := range page {
			e, err := c.directory.EntityByKeyTx(ctx, tx, page[i].entity)
			switch {
			case fault.KindOf(err) == fault.NotFound:
				faults = append(faults, fmt.Sprintf("identity: token %s of user %d, who does not exist", page[i].ID, page[i].entity))
			case err != nil:
				return nil, err
			case e.OrgKey != page[i].organization || e.Kind != directory.KindUser:
				faults = append(faults, fmt.Sprintf("identity: token %s of %s %s, which is no user of its organization", page[i].ID, e.Kind, e.ID))
			}
		}
		if len(page) < checkPage {
			return faults, nil
		}
		after = page[len(page)-1].ID
	}
}

// checkPage is how many rows are looked at with one statement.
const checkPage = 500

func allTokensTx(ctx context.Context, tx *db.Tx, after string) ([]tokenRow, error) {
	var page []tokenRow
	err := tx.Each(ctx, func(row db.Row) error {
		t, err := scanToken(row)
		if err != nil {
			return err
		}
		page = append(page, *t)
		return nil
	}, tokenColumns+` WHERE id > $1 ORDER BY id LIMIT $2`, after, checkPage)
	if err != nil {
		return nil, fmt.Errorf("check tokens: %w", err)
	}
	return page, nil
}

func (c *Center) checkProviders(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	var organizations []int64
	err = tx.Each(ctx, func(row db.Row) error {
		var org int64
		var application, instance string
		var other sql.NullString
		if err := row.Scan(&org, &application, &instance, &other); err != nil {
			return err
		}
		if other.String != instance {
			faults = append(faults, fmt.Sprintf("identity: organization %d signs in by application %s, which instance %s does not have", org, application, instance))
		}
		organizations = append(organizations, org)
		return nil
	}, `SELECT p.organization, p.application, p.instance, a.instance FROM identity_provider p
		LEFT JOIN identity_application a ON a.arn = p.application ORDER BY p.organization`)
	if err != nil {
		return nil, fmt.Errorf("check identity providers: %w", err)
	}
	for _, org := range organizations {
		o, err := c.directory.OrganizationByKeyTx(ctx, tx, org)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			faults = append(faults, fmt.Sprintf("identity: configuration of organization %d, which does not exist", org))
		case err != nil:
			return nil, err
		case o.State == directory.OrgDeleted:
			faults = append(faults, fmt.Sprintf("identity: configuration of organization %s, which is deleted", o.ID))
		}
	}
	return faults, nil
}

func (c *Center) checkLinks(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	for after := int64(0); ; {
		links, err := someLinksTx(ctx, tx, after)
		if err != nil {
			return nil, err
		}
		for _, l := range links {
			e, err := c.directory.EntityByKeyTx(ctx, tx, l.entity)
			switch {
			case fault.KindOf(err) == fault.NotFound:
				faults = append(faults, fmt.Sprintf("identity: set-password link of user %d, who does not exist", l.entity))
			case err != nil:
				return nil, err
			case e.OrgKey != l.organization || e.Kind != directory.KindUser:
				faults = append(faults, fmt.Sprintf("identity: set-password link of %s %s, which is no user of its organization", e.Kind, e.ID))
			}
			after = l.entity
		}
		if len(links) < checkPage {
			return faults, nil
		}
	}
}

// linkOwner is whom a set-password link is for.
type linkOwner struct{ entity, organization int64 }

func someLinksTx(ctx context.Context, tx *db.Tx, after int64) (links []linkOwner, err error) {
	links, err = db.All(ctx, tx, func(row db.Row) (l linkOwner, err error) {
		err = row.Scan(&l.entity, &l.organization)
		return l, err
	}, linksByUser, after, checkPage)
	if err != nil {
		return nil, fmt.Errorf("check set-password links: %w", err)
	}
	return links, nil
}
