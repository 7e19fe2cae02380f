package tlsrpt

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions from 5250.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 5250, Name: "TLS sessions and reports", SQL: tables}}
}

// tls_session counts sessions of a day (since 1970, UTC) that are alike: policy is a policyJSON, failure a failureJSON or empty for
// successes, and hash is of both. tls_report is a report that was built: gzipped, until all who are to have it do. rua are the
// addresses who do not have it yet, one a line.
const tables = `
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
