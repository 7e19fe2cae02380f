package migration

// An import_folder is a folder at a source as it was under one UIDVALIDITY. source is server and user, name is the source's own. It
// leads to a folder here, whose path at first is kept, so that a renaming here is seen. uidnext and modseq are those of the source
// when all of it was here. previous is the row whose messages are to be found again in this one: the same folder under another
// UIDVALIDITY or name. The index keeps two runs from beginning with a folder at once.
//
// An import_item is a message of such a folder that came here: uid is the source's, (place, here) the folder and UID where it was
// put, changed its number when it was last as the source had it, flags the flags that the source had last, in the mailbox's bits.
// identity is what is left of it when UIDs mean nothing any more.
const mailTables = `
CREATE TABLE import_folder (
  key {{.RowID}} NOT NULL PRIMARY KEY,
  mailbox BIGINT NOT NULL,
  source TEXT {{.CollateC}} NOT NULL,
  name TEXT {{.CollateC}} NOT NULL,
  uidvalidity BIGINT NOT NULL,
  uidnext BIGINT NOT NULL,
  modseq BIGINT NOT NULL,
  folder BIGINT NOT NULL,
  path TEXT NOT NULL,
  previous BIGINT NOT NULL
);
CREATE UNIQUE INDEX import_folder_name ON import_folder (mailbox, source, name, previous);
CREATE TABLE import_item (
  folder BIGINT NOT NULL,
  uid BIGINT NOT NULL,
  place BIGINT NOT NULL,
  here BIGINT NOT NULL,
  item BIGINT NOT NULL,
  changed BIGINT NOT NULL,
  flags BIGINT NOT NULL,
  identity BIGINT NOT NULL,
  PRIMARY KEY (folder, uid)
) {{.WithoutRowID}};
CREATE INDEX import_item_identity ON import_item (folder, identity, uid);
`
