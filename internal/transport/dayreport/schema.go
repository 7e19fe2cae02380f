package dayreport

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions 5250 and 5400. TLS reports had tables of their own at first.
func Migrations() []db.Migration {
	return []db.Migration{
		{Version: 5250, Name: "TLS sessions and reports", SQL: tlsTables},
		{Version: 5400, Name: "counts of a day and reports, of all kinds", SQL: tables + fromTLS},
	}
}

const tlsTables = `
CREATE TABLE tls_session (
  day BIGINT NOT NULL,
  domain TEXT {{.CollateC}} NOT NULL,
  hash TEXT {{.CollateC}} NOT NULL,
  policy TEXT NOT NULL,
  failure TEXT NOT NULL,
  sessions BIGINT NOT NULL,
  PRIMARY KEY (day, domain, hash)
) {{.WithoutRowID}};
CREATE TABLE tls_report (
  day BIGINT NOT NULL,
  domain TEXT {{.CollateC}} NOT NULL,
  id TEXT NOT NULL,
  rua TEXT NOT NULL,
  body {{.Blob}} NOT NULL,
  PRIMARY KEY (day, domain)
);
`

// day_count counts what is alike on a day (since 1970, UTC): policy and detail are the kind's, hash is of both. Of a row with neither it
// is what was of too many kinds. day_report is a report that was built: packed, until all who are to have it do. rua are those who do not
// have it yet, one a line.
const tables = `
CREATE TABLE day_count (
  kind TEXT {{.CollateC}} NOT NULL,
  day BIGINT NOT NULL,
  domain TEXT {{.CollateC}} NOT NULL,
  hash TEXT {{.CollateC}} NOT NULL,
  policy TEXT NOT NULL,
  detail TEXT NOT NULL,
  amount BIGINT NOT NULL,
  PRIMARY KEY (kind, day, domain, hash)
) {{.WithoutRowID}};
CREATE TABLE day_report (
  kind TEXT {{.CollateC}} NOT NULL,
  day BIGINT NOT NULL,
  domain TEXT {{.CollateC}} NOT NULL,
  id TEXT NOT NULL,
  rua TEXT NOT NULL,
  body {{.Blob}} NOT NULL,
  PRIMARY KEY (kind, day, domain)
);
`

const fromTLS = `
INSERT INTO day_count (kind, day, domain, hash, policy, detail, amount)
  SELECT 'tls', day, domain, hash, policy, failure, sessions FROM tls_session;
INSERT INTO day_report (kind, day, domain, id, rua, body) SELECT 'tls', day, domain, id, rua, body FROM tls_report;
DROP TABLE tls_session;
DROP TABLE tls_report;
`
