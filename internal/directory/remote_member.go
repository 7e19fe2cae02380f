package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
)

const remoteInside = `WITH RECURSIVE inside(key) AS (
	SELECT CAST($1 AS BIGINT)
	UNION
	SELECT m.member FROM inside JOIN entity g ON g.key = inside.key AND g.kind = 2 AND g.state = 1
		JOIN member m ON m.group_key = g.key
	) SELECT 1 FROM inside JOIN entity e ON e.key = inside.key
	WHERE e.kind = 1 AND e.role = 4 AND e.state <> 3 LIMIT 1`

// HasRemoteMemberTx reports whether a group reaches, as MembersTx does, a user whose mailbox is elsewhere. Such users are
// never enabled, so MembersTx does not name them.
func (s *Service) HasRemoteMemberTx(ctx context.Context, tx *db.Tx, group *Entity) (bool, error) {
	var one int
	err := tx.QueryRow(ctx, remoteInside, group.Key).Scan(&one)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	}
	return false, fmt.Errorf("look for remote members of group %s: %w", group.ID, err)
}
