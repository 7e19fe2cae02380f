package signing

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions from 5300.
func Migrations() []db.Migration {
	return []db.Migration{
		{Version: 5300, Name: "DKIM keys", SQL: tables},
		{Version: 5301, Name: "DKIM keys of domains that are there", SQL: existing},
	}
}

// dkim_domain are the domains that have keys, by the key of their organisation, 0 for the server itself. status is a
// directory.DomainStatus. begun is since when the keys wait to be found in DNS, 0 until somebody first looks; checked is the last answer
// of DNS, seen the last that had the current RSA key; 0 for never.
//
// dkim_key are their keys: algorithm and role as in state.go, public as in p= of the record, sealed a PKCS #8 key. since is when the key
// took its role. seen is when DNS last had it, 0 where the last answer had not. Selectors are a domain's own, whosever it is, as several
// organisations may ask for one.
const tables = `
CREATE TABLE dkim_domain (
  organization BIGINT NOT NULL,
  domain TEXT {{.CollateC}} NOT NULL,
  status BIGINT NOT NULL,
  begun BIGINT NOT NULL,
  checked BIGINT NOT NULL,
  seen BIGINT NOT NULL,
  PRIMARY KEY (organization, domain)
) {{.WithoutRowID}};
CREATE TABLE dkim_key (
  organization BIGINT NOT NULL,
  domain TEXT {{.CollateC}} NOT NULL,
  selector TEXT {{.CollateC}} NOT NULL,
  algorithm BIGINT NOT NULL,
  role BIGINT NOT NULL,
  public TEXT NOT NULL,
  sealed {{.Blob}} NOT NULL,
  created BIGINT NOT NULL,
  since BIGINT NOT NULL,
  seen BIGINT NOT NULL,
  PRIMARY KEY (domain, selector)
) {{.WithoutRowID}};
CREATE UNIQUE INDEX dkim_key_role ON dkim_key (organization, domain, algorithm, role);
CREATE INDEX dkim_key_unseen ON dkim_key (role) WHERE seen = 0;
`

// existing makes keys for the domains of a store that an earlier version wrote. The numbers of the jobs lie far below those that the
// server gives.
const existing = `
INSERT INTO dkim_domain (organization, domain, status, begun, checked, seen)
  SELECT organization, name, 0, 0, 0, 0 FROM domain WHERE NOT is_test;
INSERT INTO job (id, kind, "key", payload, due, lease, token, generation, claimed, attempts, error)
  SELECT 5301000000 + ROW_NUMBER() OVER (ORDER BY organization, name), 'dkim-keys', CAST(organization AS TEXT) || '/' || name,
    CAST('null' AS {{.Blob}}), 0, 0, 0, 1, 0, 0, '' FROM domain WHERE NOT is_test;
`
