package autoreply

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions 5770 to 5789.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 5770, Name: "automatic replies", SQL: tables}}
}

// auto_reply.stamp is another one with each change, so that whoever was answered before is not known any more; answered is how many were since.
// auto_reply_answered.sender is the hash of an address.
const tables = `
CREATE TABLE auto_reply (
  mailbox BIGINT NOT NULL PRIMARY KEY,
  state TEXT NOT NULL,
  start_at BIGINT NOT NULL,
  end_at BIGINT NOT NULL,
  internal TEXT NOT NULL,
  external TEXT NOT NULL,
  audience TEXT NOT NULL,
  stamp BIGINT NOT NULL,
  answered BIGINT NOT NULL
) {{.WithoutRowID}};
CREATE TABLE auto_reply_answered (
  mailbox BIGINT NOT NULL,
  stamp BIGINT NOT NULL,
  sender BIGINT NOT NULL,
  PRIMARY KEY (mailbox, stamp, sender)
) {{.WithoutRowID}};
`
