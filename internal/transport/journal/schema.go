package journal

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions 5790 to 5809.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 5790, Name: "journaling rules", SQL: tables}}
}

// Addresses are as they were given. The sender is the address that reports are from.
const tables = `
CREATE TABLE journaling (
  organization BIGINT NOT NULL PRIMARY KEY,
  enabled BIGINT NOT NULL,
  address TEXT NOT NULL,
  report_address TEXT NOT NULL,
  sender TEXT NOT NULL,
  modified BIGINT NOT NULL
);
`
