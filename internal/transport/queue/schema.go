package queue

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables: versions 5100 to 5199.
func Migrations() []db.Migration {
	return []db.Migration{
		{Version: 5100, Name: "queue: outgoing mail", SQL: tables},
		{Version: 5101, Name: "queue: lists by whose and where to, what organisations have, crashes", SQL: more},
		{Version: 5102, Name: "queue: events that were not recorded", SQL: owed},
		{Version: 5103, Name: "queue: bodies are kept as they are", PostgreSQL: uncompressed},
	}
}

// DESIGN.md says what each table and index is for.
const tables = `
-- pending counts the rows in queue_delivery and queue_report; with the last of them the message goes.
CREATE TABLE queue_message (
  id {{.RowID}} NOT NULL PRIMARY KEY,
  org BIGINT NOT NULL,
  trace TEXT {{.CollateC}} NOT NULL,
  sender TEXT NOT NULL,
  envid TEXT NOT NULL,
  ret BIGINT NOT NULL,
  needs BIGINT NOT NULL,
  about {{.Blob}} NOT NULL,
  queued BIGINT NOT NULL,
  size BIGINT NOT NULL,
  ref TEXT NOT NULL,
  pending BIGINT NOT NULL
);
CREATE INDEX queue_message_trace ON queue_message (trace);

-- The bytes of a small message; those of one with a ref are in Blobs.
CREATE TABLE queue_body (
  message {{.RowID}} NOT NULL PRIMARY KEY,
  data {{.Blob}} NOT NULL
);

-- Bytes in Blobs that no message names: yet, in the life of a server that is making one, or any more, where life is 0.
CREATE TABLE queue_upload (
  life BIGINT NOT NULL,
  ref TEXT {{.CollateC}} NOT NULL,
  PRIMARY KEY (life, ref)
) {{.WithoutRowID}};

-- due is when to look for deliveries: never after the first of them that waits, but not before not_before, which holds back what
-- goes to a destination that is down. failures are in a row; status, reply and host are of the last.
CREATE TABLE queue_destination (
  id {{.RowID}} NOT NULL PRIMARY KEY,
  route TEXT {{.CollateC}} NOT NULL,
  domain TEXT {{.CollateC}} NOT NULL,
  org BIGINT NOT NULL,
  due BIGINT NOT NULL,
  not_before BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  status TEXT NOT NULL,
  reply TEXT NOT NULL,
  host TEXT NOT NULL,
  UNIQUE (route, domain, org)
);
CREATE INDEX queue_destination_up ON queue_destination (org, due) WHERE failures = 0;
CREATE INDEX queue_destination_down ON queue_destination (org, due) WHERE failures > 0;
CREATE INDEX queue_destination_due ON queue_destination (due);

-- state: 0 waits, 1 is held. alarm is when the sender is to hear of the delay, then when the time is over (expires).
CREATE TABLE queue_delivery (
  id {{.RowID}} NOT NULL PRIMARY KEY,
  message BIGINT NOT NULL,
  destination BIGINT NOT NULL,
  state BIGINT NOT NULL,
  due BIGINT NOT NULL,
  alarm BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  tried BIGINT NOT NULL,
  recipient TEXT NOT NULL,
  original TEXT NOT NULL,
  notify BIGINT NOT NULL,
  status TEXT NOT NULL,
  reply TEXT NOT NULL,
  host TEXT NOT NULL,
  tls TEXT NOT NULL
);
CREATE INDEX queue_delivery_message ON queue_delivery (message, destination);
CREATE INDEX queue_delivery_due ON queue_delivery (destination, state, due, message);
CREATE INDEX queue_delivery_alarm ON queue_delivery (state, alarm);

-- What the sender is to be told of a recipient, from due on.
CREATE TABLE queue_report (
  message BIGINT NOT NULL,
  delivery BIGINT NOT NULL,
  action BIGINT NOT NULL,
  due BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  tried BIGINT NOT NULL,
  until BIGINT NOT NULL,
  recipient TEXT NOT NULL,
  original TEXT NOT NULL,
  notify BIGINT NOT NULL,
  route TEXT NOT NULL,
  result BIGINT NOT NULL,
  status TEXT NOT NULL,
  reply TEXT NOT NULL,
  host TEXT NOT NULL,
  tls TEXT NOT NULL,
  PRIMARY KEY (message, delivery)
) {{.WithoutRowID}};
CREATE INDEX queue_report_due ON queue_report (due, message);

CREATE TABLE queue_history (
  at BIGINT NOT NULL,
  id BIGINT NOT NULL,
  org BIGINT NOT NULL,
  trace TEXT {{.CollateC}} NOT NULL,
  message BIGINT NOT NULL,
  kind BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  sender TEXT NOT NULL,
  envid TEXT NOT NULL,
  ret BIGINT NOT NULL,
  needs BIGINT NOT NULL,
  recipient TEXT NOT NULL,
  original TEXT NOT NULL,
  notify BIGINT NOT NULL,
  route TEXT NOT NULL,
  result BIGINT NOT NULL,
  marks BIGINT NOT NULL,
  status TEXT NOT NULL,
  reply TEXT NOT NULL,
  host TEXT NOT NULL,
  tls TEXT NOT NULL,
  PRIMARY KEY (at, id)
) {{.WithoutRowID}};
CREATE INDEX queue_history_trace ON queue_history (trace);
`

const more = `
CREATE INDEX queue_delivery_lane ON queue_delivery (destination, id);
CREATE INDEX queue_delivery_held ON queue_delivery (id) WHERE state > 0;
CREATE INDEX queue_destination_org ON queue_destination (org, id);

-- How much of an organisation is in queue_message: the sum of its parts. A message counts in the part that is the rest of its id by 64.
CREATE TABLE queue_usage (
  org BIGINT NOT NULL,
  part BIGINT NOT NULL,
  messages BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  PRIMARY KEY (org, part)
) {{.WithoutRowID}};
INSERT INTO queue_usage (org, part, messages, bytes)
  SELECT org, id % 64, COUNT(*), CAST(SUM(size) AS BIGINT) FROM queue_message GROUP BY org, id % 64;

-- The life that works on the queue, or did last, and whether it came to an orderly end.
CREATE TABLE queue_life (
  one {{.RowID}} NOT NULL PRIMARY KEY,
  life BIGINT NOT NULL,
  clean BIGINT NOT NULL
);

-- Attempts that a life has begun, written for a while after a crash alone, and in how many crashes they were.
CREATE TABLE queue_attempt (
  message BIGINT NOT NULL,
  destination BIGINT NOT NULL,
  life BIGINT NOT NULL,
  crashes BIGINT NOT NULL,
  PRIMARY KEY (message, destination)
) {{.WithoutRowID}};
`

// uncompressed saves PostgreSQL the compression of what is read once and removed, which took as long as all else that is written of a
// message; and what fits on a page is no longer cut up.
const uncompressed = `
ALTER TABLE queue_body ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE queue_body SET (toast_tuple_target = 8160);
`

const owed = `
-- Events, as JSON, that Options.Record did not take in the transaction that made them happen. It is asked again when they are due.
CREATE TABLE queue_owed (
  id {{.RowID}} NOT NULL PRIMARY KEY,
  due BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  event {{.Blob}} NOT NULL
);
CREATE INDEX queue_owed_due ON queue_owed (due, id);
`
