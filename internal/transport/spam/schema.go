package spam

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions from 5500.
func Migrations() []db.Migration {
	return []db.Migration{
		{Version: 5500, Name: "what users call spam", SQL: tables},
		{Version: 5501, Name: "what import brings is not told to rspamd", SQL: brought},
	}
}

// spam_corpus has how many messages a mailbox's tokens are of. spam_token.seen is the day (since 1970, UTC) of the last message that had
// the token. spam_pending is what waits for the job: where the message was at the mailbox's number since, and stamp tells a newer wish from that which the job read; day is when it was made. spam_trained is what a
// message is counted as (a class), and spam_sender the counts of a sender, which grow in weight: see weight.
const tables = `
CREATE TABLE spam_corpus (
  mailbox BIGINT NOT NULL PRIMARY KEY,
  spam BIGINT NOT NULL,
  ham BIGINT NOT NULL
) {{.WithoutRowID}};
CREATE TABLE spam_token (
  mailbox BIGINT NOT NULL,
  token BIGINT NOT NULL,
  spam BIGINT NOT NULL,
  ham BIGINT NOT NULL,
  seen BIGINT NOT NULL,
  PRIMARY KEY (mailbox, token)
) {{.WithoutRowID}};
CREATE TABLE spam_pending (
  mailbox BIGINT NOT NULL,
  email BIGINT NOT NULL,
  org BIGINT NOT NULL,
  folder BIGINT NOT NULL,
  uid BIGINT NOT NULL,
  class BIGINT NOT NULL,
  since BIGINT NOT NULL,
  stamp BIGINT NOT NULL,
  day BIGINT NOT NULL,
  counted BOOLEAN NOT NULL,
  PRIMARY KEY (mailbox, email)
) {{.WithoutRowID}};
CREATE TABLE spam_trained (
  mailbox BIGINT NOT NULL,
  email BIGINT NOT NULL,
  org BIGINT NOT NULL,
  sender TEXT {{.CollateC}} NOT NULL,
  class BIGINT NOT NULL,
  version BIGINT NOT NULL,
  day BIGINT NOT NULL,
  PRIMARY KEY (mailbox, email)
) {{.WithoutRowID}};
CREATE INDEX spam_trained_sender ON spam_trained (org, sender, mailbox) WHERE class = 1;
CREATE TABLE spam_sender (
  org BIGINT NOT NULL,
  sender TEXT {{.CollateC}} NOT NULL,
  delivered DOUBLE PRECISION NOT NULL,
  junk DOUBLE PRECISION NOT NULL,
  good DOUBLE PRECISION NOT NULL,
  reporters BIGINT NOT NULL,
  PRIMARY KEY (org, sender)
) {{.WithoutRowID}};
`

// spam_pending.brought is what mailbox.Filed.Brought was.
const brought = `ALTER TABLE spam_pending ADD COLUMN brought BOOLEAN NOT NULL DEFAULT FALSE;`
