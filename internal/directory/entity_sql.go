package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

const entityColumns = `key, organization, id, kind, state, name, email, hidden, mailbox, role, display_name,
	provider_user, provider_store, created, enabled, disabled, deleted, mailbox_provisioned, mailbox_deprovisioned, change`

// prefixedEntityColumns are the same of the table with the alias e.
const prefixedEntityColumns = `e.key, e.organization, e.id, e.kind, e.state, e.name, e.email, e.hidden, e.mailbox, e.role,
	e.display_name, e.provider_user, e.provider_store, e.created, e.enabled, e.disabled, e.deleted,
	e.mailbox_provisioned, e.mailbox_deprovisioned, e.change`

// entityScan collects the columns of an entity.
type entityScan struct {
	e                                                               Entity
	providerUser                                                    sql.NullString
	created, enabled, disabled, deleted, provisioned, deprovisioned int64
}

func (s *entityScan) targets(more ...any) []any {
	e := &s.e
	return slices.Concat([]any{
		&e.Key, &e.OrgKey, &e.ID, &e.Kind, &e.State, &e.Name, &e.Email, &e.Hidden, &e.Mailbox, &e.Role, &e.DisplayName,
		&s.providerUser, &e.IdentityProviderStoreID, &s.created, &s.enabled, &s.disabled, &s.deleted,
		&s.provisioned, &s.deprovisioned, &e.change,
	}, more)
}

func (s *entityScan) entity() Entity {
	e := s.e
	e.IdentityProviderUserID = s.providerUser.String
	e.Created, e.Enabled, e.Disabled, e.Deleted = fromMicros(s.created), fromMicros(s.enabled), fromMicros(s.disabled), fromMicros(s.deleted)
	e.MailboxProvisioned, e.MailboxDeprovisioned = fromMicros(s.provisioned), fromMicros(s.deprovisioned)
	return e
}

func scanEntity(row db.Row) (*Entity, error) {
	var s entityScan
	if err := row.Scan(s.targets()...); err != nil {
		return nil, err
	}
	e := s.entity()
	return &e, nil
}

const (
	entityByKey  = `SELECT ` + entityColumns + ` FROM entity WHERE key = $1`
	entityByID   = `SELECT ` + entityColumns + ` FROM entity WHERE organization = $1 AND id = $2`
	entityByName = `SELECT ` + entityColumns + ` FROM entity WHERE name_key = $2 AND organization = $1 AND state <> 3`

	entityByAddress = `SELECT ` + prefixedEntityColumns + ` FROM address a JOIN entity e ON e.key = a.entity
		WHERE a.organization = $1 AND a.address_key = $2`
)

// EntityByKeyTx reads an entity by the server's own number.
func (s *Service) EntityByKeyTx(ctx context.Context, tx *db.Tx, key int64) (*Entity, error) {
	e, err := scanEntity(tx.QueryRow(ctx, entityByKey, key))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound(0, fmt.Sprint(key))
	}
	if err != nil {
		return nil, fmt.Errorf("read entity %d: %w", key, err)
	}
	return e, nil
}

// EntityByIDTx reads an entity of the organisation with the server's own number orgKey by its id.
func (s *Service) EntityByIDTx(ctx context.Context, tx *db.Tx, orgKey int64, id EntityID) (*Entity, error) {
	e, err := scanEntity(tx.QueryRow(ctx, entityByID, orgKey, string(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound(0, string(id))
	}
	if err != nil {
		return nil, fmt.Errorf("read entity %s: %w", id, err)
	}
	return e, nil
}

func notFound(k Kind, ident string) error {
	return fault.New(fault.NotFound, fault.Entity, "%s %q does not exist in this organization", k.word(), ident)
}

// word is the kind in a sentence.
func (k Kind) word() string {
	switch k {
	case KindUser:
		return "user"
	case KindGroup:
		return "group"
	case KindResource:
		return "resource"
	}
	return "entity"
}

// EntitiesAfterTx returns up to limit entities of the server in the order of their keys, for those who look at all of them.
func (s *Service) EntitiesAfterTx(ctx context.Context, tx *db.Tx, after int64, limit int) ([]Entity, error) {
	return queryEntities(ctx, tx, `SELECT `+entityColumns+` FROM entity WHERE key > $1 ORDER BY key LIMIT $2`, after, limit)
}
