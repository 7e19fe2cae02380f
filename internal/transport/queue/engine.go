package queue

import "github.com/pennypost/pennypost/internal/db"

// What differs between the engines.

// selectDueLane finds a destination's row that will be looked at in time. On PostgreSQL the row is kept from being changed or
// removed until the transaction ends; those who enqueue for the same destination don't wait for each other.
func selectDueLane(e db.Engine) string {
	if e == db.PostgreSQL {
		return selectDueLaneSQL + " FOR SHARE"
	}
	return selectDueLaneSQL
}
