package audit

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the steps that make and change the package's tables.
func Migrations() []db.Migration {
	return []db.Migration{
		{Version: 7000, Name: "audit record", SQL: recordTable},
		{Version: 7001, Name: "audit records by organization", SQL: recordByOrganization},
		{Version: 7010, Name: "outbox of log groups", SQL: outboxTable},
	}
}

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

// The table is clustered by organisation and time: an organisation's trail is one range, appending touches its end, retention
// cuts its beginning, and there is no index to write beside it.
const recordByOrganization = `
DROP INDEX audit_record_organization;
ALTER TABLE audit_record RENAME TO audit_record_by_time;
CREATE TABLE audit_record (
  organization TEXT {{.CollateC}} NOT NULL,
  time BIGINT NOT NULL,
  key BIGINT NOT NULL,
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
  PRIMARY KEY (organization, time, key)
) {{.WithoutRowID}};
INSERT INTO audit_record (organization, time, key, operation, subject, outcome, detail, actor_kind, actor_id, actor_name,
  protocol, address, request)
  SELECT organization, time, key, operation, subject, outcome, detail, actor_kind, actor_id, actor_name,
  protocol, address, request FROM audit_record_by_time;
DROP TABLE audit_record_by_time;
`

// log_outbox holds records until their log group has them, in the order of their keys. body is a JSON object a line, size its
// bytes, records its lines.
const outboxTable = `
CREATE TABLE log_outbox (
  log_group TEXT {{.CollateC}} NOT NULL,
  key BIGINT NOT NULL,
  time BIGINT NOT NULL,
  organization TEXT NOT NULL,
  stream TEXT NOT NULL,
  records BIGINT NOT NULL,
  size BIGINT NOT NULL,
  body {{.Blob}} NOT NULL,
  PRIMARY KEY (log_group, key)
) {{.WithoutRowID}};
`
