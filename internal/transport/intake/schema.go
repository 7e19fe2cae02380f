package intake

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions from 5410.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 5410, Name: "reports from others", SQL: tables}}
}

// mail_report is a report on a domain of an organisation: kind is a place in kinds, hash of who reports and the report's own id, so that it is
// kept once. begins and ends are seconds since 1970, received microseconds. body is a stored, packed by gzip.
const tables = `
CREATE TABLE mail_report (
  id BIGINT PRIMARY KEY,
  organization BIGINT NOT NULL,
  domain TEXT {{.CollateC}} NOT NULL,
  kind BIGINT NOT NULL,
  hash TEXT {{.CollateC}} NOT NULL,
  reporter TEXT NOT NULL,
  report TEXT NOT NULL,
  contact TEXT NOT NULL,
  sender TEXT NOT NULL,
  begins BIGINT NOT NULL,
  ends BIGINT NOT NULL,
  received BIGINT NOT NULL,
  total BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  size BIGINT NOT NULL,
  body {{.Blob}} NOT NULL
);
CREATE UNIQUE INDEX mail_report_once ON mail_report (organization, hash);
CREATE INDEX mail_report_list ON mail_report (organization, id);
CREATE INDEX mail_report_domain ON mail_report (organization, domain, id);
CREATE INDEX mail_report_day ON mail_report (organization, domain, received, size);
CREATE INDEX mail_report_age ON mail_report (received);
`
