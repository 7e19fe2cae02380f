package identity

import "github.com/pennypost/pennypost/internal/db"

// Migrations are the tables of this package: administrators' access keys, which root key their secrets are sealed under, the
// Identity Center's, and set-password links.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 3000, Name: "access keys", SQL: `
CREATE TABLE access_key (
	id      TEXT {{.CollateC}} PRIMARY KEY,
	label   TEXT NOT NULL,
	policy  TEXT NOT NULL,
	secret  {{.Blob}} NOT NULL,
	created BIGINT NOT NULL,
	revoked BIGINT
) {{.WithoutRowID}};
CREATE TABLE sealed_under (
	one    BIGINT PRIMARY KEY CHECK (one = 1),
	key_id TEXT NOT NULL
) {{.WithoutRowID}};
`}, {Version: 3010, Name: "identity center and tokens", SQL: centerTables}, {Version: 3020, Name: "set-password links", SQL: linkTable}}
}
