package queue

// The statements, by what they serve. plan_test.go holds that each finds its rows by an index.

// Storing.
const (
	insertMessage = `INSERT INTO queue_message (id, org, trace, sender, envid, ret, needs, about, queued, size, ref, pending)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

	insertBody = `INSERT INTO queue_body (message, data) VALUES ($1, $2)`

	insertDelivery = `INSERT INTO queue_delivery (id, message, destination, state, due, alarm, expires, attempts, tried, recipient, original, notify,
		status, reply, host, tls) VALUES ($1, $2, $3, 0, $4, $5, $6, 0, 0, $7, $8, $9, '', '', '', '')`

	selectDueLaneSQL = `SELECT id FROM queue_destination WHERE route = $1 AND domain = $2 AND org = $3
		AND due <= CASE WHEN not_before > $4 THEN not_before ELSE $4 END`

	selectFailingLane = `SELECT not_before, failures, status, reply, host FROM queue_destination WHERE route = $1 AND domain = $2
		AND failures > 0 LIMIT 1`

	upsertLane = `INSERT INTO queue_destination (id, route, domain, org, due, not_before, failures, status, reply, host)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (route, domain, org) DO UPDATE
		SET due = CASE WHEN queue_destination.not_before > $11 THEN queue_destination.not_before ELSE $11 END RETURNING id`

	insertUpload  = `INSERT INTO queue_upload (life, ref) VALUES ($1, $2)`
	disownUpload  = `UPDATE queue_upload SET life = 0 WHERE life = $1 AND ref = $2`
	disownUploads = `UPDATE queue_upload SET life = 0 WHERE life <> $1 AND life <> 0`
	deleteUpload  = `DELETE FROM queue_upload WHERE life = $1 AND ref = $2`
	selectGarbage = `SELECT ref FROM queue_upload WHERE life = 0 ORDER BY ref LIMIT $1`
	selectBody    = `SELECT data FROM queue_body WHERE message = $1`
)

// What organisations have here.
const (
	selectUsage = `SELECT CAST(COALESCE(SUM(messages), 0) AS BIGINT), CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM queue_usage WHERE org = $1`

	addUsage = `INSERT INTO queue_usage (org, part, messages, bytes) VALUES ($1, $2, 1, $3) ON CONFLICT (org, part) DO UPDATE
		SET messages = queue_usage.messages + 1, bytes = queue_usage.bytes + excluded.bytes`

	takeUsage = `UPDATE queue_usage SET messages = messages - 1, bytes = bytes - $3 WHERE org = $1 AND part = $2`
)

// Lives that ended in a crash.
const (
	selectLife = `SELECT life, clean FROM queue_life WHERE one = 1`
	upsertLife = `INSERT INTO queue_life (one, life, clean) VALUES (1, $1, 0) ON CONFLICT (one) DO UPDATE SET life = excluded.life, clean = 0`
	endLife    = `UPDATE queue_life SET clean = 1 WHERE life = $1`

	insertAttempt = `INSERT INTO queue_attempt (message, destination, life, crashes) VALUES ($1, $2, $3, 0)
		ON CONFLICT (message, destination) DO UPDATE SET life = excluded.life`
	deleteAttempt  = `DELETE FROM queue_attempt WHERE message = $1 AND destination = $2`
	countCrashes   = `UPDATE queue_attempt SET crashes = crashes + 1 WHERE life = $1`
	forgetAttempts = `DELETE FROM queue_attempt WHERE crashes = 0
		OR NOT EXISTS (SELECT 1 FROM queue_delivery d WHERE d.message = queue_attempt.message AND d.destination = queue_attempt.destination)`
	selectSuspects = `SELECT message, destination, life, crashes FROM queue_attempt ORDER BY message, destination`
	selectOfRun    = `SELECT id FROM queue_delivery WHERE message = $1 AND destination = $2 AND state + 0 = 0 ORDER BY id`
	putOffRun      = `UPDATE queue_delivery SET due = $3 WHERE message = $1 AND destination + 0 = $2 AND state + 0 = 0`
	blame          = `UPDATE queue_delivery SET status = $2, reply = $3, attempts = attempts + 1 WHERE id = $1`
)

// Choosing what to attempt.
const (
	isUp, isDown = `failures = 0`, `failures > 0`

	// selectTurns steps from organisation to organisation by the index, to those that have a destination which is due.
	turnsA = `WITH RECURSIVE turn (org) AS (
			SELECT MIN(org) FROM queue_destination WHERE org > $1 AND `
	turnsB = `
			UNION ALL
			SELECT (SELECT MIN(d.org) FROM queue_destination d WHERE d.org > turn.org AND `
	turnsC = `) FROM turn WHERE turn.org IS NOT NULL
		)
		SELECT org FROM turn WHERE org IS NOT NULL AND (SELECT MIN(d.due) FROM queue_destination d WHERE d.org = turn.org AND `
	turnsD = `) <= $2 LIMIT $3`

	selectTurns     = turnsA + isUp + turnsB + isUp + turnsC + isUp + turnsD
	selectTurnsDown = turnsA + isDown + turnsB + isDown + turnsC + isDown + turnsD

	dueLanesA = `SELECT id, route, domain, failures FROM queue_destination WHERE org = $1 AND due <= $2 AND `
	dueLanesB = ` ORDER BY due, id LIMIT $3`

	selectDueLanes     = dueLanesA + isUp + dueLanesB
	selectDueLanesDown = dueLanesA + isDown + dueLanesB

	selectReady = `SELECT message FROM queue_delivery WHERE destination = $1 AND state = 0 AND due <= $2
		GROUP BY due, message ORDER BY due, message LIMIT $3`

	selectNextLook = `SELECT MIN(due) FROM queue_destination WHERE due > $1`
)

// Attempting, and what comes of it.
const (
	selectMessage = `SELECT org, trace, sender, envid, ret, needs, about, queued, size, ref FROM queue_message WHERE id = $1`

	selectNotBefore = `SELECT not_before FROM queue_destination WHERE id = $1`

	// selectClaim adds to state and due so that SQLite does not take the index on them, by which it would read all that is due there.
	selectClaim = `SELECT id, recipient, original, notify, attempts, alarm, expires FROM queue_delivery
		WHERE message = $1 AND destination = $2 AND state + 0 = 0 AND due + 0 <= $3 ORDER BY id LIMIT $4`

	deleteDelivery = `DELETE FROM queue_delivery WHERE id = $1`

	// What a message that is gone left behind belongs to nobody.
	deleteOrphans       = `DELETE FROM queue_delivery WHERE message = $1 AND NOT EXISTS (SELECT 1 FROM queue_message WHERE id = $1)`
	deleteOrphanReports = `DELETE FROM queue_report WHERE message = $1 AND NOT EXISTS (SELECT 1 FROM queue_message WHERE id = $1)`

	deferDelivery = `UPDATE queue_delivery SET due = $2, attempts = $3, tried = CASE WHEN $3 > attempts THEN $4 ELSE tried END, status = $5, reply = $6, host = $7, tls = $8 WHERE id = $1`

	lockLane        = `UPDATE queue_destination SET due = due WHERE id = $1`
	selectNextDue   = `SELECT MIN(due) FROM queue_delivery WHERE destination = $1 AND state = 0`
	deleteEmptyLane = `DELETE FROM queue_destination WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM queue_delivery WHERE destination = $1)`
	moveLane        = `UPDATE queue_destination SET due = CASE WHEN $2 < not_before THEN not_before ELSE $2 END WHERE id = $1 RETURNING due`

	holdLanesBack = `UPDATE queue_destination SET due = $3, not_before = $3, failures = $4, status = $5, reply = $6, host = $7
		WHERE route = $1 AND domain = $2`

	freeLanes = `UPDATE queue_destination SET due = $3, not_before = 0, failures = 0, status = '', reply = '', host = ''
		WHERE route = $1 AND domain = $2 AND failures > 0`

	countDown     = `UPDATE queue_message SET pending = pending - $2 WHERE id = $1 RETURNING pending, ref, org, size`
	countUp       = `UPDATE queue_message SET pending = pending + $2 WHERE id = $1`
	deleteMessage = `DELETE FROM queue_message WHERE id = $1`
	deleteBody    = `DELETE FROM queue_body WHERE message = $1`
)

// Time that is over.
const (
	selectAlarms = `SELECT id, message, destination, alarm FROM queue_delivery WHERE state = 0 AND alarm <= $1 AND (alarm, id) > ($2, $3)
		ORDER BY alarm, id LIMIT $4`

	selectNextAlarm = `SELECT MIN(alarm) FROM queue_delivery WHERE state = 0 AND alarm > $1`

	// selectDelivery has the destination's trouble beside the delivery's own.
	selectDelivery = `SELECT d.message, d.destination, d.state, d.alarm, d.expires, d.attempts, d.tried, d.recipient, d.original, d.notify,
		d.status, d.reply, d.host, d.tls, t.route, t.failures, t.status, t.reply, t.host
		FROM queue_delivery d JOIN queue_destination t ON t.id = d.destination WHERE d.id = $1`

	silenceAlarm = `UPDATE queue_delivery SET alarm = expires WHERE id = $1`
)

// Telling.
const (
	insertReport = `INSERT INTO queue_report (message, delivery, action, due, failures, attempts, tried, until, recipient, original, notify, route,
		result, status, reply, host, tls) VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`

	deleteOldReport = `DELETE FROM queue_report WHERE message = $1 AND delivery = $2`
	deleteReport    = `DELETE FROM queue_report WHERE message = $1 AND delivery = $2 AND action = $3`

	selectUntold = `SELECT due, message FROM queue_report WHERE due <= $1 AND (due, message) > ($2, $3) ORDER BY due, message LIMIT 1`

	selectNextReport = `SELECT MIN(due) FROM queue_report WHERE due > $1`

	selectReports = `SELECT delivery, action, failures, attempts, tried, until, recipient, original, notify, route, result, status, reply, host, tls
		FROM queue_report WHERE message = $1 ORDER BY delivery LIMIT $2`

	postponeReports = `UPDATE queue_report SET due = $2, failures = failures + 1 WHERE message = $1`
)

// Remembering.
const (
	insertHistory = `INSERT INTO queue_history (at, id, org, trace, message, kind, attempts, sender, envid, ret, needs, recipient, original, notify,
		route, result, marks, status, reply, host, tls)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`

	selectHistory = `SELECT at, org, trace, message, kind, attempts, sender, envid, ret, needs, recipient, original, notify, route, result, marks,
		status, reply, host, tls FROM queue_history WHERE trace = $1 AND (org = $2 OR $2 = 0) ORDER BY at, id LIMIT $3`

	pruneHistory = `DELETE FROM queue_history WHERE (at, id) IN
		(SELECT at, id FROM queue_history WHERE at < $1 ORDER BY at, id LIMIT $2)`
)

// Recording what could not be recorded.
const (
	insertOwed     = `INSERT INTO queue_owed (id, due, failures, event) VALUES ($1, $2, 0, $3)`
	selectOwed     = `SELECT id, failures, event FROM queue_owed WHERE due <= $1 ORDER BY due, id LIMIT 1`
	selectNextOwed = `SELECT MIN(due) FROM queue_owed WHERE due > $1`
	deleteOwed     = `DELETE FROM queue_owed WHERE id = $1`
	postponeOwed   = `UPDATE queue_owed SET due = $2, failures = failures + 1 WHERE id = $1`
)

// Managing.
const (
	entries = `SELECT d.id, d.destination, d.message, m.org, m.trace, m.sender, d.recipient, t.route, t.domain, d.state, m.size, m.queued, d.due,
		t.not_before, d.expires, d.attempts, d.status, d.reply, d.host, t.failures, t.status, t.reply, t.host
		FROM queue_delivery d JOIN queue_message m ON m.id = d.message JOIN queue_destination t ON t.id = d.destination`

	selectAll       = entries + ` WHERE d.id > $1 ORDER BY d.id LIMIT $2`
	selectHeld      = entries + ` WHERE d.state > 0 AND d.id > $1 ORDER BY d.id LIMIT $2`
	selectOfLane    = entries + ` WHERE d.destination = $3 AND d.id > $1 ORDER BY d.id LIMIT $2`
	selectOfMessage = entries + ` WHERE d.message = $3 AND d.id > $1 ORDER BY d.id LIMIT $2`
	selectOfTrace   = entries + ` WHERE d.message IN (SELECT id FROM queue_message WHERE trace = $3) AND d.id > $1 ORDER BY d.id LIMIT $2`

	selectLanesOfOrganization = `SELECT id FROM queue_destination WHERE org = $1 AND id > $2 ORDER BY id LIMIT $3`
	selectLanesOfDomain       = `SELECT id FROM queue_destination WHERE route = '' AND domain = $1 AND (org = $2 OR $2 = 0) AND id > $3 ORDER BY id LIMIT $4`

	// selectLanesOfRecipient has those of all gateways too, which take mail for any domain.
	selectLanesOfRecipient = `SELECT id FROM (
			SELECT id, org FROM queue_destination WHERE route = '' AND domain = $1
			UNION ALL SELECT id, org FROM queue_destination WHERE route > ''
		) AS lanes WHERE (org = $2 OR $2 = 0) AND id + 0 > $3 ORDER BY id + 0 LIMIT $4`

	selectNewest = `SELECT MAX(id) FROM queue_delivery`
	setState     = `UPDATE queue_delivery SET state = $2 WHERE id = $1`
	prolong      = `UPDATE queue_delivery SET alarm = CASE WHEN alarm >= expires THEN $2 ELSE alarm END, expires = $2 WHERE id = $1 AND expires < $2`
	makeDue      = `UPDATE queue_delivery SET due = $2 WHERE id = $1`
	freeLane     = `UPDATE queue_destination SET not_before = 0 WHERE id = $1`

	selectLarge = `SELECT id, size, ref FROM queue_message WHERE id > $1 AND ref NOT IN ('', '-') ORDER BY id LIMIT $2`

	countState  = `SELECT COUNT(*) FROM queue_delivery WHERE state = $1`
	countRoutes = `SELECT COUNT(*) FROM queue_delivery WHERE destination IN
		(SELECT id FROM queue_destination WHERE route > '' AND substr(route, 1, length(CAST($1 AS TEXT))) = $1)`
	selectOldest = `SELECT m.queued FROM queue_delivery d JOIN queue_message m ON m.id = d.message ORDER BY d.id LIMIT 1`
)
