package certificate

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions from 5830.
func Migrations() []db.Migration {
	return []db.Migration{
		{Version: 5830, Name: "certificates by ACME", SQL: tables},
		{Version: 5831, Name: "records of dns-01", SQL: records},
		{Version: 5832, Name: "standing of names", SQL: standing},
	}
}

// acme_account are the accounts with CAs, by the URL of the CA's directory: url is the account's, empty until the CA knows its key.
//
// acme_certificate are the names that have certificates or are to have some. directory is the CA that issued chain, PEM; both are empty
// until there is one. sealed is its key, PKCS #8. renew is when it is to be replaced, 0
// for now and with another key, due when there is something to do for the name:
// order, replace, try again, or ask the CA when to replace. attempts counts the failures since the last success, failed and error tell of
// the last of them. Times are in microseconds, 0 for never.
const tables = `
CREATE TABLE acme_account (
  directory TEXT NOT NULL PRIMARY KEY,
  url TEXT NOT NULL,
  email TEXT NOT NULL,
  sealed {{.Blob}} NOT NULL,
  created BIGINT NOT NULL
);
CREATE TABLE acme_certificate (
  name TEXT {{.CollateC}} NOT NULL PRIMARY KEY,
  directory TEXT NOT NULL,
  chain {{.Blob}} NOT NULL,
  sealed {{.Blob}} NOT NULL,
  issued BIGINT NOT NULL,
  not_after BIGINT NOT NULL,
  renew BIGINT NOT NULL,
  due BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  error TEXT NOT NULL
);
`

// acme_record are the TXT records that were written into zones since made, in microseconds, and not removed yet.
const records = `
CREATE TABLE acme_record (
  zone TEXT NOT NULL,
  name TEXT NOT NULL,
  text TEXT NOT NULL,
  made BIGINT NOT NULL,
  PRIMARY KEY (zone, name, text)
);
`

// standing is the Standing of a name.
const standing = `ALTER TABLE acme_certificate ADD COLUMN standing TEXT NOT NULL DEFAULT 'wanted';`
