package directory

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/lazy"
	"github.com/pennypost/pennypost/internal/principal"
)

// ListUsers lists users in all states: in the order of their names, or of the text that a prefix is of. A page costs the
// same however many users there are. Faults: Invalid for two filters at once, Invalid (Token).
func (s *Service) ListUsers(ctx context.Context, p principal.Principal, org OrgID, f UserFilter, page Page) (users []Entity, next string, err error) {
	l := entityLists.Get()
	q, err := newListQuery(l, page, f.State, prefixFilter{l.byName, f.NamePrefix}, prefixFilter{l.byDisplay, f.DisplayNamePrefix},
		prefixFilter{l.byEmail, f.EmailPrefix}, prefixFilter{l.byProvider, f.IdentityProviderUserIDPrefix})
	if err != nil {
		return nil, "", s.GateFirst(ctx, org, err)
	}
	return listTx(ctx, s, p, org, KindUser, q, scanEntityAt)
}

// ListGroups lists groups as ListUsers lists users.
func (s *Service) ListGroups(ctx context.Context, p principal.Principal, org OrgID, f Filter, page Page) (groups []Entity, next string, err error) {
	q, err := f.query(entityLists.Get(), page)
	if err != nil {
		return nil, "", s.GateFirst(ctx, org, err)
	}
	return listTx(ctx, s, p, org, KindGroup, q, scanEntityAt)
}

// ListResources lists resources as ListUsers lists users.
func (s *Service) ListResources(ctx context.Context, p principal.Principal, org OrgID, f Filter, page Page) (resources []Resource, next string, err error) {
	q, err := f.query(resourceLists.Get(), page)
	if err != nil {
		return nil, "", s.GateFirst(ctx, org, err)
	}
	return listTx(ctx, s, p, org, KindResource, q, scanResourceAt)
}

func (f Filter) query(l listStatements, page Page) (*listQuery, error) {
	return newListQuery(l, page, f.State, prefixFilter{l.byName, f.NamePrefix}, prefixFilter{l.byEmail, f.EmailPrefix})
}

// listQuery is one of listStatements with its parameters behind the organisation ($1) and the kind ($2).
type listQuery struct {
	statement string
	limit     int
	args      []any
}

// prefixFilter narrows by the beginning of a text; an empty one is none.
type prefixFilter struct{ statement, prefix string }

func newListQuery(l listStatements, page Page, state *State, prefixes ...prefixFilter) (*listQuery, error) {
	after, err := textCursor(page)
	if err != nil {
		return nil, err
	}
	limit := page.limit()
	q := &listQuery{statement: l.all, limit: limit, args: []any{after.key, limit + 1, after.text}}
	filters := 0
	if state != nil {
		filters++
		q.statement, q.args = l.byState, append(q.args, int64(*state))
	}
	for _, f := range prefixes {
		if f.prefix == "" {
			continue
		}
		if err := checkText("the prefix of a filter", f.prefix, textLimit); err != nil {
			return nil, err
		}
		filters++
		from, to := prefixRange(f.prefix)
		if after.text < from { // the first page: keys are positive, so that nothing of the text is left out
			after = position{text: from}
		}
		q.statement, q.args = f.statement, []any{after.key, limit + 1, after.text, to}
	}
	if filters > 1 {
		return nil, fault.New(fault.Invalid, fault.None, "a list takes one filter at a time; %d were given", filters)
	}
	return q, nil
}

// listStatements are the statements of the lists of one kind of thing, each of a text that the list is ordered by and columns.
// $1 organisation, $2 kind, $3 and $5 the key and the text of the cursor, $4 one more than the page holds; $6 is the state, or
// for prefixes the text to end before.
type listStatements struct{ all, byState, byName, byDisplay, byProvider, byEmail string }

var (
	entityLists   = lazy.Value[listStatements]{Make: func() listStatements { return listStatementsOf(prefixedEntityColumns) }}
	resourceLists = lazy.Value[listStatements]{Make: func() listStatements { return listStatementsOf(prefixedEntityColumns + prefixedResourceColumns) }}
)

// listStatementsOf writes the statements. Lists of all states merge them, in each of which the index runs in the order of names,
// so that a change of state moves nobody across a page.
func listStatementsOf(columns string) listStatements {
	inState := func(state, name, end string) string {
		return `SELECT name_key, key FROM (SELECT name_key, key FROM entity WHERE organization = $1 AND kind = $2 AND state = ` + state +
			` AND (name_key, key) > ($5, $3)` + end + ` ORDER BY name_key, key LIMIT $4) AS ` + name
	}
	inAllStates := func(end string) string {
		return `SELECT found.name_key, ` + columns + ` FROM (` + inState("1", "enabled", end) + ` UNION ALL ` +
			inState("2", "disabled", end) + ` UNION ALL ` + inState("3", "deleted", end) +
			`) AS found JOIN entity e ON e.key = found.key ORDER BY found.name_key, found.key LIMIT $4`
	}
	byText := func(text string) string {
		return `SELECT ` + text + `, ` + columns + ` FROM entity e WHERE e.organization = $1 AND e.kind = $2
			AND (` + text + `, e.key) > ($5, $3) AND ` + text + ` < $6 ORDER BY ` + text + `, e.key LIMIT $4`
	}
	return listStatements{
		all: inAllStates(``),
		byState: `SELECT e.name_key, ` + columns + ` FROM entity e WHERE e.organization = $1 AND e.kind = $2 AND e.state = $6
			AND (e.name_key, e.key) > ($5, $3) ORDER BY e.name_key, e.key LIMIT $4`,
		byName:     inAllStates(` AND name_key < $6`),
		byDisplay:  byText("e.display_key"),
		byProvider: byText("e.provider_user"),
		byEmail: `SELECT a.primary_key, ` + columns + ` FROM address a JOIN entity e ON e.key = a.entity
			WHERE a.organization = $1 AND a.kind = $2 AND (a.primary_key, a.entity) > ($5, $3)
			AND a.primary_key < $6 ORDER BY a.primary_key, a.entity LIMIT $4`,
	}
}

// listTx runs a list and cuts the page.
func listTx[T any](ctx context.Context, s *Service, p principal.Principal, org OrgID, kind Kind, q *listQuery,
	scan func(db.Row) (T, position, error),
) (items []T, next string, err error) {
	var positions []position
	err = s.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *Organization) error {
		if kind == KindResource {
			if err := o.resourcesHere(); err != nil {
				return err
			}
		}
		items, positions = nil, nil
		err := tx.Each(ctx, func(row db.Row) error {
			item, at, err := scan(row)
			if err != nil {
				return err
			}
			items, positions = append(items, item), append(positions, at)
			return nil
		}, q.statement, append([]any{o.Key, int64(kind)}, q.args...)...)
		if err != nil {
			return fmt.Errorf("list entities: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	if len(items) > q.limit {
		items, next = items[:q.limit], positions[q.limit-1].String()
	}
	return items, next, nil
}

func scanEntityAt(rows db.Row) (e Entity, at position, err error) {
	var scan entityScan
	if err := rows.Scan(append([]any{&at.text}, scan.targets()...)...); err != nil {
		return e, at, err
	}
	e = scan.entity()
	at.key = e.Key
	return e, at, nil
}

func scanResourceAt(rows db.Row) (r Resource, at position, err error) {
	var scan entityScan
	if err := rows.Scan(append([]any{&at.text}, scan.targets(r.targets()...)...)...); err != nil {
		return r, at, err
	}
	r.Entity = scan.entity()
	at.key = r.Key
	return r, at, nil
}
