package flow

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions 5700 to 5749.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 5700, Name: "mail flow rules and SMTP gateways", SQL: tables}}
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
