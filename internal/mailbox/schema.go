package mailbox

import "github.com/pennypost/pennypost/internal/db"

// Migrations returns the package's tables, versions from 4000.
func Migrations() []db.Migration {
	return []db.Migration{
		{Version: 4000, Name: "mailbox", SQL: tables},
		{Version: 4001, Name: "retention and recoverable items", SQL: retentionTables},
		{Version: 4002, Name: "when owners were told that mailboxes are nearly full", SQL: `ALTER TABLE mailbox ADD COLUMN warned BIGINT NOT NULL DEFAULT 0;`},
		{Version: 4003, Name: "blobs to be removed by their time", SQL: `CREATE INDEX blob_garbage_due ON blob_garbage (due);`},
	}
}

// What each table is for, and why it is shaped so, is said in DESIGN.md. {{.WithoutRowID}} is empty on PostgreSQL, so the
// condition on it says "INTEGER PRIMARY KEY" on SQLite (the row's own key there) and BIGINT elsewhere.
const tables = `
CREATE TABLE mailbox_counter (
	one BIGINT NOT NULL PRIMARY KEY,
	next BIGINT NOT NULL
);

INSERT INTO mailbox_counter (one, next) VALUES (1, 1);

CREATE TABLE mailbox (
	id {{.RowID}} NOT NULL PRIMARY KEY,
	org BIGINT NOT NULL,
	owner TEXT NOT NULL,
	state BIGINT NOT NULL,
	purge_at BIGINT NOT NULL,
	change BIGINT NOT NULL,
	tree_change BIGINT NOT NULL,
	next_item BIGINT NOT NULL,
	next_folder BIGINT NOT NULL,
	uidvalidity BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	quota BIGINT NOT NULL
);

CREATE UNIQUE INDEX mailbox_owner ON mailbox (org, owner);

CREATE INDEX mailbox_purged ON mailbox (id) WHERE state = 2;

CREATE TABLE folder (
	mailbox BIGINT NOT NULL,
	id BIGINT NOT NULL,
	parent BIGINT NOT NULL,
	name TEXT NOT NULL,
	key TEXT NOT NULL,
	kind BIGINT NOT NULL,
	special BIGINT NOT NULL,
	is_default BOOLEAN NOT NULL,
	subscribed BOOLEAN NOT NULL,
	gone BOOLEAN NOT NULL,
	uidvalidity BIGINT NOT NULL,
	uidnext BIGINT NOT NULL,
	highest BIGINT NOT NULL,
	floor BIGINT NOT NULL,
	properties_changed BIGINT NOT NULL,
	counts_changed BIGINT NOT NULL,
	messages BIGINT NOT NULL,
	unseen BIGINT NOT NULL,
	deleted BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	departures BIGINT NOT NULL,
	PRIMARY KEY (mailbox, id)
) {{.WithoutRowID}};

CREATE UNIQUE INDEX folder_name ON folder (mailbox, parent, key);

CREATE INDEX folder_gone ON folder (mailbox, id) WHERE gone AND messages > 0;

CREATE TABLE subscription (
	mailbox BIGINT NOT NULL,
	key TEXT NOT NULL,
	path TEXT NOT NULL,
	PRIMARY KEY (mailbox, key)
) {{.WithoutRowID}};

CREATE TABLE keyword (
	mailbox BIGINT NOT NULL,
	bit BIGINT NOT NULL,
	key TEXT NOT NULL,
	name TEXT NOT NULL,
	PRIMARY KEY (mailbox, bit)
) {{.WithoutRowID}};

CREATE UNIQUE INDEX keyword_name ON keyword (mailbox, key);

CREATE TABLE item (
	mailbox BIGINT NOT NULL,
	folder BIGINT NOT NULL,
	uid BIGINT NOT NULL,
	item BIGINT NOT NULL,
	flags BIGINT NOT NULL,
	changed BIGINT NOT NULL,
	created BIGINT NOT NULL,
	size BIGINT NOT NULL,
	received BIGINT NOT NULL,
	saved BIGINT NOT NULL,
	email BIGINT NOT NULL,
	thread BIGINT NOT NULL,
	body BIGINT NOT NULL,
	prefix {{.Blob}},
	PRIMARY KEY (mailbox, folder, uid)
) {{.WithoutRowID}};

CREATE INDEX item_changed ON item (mailbox, folder, changed) WHERE changed > created;

CREATE TABLE meta (
	mailbox BIGINT NOT NULL,
	item BIGINT NOT NULL,
	parser BIGINT NOT NULL,
	envelope {{.Blob}} NOT NULL,
	structure {{.Blob}} NOT NULL,
	PRIMARY KEY (mailbox, item)
) {{.WithoutRowID}};

CREATE TABLE vanished (
	mailbox BIGINT NOT NULL,
	folder BIGINT NOT NULL,
	change BIGINT NOT NULL,
	uid BIGINT NOT NULL,
	item BIGINT NOT NULL,
	PRIMARY KEY (mailbox, folder, change)
) {{.WithoutRowID}};

CREATE TABLE body (
	id {{.RowID}} NOT NULL PRIMARY KEY,
	org BIGINT NOT NULL,
	size BIGINT NOT NULL,
	store BIGINT NOT NULL,
	ref TEXT NOT NULL,
	codec BIGINT NOT NULL,
	key_id BIGINT NOT NULL,
	data {{.Blob}}
);

CREATE TABLE body_share (
	body {{.RowID}} NOT NULL PRIMARY KEY,
	extra BIGINT NOT NULL
);

CREATE TABLE blob_garbage (
	key TEXT NOT NULL PRIMARY KEY,
	due BIGINT NOT NULL
) {{.WithoutRowID}};
`

// item.modified is when its flags changed last, 0 for never since this step. No item of a folder that is as it came has a UID
// below folder.kept_below.
const retentionTables = `
ALTER TABLE item ADD COLUMN modified BIGINT NOT NULL DEFAULT 0;

ALTER TABLE folder ADD COLUMN kept_below BIGINT NOT NULL DEFAULT 1;

CREATE TABLE recoverable (
	mailbox BIGINT NOT NULL,
	item BIGINT NOT NULL,
	folder BIGINT NOT NULL,
	flags BIGINT NOT NULL,
	size BIGINT NOT NULL,
	received BIGINT NOT NULL,
	email BIGINT NOT NULL,
	thread BIGINT NOT NULL,
	body BIGINT NOT NULL,
	prefix {{.Blob}},
	removed BIGINT NOT NULL,
	due BIGINT NOT NULL,
	PRIMARY KEY (mailbox, item)
) {{.WithoutRowID}};

CREATE INDEX recoverable_due ON recoverable (due);
`
