package gate

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions from 5600.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 5600, Name: "greylist", SQL: tables}}
}

// Times are in microseconds. greylist_waiting is one row for each triplet that was put off: a hash of the client's neighbours, the
// reverse-path and the recipient; first is when. greylist_known are those whom nothing is asked of any more: a network, or a domain that
// mail came from which SPF proved; seen is when they were last seen, to a day.
const tables = `
CREATE TABLE greylist_waiting (
  triplet TEXT {{.CollateC}} NOT NULL PRIMARY KEY,
  first BIGINT NOT NULL
) {{.WithoutRowID}};
CREATE INDEX greylist_waiting_first ON greylist_waiting (first);
CREATE TABLE greylist_known (
  name TEXT {{.CollateC}} NOT NULL PRIMARY KEY,
  seen BIGINT NOT NULL
) {{.WithoutRowID}};
CREATE INDEX greylist_known_seen ON greylist_known (seen);
`
