package availability

import "github.com/pennypost/pennypost/internal/db"

// Migrations are the table of this package: one configuration for a domain in an organisation. Either endpoint, username and
// password are given or function; the password is sealed under the root key.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 9000, Name: "availability configurations", SQL: `
CREATE TABLE availability_configuration (
  organization BIGINT NOT NULL,
  domain TEXT {{.CollateC}} NOT NULL,
  endpoint TEXT NOT NULL,
  username TEXT NOT NULL,
  password {{.Blob}} NOT NULL,
  function TEXT NOT NULL,
  created BIGINT NOT NULL,
  modified BIGINT NOT NULL,
  PRIMARY KEY (organization, domain)
) {{.WithoutRowID}};
`}}
}
