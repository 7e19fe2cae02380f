package job

import "github.com/pennypost/pennypost/internal/db"

// Migrations are the steps of this package: versions 500 to 999.
func Migrations() []db.Migration {
	return []db.Migration{{Version: 500, Name: "job: the queue", SQL: `
-- lease is the time until which a runner holds the job, 0 while it waits; token names that claim.
-- generation rises with each enqueueing; claimed is the generation that the running handler saw.
CREATE TABLE job (
	id BIGINT NOT NULL PRIMARY KEY,
	kind TEXT NOT NULL,
	"key" TEXT NOT NULL,
	payload {{.Blob}} NOT NULL,
	progress {{.Blob}},
	due BIGINT NOT NULL,
	lease BIGINT NOT NULL,
	token BIGINT NOT NULL,
	generation BIGINT NOT NULL,
	claimed BIGINT NOT NULL,
	attempts BIGINT NOT NULL,
	error TEXT NOT NULL,
	UNIQUE (kind, "key")
) {{.WithoutRowID}};
CREATE INDEX job_start ON job (lease, due);
`}, {Version: 501, Name: "job: found by kind and share", SQL: `
-- share is what stands before the first space of the key, see Runner.PerShare.
ALTER TABLE job ADD COLUMN share TEXT {{.CollateC}} NOT NULL DEFAULT '';
UPDATE job SET share = substr("key", 1, length("key") - length(ltrim("key", replace("key", ' ', '')))) WHERE "key" LIKE '% %';
DROP INDEX job_start;
CREATE INDEX job_kind_start ON job (kind, lease, due, share);
CREATE INDEX job_share ON job (kind, share) WHERE share <> '';
`}}
}
