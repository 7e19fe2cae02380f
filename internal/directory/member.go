package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// AddMember makes a user or group a direct member of a group. A repetition changes nothing. Faults: NotFound (Entity) for
// either, State (Entity) when one of them is deleted, Invalid for a resource, for the group itself, and for a group that
// holds this one already, directly or through others.
func (s *Service) AddMember(ctx context.Context, p principal.Principal, org OrgID, group, member string) error {
	return s.setMember(ctx, p, org, "AssociateMemberToGroup", group, member, true)
}

// RemoveMember ends a direct membership. One that does not exist is no error. Faults: NotFound (Entity) for either, State (Entity)
// when one of them is deleted.
func (s *Service) RemoveMember(ctx context.Context, p principal.Principal, org OrgID, group, member string) error {
	return s.setMember(ctx, p, org, "DisassociateMemberFromGroup", group, member, false)
}

func (s *Service) setMember(ctx context.Context, p principal.Principal, org OrgID, operation, group, member string, is bool) error {
	err := s.outside(ctx, org, group, Narrow{Kind: KindGroup}, nil, func(d Directory, g Entry) error {
		check := func(ctx context.Context, tx *db.Tx, o *Organization, m *Entity) error {
			return s.mayBeMemberTx(ctx, tx, o, g, m, is)
		}
		return s.outside(ctx, org, member, Narrow{}, check, func(_ Directory, m Entry) error { return d.SetMember(ctx, g, m, is) })
	})
	if err != nil {
		return err
	}
	change := s.Change
	if is {
		change = s.ChangeAlone // two who nest groups must see each other's edge, or they close a circle together
	}
	return change(ctx, p, org, operation, func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		return s.SetMemberTx(ctx, tx, o, group, member, is)
	})
}

// SetMemberTx is AddMember or, unless it is to be one, RemoveMember, in a transaction that holds the organisation for itself. It
// returns the group's id.
func (s *Service) SetMemberTx(ctx context.Context, tx *db.Tx, o *Organization, group, member string, is bool) (string, error) {
	g, err := s.ResolveTx(ctx, tx, o, group, Narrow{Kind: KindGroup})
	if err != nil {
		return "", err
	}
	m, err := s.ResolveTx(ctx, tx, o, member, Narrow{})
	if err != nil {
		return "", err
	}
	if g, m, err = s.lockPairTx(ctx, tx, g, m); err != nil {
		return "", err
	}
	if !is {
		return string(g.ID), removeMemberTx(ctx, tx, g, m)
	}
	return string(g.ID), addMemberTx(ctx, tx, g, m)
}

// lockPairTx locks two living entities, the lower key first, so that two transactions can't wait for each other.
func (s *Service) lockPairTx(ctx context.Context, tx *db.Tx, a, b *Entity) (lockedA, lockedB *Entity, err error) {
	if a.Key == b.Key {
		a, err = s.lockLivingTx(ctx, tx, a)
		return a, a, err
	}
	if a.Key > b.Key {
		lockedB, lockedA, err = s.lockPairTx(ctx, tx, b, a)
		return lockedA, lockedB, err
	}
	if lockedA, err = s.lockLivingTx(ctx, tx, a); err != nil {
		return nil, nil, err
	}
	lockedB, err = s.lockLivingTx(ctx, tx, b)
	return lockedA, lockedB, err
}

// closesCircle finds whether the member $2, a group, leads to the group $1 upwards: $2 already contains $1.
const closesCircle = `WITH RECURSIVE above(key) AS (
	SELECT CAST($1 AS BIGINT) UNION SELECT m.group_key FROM member m JOIN above ON m.member = above.key
) SELECT 1 FROM above WHERE key = $2 LIMIT 1`

const (
	insertMember = `INSERT INTO member (group_key, member, group_name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
	deleteMember = `DELETE FROM member WHERE group_key = $1 AND member = $2`
)

// mayBeMemberTx says whether a membership may begin, or end.
func (s *Service) mayBeMemberTx(ctx context.Context, tx *db.Tx, o *Organization, group Entry, m *Entity, is bool) error {
	if err := m.living(); err != nil {
		return err
	}
	if !is {
		return mayLeaveTx(ctx, tx, o, group, m)
	}
	g, err := s.ResolveTx(ctx, tx, o, string(group.ID), Narrow{IDOnly: true})
	if err != nil {
		return err
	}
	return mayNestTx(ctx, tx, g, m)
}

func addMemberTx(ctx context.Context, tx *db.Tx, g, m *Entity) error {
	if err := mayNestTx(ctx, tx, g, m); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, insertMember, g.Key, m.Key, Fold(g.Name)); err != nil {
		return fmt.Errorf("add member: %w", err)
	}
	return nil
}

// mayNestTx returns an Invalid fault unless m may be a member of g.
func mayNestTx(ctx context.Context, tx *db.Tx, g, m *Entity) error {
	switch {
	case m.Kind == KindResource:
		return fault.New(fault.Invalid, fault.Entity, "resource %s can't be a member of a group; only users and groups can", m.ID)
	case g.Key == m.Key:
		return fault.New(fault.Invalid, fault.Entity, "group %s can't be a member of itself", g.ID)
	case m.Kind == KindGroup:
		var one int
		err := tx.QueryRow(ctx, closesCircle, g.Key, m.Key).Scan(&one)
		if err == nil {
			return fault.New(fault.Invalid, fault.Entity, "group %s contains group %s already; membership can't go in a circle", m.ID, g.ID)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("look for a circle of groups: %w", err)
		}
	}
	return nil
}

func removeMemberTx(ctx context.Context, tx *db.Tx, g, m *Entity) error {
	if _, err := tx.Exec(ctx, deleteMember, g.Key, m.Key); err != nil {
		return fmt.Errorf("remove member: %w", err)
	}
	return nil
}

const listMembers = `SELECT ` + prefixedEntityColumns + ` FROM member m JOIN entity e ON e.key = m.member
	WHERE m.group_key = $1 AND m.member > $2 AND e.state <> 3 ORDER BY m.member LIMIT $3`

// ListMembers lists the direct members of a group in the order of their creation. Faults: NotFound (Entity), State (Entity)
// for a deleted group, Invalid (Token).
func (s *Service) ListMembers(ctx context.Context, p principal.Principal, org OrgID, group string, page Page) (members []Entity, next string, err error) {
	after, err := keyCursor(page)
	if err != nil {
		return nil, "", s.GateFirst(ctx, org, err)
	}
	err = s.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *Organization) error {
		g, err := s.ResolveTx(ctx, tx, o, group, Narrow{Kind: KindGroup})
		if err != nil {
			return err
		}
		if err := g.living(); err != nil {
			return err
		}
		members, err = queryEntities(ctx, tx, listMembers, g.Key, after, page.limit()+1)
		return err
	})
	members, next = cutPage(members, page, func(e *Entity) string { return keyCursorOf(e.Key) })
	return members, next, err
}

const (
	listGroupsOf = `SELECT e.id, e.name, m.group_name, m.group_key FROM member m JOIN entity e ON e.key = m.group_key AND e.state <> 3
		WHERE m.member = $1 AND (m.group_name, m.group_key) > ($2, $3) ORDER BY m.group_name, m.group_key LIMIT $4`
	listGroupsOfPrefix = `SELECT e.id, e.name, m.group_name, m.group_key FROM member m JOIN entity e ON e.key = m.group_key AND e.state <> 3
		WHERE m.member = $1 AND (m.group_name, m.group_key) > ($2, $3) AND m.group_name >= $5 AND m.group_name < $6
		ORDER BY m.group_name, m.group_key LIMIT $4`
)

// ListGroupsOf lists the groups that an entity is a direct member of, by name, perhaps only those whose name begins with
// prefix. Faults: NotFound (Entity), State (Entity) for a deleted entity, Invalid (Token).
func (s *Service) ListGroupsOf(ctx context.Context, p principal.Principal, org OrgID, ident, prefix string, page Page) (groups []GroupRef, next string, err error) {
	after, err := textCursor(page)
	if err != nil {
		return nil, "", s.GateFirst(ctx, org, err)
	}
	if err := checkText("the name prefix", prefix, textLimit); err != nil {
		return nil, "", s.GateFirst(ctx, org, err)
	}
	var cursors []string
	err = s.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *Organization) error {
		e, err := s.ResolveTx(ctx, tx, o, ident, Narrow{})
		if err != nil {
			return err
		}
		if err := e.living(); err != nil {
			return err
		}
		query, args := listGroupsOf, []any{e.Key, after.text, after.key, page.limit() + 1}
		if prefix != "" {
			from, to := prefixRange(prefix)
			query, args = listGroupsOfPrefix, append(args, from, to)
		}
		groups, cursors = nil, nil
		err = tx.Each(ctx, func(row db.Row) error {
			var (
				g  GroupRef
				at position
			)
			if err := row.Scan(&g.ID, &g.Name, &at.text, &at.key); err != nil {
				return err
			}
			groups, cursors = append(groups, g), append(cursors, at.String())
			return nil
		}, query, args...)
		if err != nil {
			return fmt.Errorf("list groups of %s: %w", e.ID, err)
		}
		return nil
	})
	if len(groups) > page.limit() {
		groups, next = groups[:page.limit()], cursors[page.limit()-1]
	}
	return groups, next, err
}
