package route

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions from 5200.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 5200, Name: "policies of MTA-STS", SQL: policyTable}}
}

// One row for each domain whose policy was asked for: the policy as it was served, empty where there was none to be had yet. Times
// are in microseconds. tried is the last attempt to fetch it, due the next one that nobody has to ask for; used is the last day on
// which mail went there.
const policyTable = `
CREATE TABLE mta_sts_policy (
  domain TEXT {{.CollateC}} NOT NULL PRIMARY KEY,
  id TEXT NOT NULL,
  body TEXT NOT NULL,
  expires BIGINT NOT NULL,
  tried BIGINT NOT NULL,
  due BIGINT NOT NULL,
  used BIGINT NOT NULL
);
CREATE INDEX mta_sts_policy_due ON mta_sts_policy (due);
CREATE INDEX mta_sts_policy_expires ON mta_sts_policy (expires);
`
