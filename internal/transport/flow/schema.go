package flow

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions 5700 to 5749.
func Migrations() []db.Migration {
	return []db.Migration{
		{Version: 5700, Name: "mail flow rules and SMTP gateways", SQL: tables},
		{Version: 5710, Name: "messages that functions are told of", SQL: contentTables},
	}
}

// The function, its fallback and its timeout in minutes are of RunLambda. The keys of names are the names without case. Patterns stand one on a line; counts are theirs. The password is sealed under the root
// key; revision is another one whenever something about a gateway changes, so that no connection to what it was is used again.
const tables = `
CREATE TABLE flow_rule (
  organization BIGINT NOT NULL,
  direction BIGINT NOT NULL,
  name_key TEXT {{.CollateC}} NOT NULL,
  name TEXT NOT NULL,
  action TEXT NOT NULL,
  gateway_key TEXT {{.CollateC}} NOT NULL,
  function TEXT NOT NULL,
  synchronous BIGINT NOT NULL,
  timeout BIGINT NOT NULL,
  fallback TEXT NOT NULL,
  senders TEXT NOT NULL,
  recipients TEXT NOT NULL,
  sender_count BIGINT NOT NULL,
  recipient_count BIGINT NOT NULL,
  created BIGINT NOT NULL,
  modified BIGINT NOT NULL,
  PRIMARY KEY (organization, direction, name_key)
) {{.WithoutRowID}};

CREATE TABLE flow_gateway (
  organization BIGINT NOT NULL,
  name_key TEXT {{.CollateC}} NOT NULL,
  name TEXT NOT NULL,
  host TEXT NOT NULL,
  port BIGINT NOT NULL,
  username TEXT NOT NULL,
  password {{.Blob}} NOT NULL,
  revision BIGINT NOT NULL,
  created BIGINT NOT NULL,
  modified BIGINT NOT NULL,
  PRIMARY KEY (organization, name_key)
) {{.WithoutRowID}};
`

// A content is in data, or in Blobs where there is a ref. waits is 1 while a synchronous function decides on it, which has no end (until). The
// index of organisations has all that says how much they have, and what of it is the oldest. Marks name bytes in Blobs that no row names,
// since when that is so.
const contentTables = `
CREATE TABLE flow_content (
  message_id TEXT {{.CollateC}} NOT NULL PRIMARY KEY,
  organization BIGINT NOT NULL,
  direction BIGINT NOT NULL,
  arrived BIGINT NOT NULL,
  until BIGINT NOT NULL,
  waits BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  own BIGINT NOT NULL,
  size BIGINT NOT NULL,
  ref TEXT {{.CollateC}} NOT NULL,
  data {{.Blob}} NOT NULL
);
CREATE INDEX flow_content_until ON flow_content (until);
CREATE INDEX flow_content_organization ON flow_content (organization, waits, until, size);
CREATE INDEX flow_content_ref ON flow_content (message_id) WHERE ref <> '';

CREATE TABLE flow_content_mark (
  ref TEXT {{.CollateC}} NOT NULL PRIMARY KEY,
  since BIGINT NOT NULL
) {{.WithoutRowID}};
CREATE INDEX flow_content_mark_since ON flow_content_mark (since, ref);
`
