package export

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions from 8000.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 8000, Name: "mailbox exports", SQL: tables}}
}

// entity and mailbox are the numbers of directory and mailbox. work says how far a running job came (type work) and folders what
// folders it goes through, both as JSON. A chunk is what one checkpoint added: the zip's directory and the manifest of those
// messages, packed, and their ids and counts. Chunks and parts are kept until the job has ended.
const tables = `
CREATE TABLE export_job (
  key {{.RowID}} NOT NULL PRIMARY KEY,
  organization BIGINT NOT NULL,
  id TEXT {{.CollateC}} NOT NULL,
  entity BIGINT NOT NULL,
  entity_id TEXT NOT NULL,
  mailbox BIGINT NOT NULL,
  description TEXT NOT NULL,
  role TEXT NOT NULL,
  kms_key TEXT NOT NULL,
  bucket TEXT NOT NULL,
  prefix TEXT NOT NULL,
  path TEXT NOT NULL,
  state BIGINT NOT NULL,
  progress BIGINT NOT NULL,
  error TEXT NOT NULL,
  started BIGINT NOT NULL,
  ended BIGINT NOT NULL,
  upload TEXT NOT NULL,
  work {{.Blob}} NOT NULL,
  folders {{.Blob}} NOT NULL
);
CREATE UNIQUE INDEX export_job_id ON export_job (organization, id);
CREATE INDEX export_job_started ON export_job (organization, started);
CREATE TABLE export_chunk (
  export BIGINT NOT NULL,
  n BIGINT NOT NULL,
  directory {{.Blob}} NOT NULL,
  manifest {{.Blob}} NOT NULL,
  items {{.Blob}} NOT NULL,
  PRIMARY KEY (export, n)
);
CREATE TABLE export_part (
  export BIGINT NOT NULL,
  part BIGINT NOT NULL,
  etag TEXT NOT NULL,
  PRIMARY KEY (export, part)
) {{.WithoutRowID}};
`
