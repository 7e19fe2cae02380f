package directory

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
)

// aboveLimit bounds the groups that one entity is in, directly and through others.
const aboveLimit = 10_000

// expandGroup walks down from group $1 through enabled groups. UNION keeps each member once and ends in a circle too.
const expandGroup = `WITH RECURSIVE inside(key) AS (
	SELECT CAST($1 AS BIGINT)
	UNION
	SELECT m.member FROM inside JOIN entity g ON g.key = inside.key AND g.kind = 2 AND g.state = 1
		JOIN member m ON m.group_key = g.key
	) SELECT ` + prefixedEntityColumns + ` FROM inside JOIN entity e ON e.key = inside.key
	WHERE e.kind = 1 AND e.state = 1 LIMIT $2`

// MembersTx returns the enabled users that a group reaches, directly and through enabled groups in it, each once, in no
// order. complete is false when there are more than limit.
func (s *Service) MembersTx(ctx context.Context, tx *db.Tx, group *Entity, limit int) (users []Entity, complete bool, err error) {
	users, err = queryEntities(ctx, tx, expandGroup, group.Key, limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("expand group %s: %w", group.ID, err)
	}
	if len(users) > limit {
		return users[:limit], false, nil
	}
	return users, true, nil
}

const groupsAbove = `WITH RECURSIVE above(key) AS (
	SELECT m.group_key FROM member m JOIN entity g ON g.key = m.group_key AND g.state <> 3 WHERE m.member = $1
	UNION
	SELECT m.group_key FROM above JOIN member m ON m.member = above.key JOIN entity g ON g.key = m.group_key AND g.state <> 3
	) SELECT key FROM above LIMIT $2`

// GroupsAboveTx returns the keys of the groups that contain an entity, directly and through others, in no order. No more
// than 10,000 are looked at.
func (s *Service) GroupsAboveTx(ctx context.Context, tx *db.Tx, entity int64) ([]int64, error) {
	keys, err := db.All(ctx, tx, db.Value[int64], groupsAbove, entity, aboveLimit)
	if err != nil {
		return nil, fmt.Errorf("find groups of an entity: %w", err)
	}
	return keys, nil
}
