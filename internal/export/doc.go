// Package export writes mailboxes to buckets: WorkMail's mailbox export jobs. A job streams one zip, a page of messages at a time,
// in parts of equal size to a bucket of the configuration (S3, or a directory standing for one), where it appears whole or not at
// all. docs/export.md describes the zip; it is also a format that is imported.
//
// What has been written is remembered at checkpoints, which lie between two messages: how far the walk came, the directory and
// manifest of what was written since the last one, and how many bytes of the zip that makes. The bytes since the last whole part
// lie in a file of the data directory. A job that begins again cuts that file at the checkpoint and goes on; a part that was
// uploaded beyond it is uploaded again under its number, which replaces it. Where the file or the upload is lost, the job begins
// from nothing.
//
// Every message that was there when the job began, and still is when it ends, is in the zip exactly once, however it was moved
// meanwhile: items keep their ids, those written are remembered, and what moved is looked for until nothing is missing.
package export
