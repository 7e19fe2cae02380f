package directory

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// ListUsers lists users in all states: in the order of their creation, or of the text that a prefix is of. A page costs the
// same however many users there are. Faults: Invalid for two filters at once, Invalid (Token).
func (s *Service) ListUsers(ctx context.Context, p principal.Principal, org OrgID, f UserFilter, page Page) (users []Entity, next string, err error) {
	q, err := newListQuery(page,
		prefixFilter{byName, f.NamePrefix}, prefixFilter{byDisplay, f.DisplayNamePrefix}, prefixFilter{byEmail, f.EmailPrefix},
		prefixFilter{byProvider, f.IdentityProviderUserIDPrefix})
	if err == nil {
		err = q.withState(f.State)
	}
	if err != nil {
		return nil, "", s.GateFirst(ctx, org, err)
	}
	return listTx(ctx, s, p, org, KindUser, q, queryEntitiesAt)
}

// ListGroups lists groups as ListUsers lists users.
func (s *Service) ListGroups(ctx context.Context, p principal.Principal, org OrgID, f Filter, page Page) (groups []Entity, next string, err error) {
	q, err := f.query(page)
	if err != nil {
		return nil, "", s.GateFirst(ctx, org, err)
	}
	return listTx(ctx, s, p, org, KindGroup, q, queryEntitiesAt)
}

// ListResources lists resources as ListUsers lists users.
func (s *Service) ListResources(ctx context.Context, p principal.Principal, org OrgID, f Filter, page Page) (resources []Resource, next string, err error) {
	q, err := f.query(page)
	if err != nil {
		return nil, "", s.GateFirst(ctx, org, err)
	}
	return listTx(ctx, s, p, org, KindResource, q, func(ctx context.Context, tx *db.Tx, query string, args ...any) ([]Resource, []position, error) {
		entities, positions, err := queryEntitiesAt(ctx, tx, query, args...)
		resources := make([]Resource, 0, len(entities))
		for i := range entities {
			r, err := s.ResourceTx(ctx, tx, &entities[i])
			if err != nil {
				return nil, nil, err
			}
			resources = append(resources, *r)
		}
		return resources, positions, err
	})
}

func (f Filter) query(page Page) (*listQuery, error) {
	q, err := newListQuery(page, prefixFilter{byName, f.NamePrefix}, prefixFilter{byEmail, f.EmailPrefix})
	if err != nil {
		return nil, err
	}
	return q, q.withState(f.State)
}

// listQuery is one of the statements below and its parameters behind the organisation ($1) and the kind ($2).
type listQuery struct {
	statement string
	limit     int
	filters   int
	args      []any
}

// prefixFilter narrows by the beginning of a text; an empty one is none.
type prefixFilter struct{ statement, prefix string }

func newListQuery(page Page, filters ...prefixFilter) (*listQuery, error) {
	after, err := textCursor(page)
	if err != nil {
		return nil, err
	}
	q := &listQuery{statement: byKey, limit: page.limit(), args: []any{after.key, page.limit() + 1}}
	for _, f := range filters {
		if f.prefix == "" {
			continue
		}
		if err := checkText("the prefix of a filter", f.prefix, textLimit); err != nil {
			return nil, err
		}
		from, to := prefixRange(f.prefix)
		if after.text < from { // the first page: keys are positive, so that nothing of the text is left out
			after = position{text: from}
		}
		q.filters++
		q.statement = f.statement
		q.args = []any{after.key, page.limit() + 1, after.text, to}
	}
	return q, q.oneFilter()
}

func (q *listQuery) withState(state *State) error {
	if state == nil {
		return nil
	}
	q.filters++
	q.statement = byState
	q.args = append(q.args, int64(*state))
	return q.oneFilter()
}

func (q *listQuery) oneFilter() error {
	if q.filters > 1 {
		return fault.New(fault.Invalid, fault.None, "a list takes one filter at a time; %d were given", q.filters)
	}
	return nil
}

// The statements of the lists. $1 organisation, $2 kind, $3 the key of the cursor, $4 one more than the page holds; for
// prefixes $5 is the text to begin behind, together with $3, and $6 the text to end before. Each begins with the text it is
// ordered by. The unfiltered list merges the three states, in each of which the index runs in the order of keys, so that a
// change of state moves nobody across a page.
const (
	byKey = `SELECT '', ` + prefixedEntityColumns + ` FROM (
		SELECT key FROM (SELECT key FROM entity WHERE organization = $1 AND kind = $2 AND state = 1 AND key > $3 ORDER BY key LIMIT $4) AS enabled
		UNION ALL
		SELECT key FROM (SELECT key FROM entity WHERE organization = $1 AND kind = $2 AND state = 2 AND key > $3 ORDER BY key LIMIT $4) AS disabled
		UNION ALL
		SELECT key FROM (SELECT key FROM entity WHERE organization = $1 AND kind = $2 AND state = 3 AND key > $3 ORDER BY key LIMIT $4) AS deleted
		) AS found JOIN entity e ON e.key = found.key ORDER BY found.key LIMIT $4`
	byState = `SELECT '', ` + prefixedEntityColumns + ` FROM entity e
		WHERE e.organization = $1 AND e.kind = $2 AND e.state = $5 AND e.key > $3 ORDER BY e.key LIMIT $4`
	byName = `SELECT e.name_key, ` + prefixedEntityColumns + ` FROM entity e
		WHERE e.organization = $1 AND e.kind = $2 AND (e.name_key, e.key) > ($5, $3) AND e.name_key < $6 ORDER BY e.name_key, e.key LIMIT $4`
	byDisplay = `SELECT e.display_key, ` + prefixedEntityColumns + ` FROM entity e
		WHERE e.organization = $1 AND e.kind = $2 AND (e.display_key, e.key) > ($5, $3) AND e.display_key < $6 ORDER BY e.display_key, e.key LIMIT $4`
	byProvider = `SELECT e.provider_user, ` + prefixedEntityColumns + ` FROM entity e
		WHERE e.organization = $1 AND e.kind = $2 AND (e.provider_user, e.key) > ($5, $3) AND e.provider_user < $6 ORDER BY e.provider_user, e.key LIMIT $4`
	byEmail = `SELECT a.primary_key, ` + prefixedEntityColumns + ` FROM address a JOIN entity e ON e.key = a.entity
		WHERE a.organization = $1 AND a.kind = $2 AND (a.primary_key, a.entity) > ($5, $3)
		AND a.primary_key < $6 ORDER BY a.primary_key, a.entity LIMIT $4`
)

// listTx runs a list and cuts the page.
func listTx[T any](ctx context.Context, s *Service, p principal.Principal, org OrgID, kind Kind, q *listQuery,
	run func(ctx context.Context, tx *db.Tx, query string, args ...any) ([]T, []position, error),
) (items []T, next string, err error) {
	var positions []position
	err = s.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *Organization) (err error) {
		items, positions, err = run(ctx, tx, q.statement, append([]any{o.Key, int64(kind)}, q.args...)...)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	if len(items) > q.limit {
		items, next = items[:q.limit], positions[q.limit-1].String()
	}
	return items, next, nil
}

// queryEntitiesAt runs a query of a text and the entity columns.
func queryEntitiesAt(ctx context.Context, tx *db.Tx, query string, args ...any) ([]Entity, []position, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, nil, fmt.Errorf("list entities: %w", err)
	}
	defer rows.Close()
	var (
		entities  []Entity
		positions []position
	)
	for rows.Next() {
		var (
			text string
			scan entityScan
		)
		if err := rows.Scan(append([]any{&text}, scan.targets()...)...); err != nil {
			return nil, nil, fmt.Errorf("list entities: %w", err)
		}
		e := scan.entity()
		entities, positions = append(entities, e), append(positions, position{text: text, key: e.Key})
	}
	return entities, positions, rows.Err()
}
