package script

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions 5750 to 5769.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 5750, Name: "Sieve scripts of mailboxes", SQL: tables}}
}

// Scripts of a mailbox change while its row is held, so that at most one is active. sieve_memory has what runs remember: id is a keyed
// hash, and until when it is in force.
const tables = `
CREATE TABLE sieve_script (
  mailbox BIGINT NOT NULL,
  name TEXT {{.CollateC}} NOT NULL,
  active BOOLEAN NOT NULL,
  size BIGINT NOT NULL,
  modified BIGINT NOT NULL,
  source {{.Blob}} NOT NULL,
  PRIMARY KEY (mailbox, name)
) {{.WithoutRowID}};
CREATE INDEX sieve_script_active ON sieve_script (mailbox) WHERE active;
CREATE TABLE sieve_memory (
  mailbox BIGINT NOT NULL,
  kind BIGINT NOT NULL,
  id {{.Blob}} NOT NULL,
  until BIGINT NOT NULL,
  PRIMARY KEY (mailbox, kind, id)
) {{.WithoutRowID}};
CREATE INDEX sieve_memory_mailbox ON sieve_memory (mailbox, kind, until);
CREATE INDEX sieve_memory_until ON sieve_memory (until);
`
