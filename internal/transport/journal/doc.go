// Package journal keeps the journaling rules of organisations and writes journal reports: a copy of every message in and out, with who
// sent it and who got it, for an archive. Package transport makes one for a message and an organisation in the transaction that takes
// the message in, as an item of the queue, so that none is lost or doubled; the queue takes it to the journaling address, on this server
// or another, and a failure to the report address.
package journal
