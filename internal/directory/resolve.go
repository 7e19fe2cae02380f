package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/lazy"
)

// Narrow says which ways of naming an entity an operation takes, and which kind it must be.
type Narrow struct {
	Kind      Kind // 0 takes any
	NoAddress bool // ids and names only
	IDOnly    bool
}

// finder is one statement for each way of naming an entity, all of the same columns. $1 is the organisation, $2 the id, $3 the
// folded address or name; byID has no $3.
type finder struct{ byID, byName, byAny string }

// finderOf returns the statements that read columns. COALESCE asks no further than the first that finds something, and each
// question is answered by an index, so that a name costs one statement however many ways there are to read it.
func finderOf(columns string) finder {
	const (
		id      = `(SELECT key FROM entity WHERE organization = $1 AND id = $2)`
		address = `(SELECT entity FROM address WHERE organization = $1 AND address_key = $3)`
		name    = `(SELECT key FROM entity WHERE name_key = $3 AND organization = $1 AND state <> 3)`
	)
	read := `SELECT ` + columns + ` FROM entity WHERE `
	return finder{
		byID:   read + `organization = $1 AND id = $2`,
		byName: read + `key = COALESCE(` + id + `, ` + name + `)`,
		byAny:  read + `key = COALESCE(` + id + `, ` + address + `, ` + name + `)`,
	}
}

var (
	findEntity = lazy.Value[finder]{Make: func() finder { return finderOf(entityColumns) }}
	findUser   = lazy.Value[finder]{Make: func() finder { return finderOf(entityColumns + `, ` + profileColumns) }}
)

// query returns the statement that finds ident, and its arguments.
func (f finder) query(o *Organization, ident string, how Narrow) (string, []any) {
	switch {
	case how.IDOnly:
		return f.byID, []any{o.Key, ident}
	case how.NoAddress || !isAddressLike(ident):
		return f.byName, []any{o.Key, ident, Fold(ident)}
	}
	return f.byAny, []any{o.Key, ident, Fold(ident)}
}

// ResolveTx finds the entity that ident names: its id first, then an address of it (primary or alias), then its name,
// addresses and names without case. Deleted entities are found by their id alone. It returns NotFound where there is none
// or it is of another kind than how.Kind.
func (s *Service) ResolveTx(ctx context.Context, tx *db.Tx, o *Organization, ident string, how Narrow) (*Entity, error) {
	return resolveTx(ctx, tx, o, ident, how, findEntity.Get())
}

// resolveTx is ResolveTx by the statements of f, whose columns behind the entity's go to more.
func resolveTx(ctx context.Context, tx *db.Tx, o *Organization, ident string, how Narrow, f finder, more ...any) (*Entity, error) {
	if !storable(ident) { // not all identifiers have a pattern, and a database may refuse what no row can hold
		return nil, notFound(how.Kind, strings.ToValidUTF8(ident, "\uFFFD"))
	}
	query, args := f.query(o, ident, how)
	var scan entityScan
	err := tx.QueryRow(ctx, query, args...).Scan(scan.targets(more...)...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, notFound(how.Kind, ident)
	case err != nil:
		return nil, fmt.Errorf("find entity: %w", err)
	case how.Kind != 0 && scan.e.Kind != how.Kind:
		return nil, notFound(how.Kind, ident)
	}
	e := scan.entity()
	return &e, nil
}
