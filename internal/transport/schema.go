package transport

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions from 5000.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 5000, Name: "recipients of a day", SQL: sentTable}}
}

// What users sent in a day, one row for each limit that the day's mail touched: see share for scope and subject. The day
// leads the key, so that pruning cuts the table's beginning.
const sentTable = `
CREATE TABLE sent_recipients (
  day BIGINT NOT NULL,
  scope BIGINT NOT NULL,
  subject TEXT {{.CollateC}} NOT NULL,
  recipients BIGINT NOT NULL,
  PRIMARY KEY (day, scope, subject)
) {{.WithoutRowID}};
`
