package directory

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the steps that make and change the package's tables.
func Migrations() []db.Migration {
	return []db.Migration{
		{Version: 1000, Name: "organizations", SQL: organizationTables},
		{Version: 1001, Name: "entities", SQL: entityTables},
		{Version: 1002, Name: "addresses and domains", SQL: addressTables},
		{Version: 1003, Name: "one index for three lists of entities", SQL: entityByState},
		{Version: 1004, Name: "mirrors of external directories", SQL: mirrorTables},
		{Version: 1005, Name: "primary groups of external directories", SQL: primaryGroups},
	}
}

// A single key is INTEGER on SQLite (where WithoutRowID is not empty), because only that word makes it the row's own number and
// spares an index; the values are 64 bits wide all the same.
//
// An organisation's row is never removed. alias_key and directory_key are the folded alias and the directory's id while
// they are taken, and NULL when the organisation is deleted, which frees them: unique indexes pass over NULL.
const organizationTables = `
CREATE TABLE organization (
  key {{.RowID}} NOT NULL PRIMARY KEY,
  id TEXT {{.CollateC}} NOT NULL UNIQUE,
  alias TEXT NOT NULL,
  alias_key TEXT {{.CollateC}} UNIQUE,
  state TEXT NOT NULL,
  error TEXT NOT NULL,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  directory_id TEXT NOT NULL,
  directory_key TEXT {{.CollateC}} UNIQUE,
  directory_type TEXT NOT NULL,
  default_domain TEXT NOT NULL,
  key_arn TEXT NOT NULL,
  migration_admin TEXT NOT NULL,
  interoperability BOOLEAN NOT NULL,
  created BIGINT NOT NULL,
  completed BIGINT NOT NULL,
  deleted BIGINT NOT NULL
);
CREATE TABLE organization_tag (
  organization BIGINT NOT NULL,
  tag TEXT {{.CollateC}} NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (organization, tag)
) {{.WithoutRowID}};
CREATE TABLE idempotency_token (
  scope TEXT {{.CollateC}} NOT NULL,
  token TEXT {{.CollateC}} NOT NULL,
  input {{.Blob}} NOT NULL,
  answer TEXT NOT NULL,
  expires BIGINT NOT NULL,
  PRIMARY KEY (scope, token)
) {{.WithoutRowID}};
CREATE INDEX idempotency_token_expires ON idempotency_token (expires);
`

// One row per user, group and resource. Kind and state are those of entity.go. name_key is the folded name; it is unique
// among the living of an organisation, and leads the index so that a bare sign-in name is found without its organisation.
// display_key and provider_user are NULL where there is nothing to find.
//
// The indexes serve the lists, each ending in what the list is ordered by. entityByState replaces two of them.
const entityTables = `
CREATE TABLE entity (
  key {{.RowID}} NOT NULL PRIMARY KEY,
  organization BIGINT NOT NULL,
  id TEXT {{.CollateC}} NOT NULL,
  kind BIGINT NOT NULL,
  state BIGINT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT {{.CollateC}} NOT NULL,
  email TEXT NOT NULL DEFAULT '',
  hidden BOOLEAN NOT NULL,
  mailbox BIGINT NOT NULL DEFAULT 0,
  role BIGINT NOT NULL DEFAULT 0,
  display_name TEXT NOT NULL DEFAULT '',
  display_key TEXT {{.CollateC}},
  provider_user TEXT {{.CollateC}},
  provider_store TEXT NOT NULL DEFAULT '',
  created BIGINT NOT NULL,
  enabled BIGINT NOT NULL DEFAULT 0,
  disabled BIGINT NOT NULL DEFAULT 0,
  deleted BIGINT NOT NULL DEFAULT 0,
  mailbox_provisioned BIGINT NOT NULL DEFAULT 0,
  mailbox_deprovisioned BIGINT NOT NULL DEFAULT 0,
  change BIGINT NOT NULL DEFAULT 0,
  first_name TEXT NOT NULL DEFAULT '',
  last_name TEXT NOT NULL DEFAULT '',
  initials TEXT NOT NULL DEFAULT '',
  telephone TEXT NOT NULL DEFAULT '',
  street TEXT NOT NULL DEFAULT '',
  job_title TEXT NOT NULL DEFAULT '',
  city TEXT NOT NULL DEFAULT '',
  company TEXT NOT NULL DEFAULT '',
  zip_code TEXT NOT NULL DEFAULT '',
  department TEXT NOT NULL DEFAULT '',
  country TEXT NOT NULL DEFAULT '',
  office TEXT NOT NULL DEFAULT '',
  resource_type BIGINT NOT NULL DEFAULT 0,
  description TEXT NOT NULL DEFAULT '',
  auto_accept BOOLEAN NOT NULL DEFAULT FALSE,
  auto_decline_recurring BOOLEAN NOT NULL DEFAULT FALSE,
  auto_decline_conflicting BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE UNIQUE INDEX entity_id ON entity (organization, id);
CREATE UNIQUE INDEX entity_name ON entity (name_key, organization) WHERE state <> 3;
CREATE INDEX entity_list ON entity (organization, kind, state, key);
CREATE INDEX entity_by_name ON entity (organization, kind, name_key, key);
CREATE INDEX entity_by_display ON entity (organization, kind, display_key, key) WHERE display_key IS NOT NULL;
CREATE INDEX entity_by_provider ON entity (organization, kind, provider_user, key) WHERE provider_user IS NOT NULL;
CREATE TABLE password (
  entity {{.RowID}} NOT NULL PRIMARY KEY,
  secret TEXT NOT NULL,
  changed BIGINT NOT NULL
);
CREATE TABLE member (
  group_key BIGINT NOT NULL,
  member BIGINT NOT NULL,
  group_name TEXT {{.CollateC}} NOT NULL,
  PRIMARY KEY (group_key, member)
) {{.WithoutRowID}};
CREATE INDEX member_of ON member (member, group_name, group_key);
CREATE TABLE delegate (
  resource BIGINT NOT NULL,
  delegate BIGINT NOT NULL,
  PRIMARY KEY (resource, delegate)
) {{.WithoutRowID}};
CREATE INDEX delegate_of ON delegate (delegate, resource);
`

// entityByState serves the list of a state, and, merging the three states, those of all and of a prefix of names: every index
// is one more page to write for each user made.
const entityByState = `
DROP INDEX entity_list;
DROP INDEX entity_by_name;
CREATE INDEX entity_by_state ON entity (organization, kind, state, name_key, key);
`

// address holds one row per address of a living, enabled entity. address_key is folded; primary_key is the same
// for the entity's primary address and NULL for its aliases, so that an index of the former alone serves the lists. remembered_address keeps what an
// entity had when it was disabled, so that enabling it again brings its aliases back where they are still free.
//
// A domain may be pending in many organisations; the unique index lets one of them prove it.
const addressTables = `
CREATE TABLE address (
  organization BIGINT NOT NULL,
  address_key TEXT {{.CollateC}} NOT NULL,
  address TEXT NOT NULL,
  domain TEXT {{.CollateC}} NOT NULL,
  entity BIGINT NOT NULL,
  kind BIGINT NOT NULL,
  primary_key TEXT {{.CollateC}},
  PRIMARY KEY (organization, address_key)
) {{.WithoutRowID}};
CREATE INDEX address_entity ON address (entity, address_key);
CREATE INDEX address_domain ON address (organization, domain);
CREATE INDEX address_primary ON address (organization, kind, primary_key, entity) WHERE primary_key IS NOT NULL;
CREATE TABLE remembered_address (
  entity BIGINT NOT NULL,
  address_key TEXT {{.CollateC}} NOT NULL,
  address TEXT NOT NULL,
  until BIGINT NOT NULL,
  PRIMARY KEY (entity, address_key)
) {{.WithoutRowID}};
CREATE TABLE domain (
  organization BIGINT NOT NULL,
  name TEXT {{.CollateC}} NOT NULL,
  status BIGINT NOT NULL,
  is_test BOOLEAN NOT NULL,
  token TEXT NOT NULL,
  vouched BOOLEAN NOT NULL,
  created BIGINT NOT NULL,
  verified BIGINT NOT NULL,
  checked BIGINT NOT NULL,
  proof_seen BIGINT NOT NULL,
  PRIMARY KEY (organization, name)
) {{.WithoutRowID}};
CREATE UNIQUE INDEX domain_verified ON domain (name) WHERE status = 1;
`
