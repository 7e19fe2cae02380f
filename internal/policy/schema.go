package policy

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the steps that make and change the package's tables.
func Migrations() []db.Migration {
	return []db.Migration{
		{Version: 2000, Name: "permissions and rules", SQL: tables},
		{Version: 2010, Name: "mobile device access overrides", SQL: mobileOverrides},
		{Version: 2011, Name: "email monitoring", SQL: monitoring},
		{Version: 2030, Name: "impersonation roles", SQL: roleTable},
		{Version: 2020, Name: "retention policies", SQL: retentionTable},
	}
}

// permission holds what a grantee may do on an owner's mailbox; both are directory's keys of entities, rights are the bits
// of Rights. The lists of an access or mobile rule's conditions are kept as JSON: a rule is always read as a whole.
const tables = `
CREATE TABLE permission (
  owner BIGINT NOT NULL,
  grantee BIGINT NOT NULL,
  rights BIGINT NOT NULL,
  PRIMARY KEY (owner, grantee)
) {{.WithoutRowID}};
CREATE INDEX permission_grantee ON permission (grantee, owner);
CREATE TABLE policy_setting (
  organization {{.RowID}} NOT NULL PRIMARY KEY,
  dmarc_enforced BOOLEAN NOT NULL
);
CREATE TABLE access_rule (
  organization BIGINT NOT NULL,
  name TEXT {{.CollateC}} NOT NULL,
  allow BOOLEAN NOT NULL,
  description TEXT NOT NULL,
  conditions TEXT NOT NULL,
  created BIGINT NOT NULL,
  modified BIGINT NOT NULL,
  PRIMARY KEY (organization, name)
) {{.WithoutRowID}};
CREATE TABLE mobile_rule (
  organization BIGINT NOT NULL,
  id TEXT {{.CollateC}} NOT NULL,
  name TEXT NOT NULL,
  allow BOOLEAN NOT NULL,
  description TEXT NOT NULL,
  conditions TEXT NOT NULL,
  created BIGINT NOT NULL,
  modified BIGINT NOT NULL,
  PRIMARY KEY (organization, id)
) {{.WithoutRowID}};
`

// mobile_override holds what a user's device may do whatever the rules say; entity is directory's key of the user. A device's
// id compares without case (device_key) and is shown as it was given last.
const mobileOverrides = `
CREATE TABLE mobile_override (
  entity BIGINT NOT NULL,
  device_key TEXT {{.CollateC}} NOT NULL,
  organization BIGINT NOT NULL,
  device TEXT NOT NULL,
  allow BOOLEAN NOT NULL,
  description TEXT NOT NULL,
  created BIGINT NOT NULL,
  modified BIGINT NOT NULL,
  PRIMARY KEY (entity, device_key)
) {{.WithoutRowID}};
CREATE INDEX mobile_override_organization ON mobile_override (organization, device_key, entity);
`

// monitoring names the log group that is told the events of an organisation's mail.
const monitoring = `
CREATE TABLE monitoring (
  organization {{.RowID}} NOT NULL PRIMARY KEY,
  log_group TEXT NOT NULL,
  role TEXT NOT NULL
);
`

// The rules of a role are JSON, as the conditions of the others are.
const roleTable = `
CREATE TABLE impersonation_role (
  organization BIGINT NOT NULL,
  id TEXT {{.CollateC}} NOT NULL,
  name TEXT NOT NULL,
  read_only BOOLEAN NOT NULL,
  description TEXT NOT NULL,
  rules TEXT NOT NULL,
  created BIGINT NOT NULL,
  modified BIGINT NOT NULL,
  PRIMARY KEY (organization, id)
) {{.WithoutRowID}};
`

// The folders of a retention policy are kept as JSON: it is always read as a whole. version is another one each time it is put.
const retentionTable = `
CREATE TABLE retention_policy (
  organization {{.RowID}} NOT NULL PRIMARY KEY,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  folders TEXT NOT NULL,
  version BIGINT NOT NULL
);
`
