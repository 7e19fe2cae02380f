package job

const (
	// A job that waits keeps the earlier time. One that runs, and was not enqueued again since, takes the new one: the old
	// time is that of the attempt that runs.
	enqueueSQL = `INSERT INTO job (id, kind, "key", payload, due, lease, token, generation, claimed, attempts, error, share)
		VALUES ($1, $2, $3, $4, $5, 0, 0, 1, 0, 0, '', $6)
		ON CONFLICT (kind, "key") DO UPDATE SET payload = excluded.payload, generation = job.generation + 1,
			due = CASE WHEN job.lease <> 0 AND job.generation = job.claimed OR excluded.due < job.due THEN excluded.due ELSE job.due END`

	cancelSQL = `DELETE FROM job WHERE kind = $1 AND "key" = $2`

	saveSQL = `UPDATE job SET progress = $3 WHERE id = $1 AND token = $2`

	claimSQL = `UPDATE job SET lease = $2, token = $3, claimed = generation WHERE id = $1
		RETURNING kind, "key", payload, progress, due, attempts, claimed`

	renewSQL = `UPDATE job SET lease = $3 WHERE id = $1 AND token = $2`

	// finishSQL removes a job that was not enqueued again while it ran.
	finishSQL = `DELETE FROM job WHERE id = $1 AND token = $2 AND generation = $3`

	// rerunSQL frees a job that succeeded but was enqueued again meanwhile: a fresh start.
	rerunSQL = `UPDATE job SET lease = 0, token = 0, attempts = 0, error = '', progress = NULL WHERE id = $1 AND token = $2`

	// failSQL frees a job for its next attempt, no later than a new enqueueing asked for.
	failSQL = `UPDATE job SET lease = 0, token = 0, attempts = attempts + 1, error = $4,
			due = CASE WHEN generation <> claimed AND due < $3 THEN due ELSE $3 END
		WHERE id = $1 AND token = $2`

	// releaseSQL frees a job whose runner stops: that is no failure.
	releaseSQL = `UPDATE job SET lease = 0, token = 0 WHERE id = $1 AND token = $2`

	existsSQL = `SELECT COUNT(*) FROM job WHERE kind = $1 AND "key" = $2`

	countSQL = `SELECT COUNT(*) FROM job WHERE kind = $1`

	ofShareSQL = `SELECT COUNT(*) FROM (SELECT 1 FROM job WHERE kind = $1 AND share = $2 AND share <> '' LIMIT $3) AS counted`

	pendingSQL = `SELECT id, kind, "key", due, lease, attempts, error FROM job WHERE id > $1 ORDER BY id LIMIT $2`
)
