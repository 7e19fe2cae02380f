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
`}}
}
