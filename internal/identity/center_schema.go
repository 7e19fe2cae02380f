package identity

// The Identity Center's tables. instance and arn are ARNs; a provider's organisation, a token's organisation and entity are
// directory's keys. scopes is a JSON list. Times are microseconds since 1970; expires and used are NULL for never.
const centerTables = `
CREATE TABLE identity_application (
	arn      TEXT {{.CollateC}} PRIMARY KEY,
	instance TEXT NOT NULL,
	name     TEXT NOT NULL,
	created  BIGINT NOT NULL
) {{.WithoutRowID}};
CREATE TABLE identity_provider (
	organization {{.RowID}} NOT NULL PRIMARY KEY,
	application  TEXT {{.CollateC}} NOT NULL,
	instance     TEXT NOT NULL,
	provider_only BOOLEAN NOT NULL,
	tokens_active BOOLEAN NOT NULL,
	lifetime_days BIGINT NOT NULL
);
CREATE INDEX identity_provider_application ON identity_provider (application);
CREATE TABLE personal_access_token (
	id           TEXT {{.CollateC}} PRIMARY KEY,
	organization BIGINT NOT NULL,
	entity       BIGINT NOT NULL,
	name         TEXT NOT NULL,
	scopes       TEXT NOT NULL,
	mac          {{.Blob}} NOT NULL,
	created      BIGINT NOT NULL,
	expires      BIGINT,
	used         BIGINT
) {{.WithoutRowID}};
CREATE INDEX personal_access_token_organization ON personal_access_token (organization, id);
CREATE INDEX personal_access_token_entity ON personal_access_token (entity, id);
`
