package audit

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the steps that make and change the package's tables.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 7000, Name: "audit record", SQL: recordTable}}
}

// The table is clustered by time, so that appending touches its end and retention cuts its beginning.
const recordTable = `
CREATE TABLE audit_record (
  time BIGINT NOT NULL,
  key BIGINT NOT NULL,
  organization TEXT {{.CollateC}} NOT NULL,
  operation TEXT NOT NULL,
  subject TEXT NOT NULL,
  outcome TEXT NOT NULL,
  detail TEXT NOT NULL,
  actor_kind BIGINT NOT NULL,
  actor_id TEXT NOT NULL,
  actor_name TEXT NOT NULL,
  protocol TEXT NOT NULL,
  address TEXT NOT NULL,
  request TEXT NOT NULL,
  PRIMARY KEY (time, key)
) {{.WithoutRowID}};
CREATE INDEX audit_record_organization ON audit_record (organization, time, key);
`
