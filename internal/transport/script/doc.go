// Package script keeps the Sieve scripts of mailboxes, and what their runs remember.
//
// A mailbox has a number of scripts under names of its user's, of which at most one is active. A script is compiled before it is stored,
// so that what is active can run. Each change holds the mailbox's row: changes of one mailbox come one after the other, and none comes
// after the mailbox was closed.
//
// Compiled active scripts are kept in memory, with the set of mailboxes that may have one: a message to others costs no query. A change
// forgets what was compiled and adds its mailbox to the set, after its commit; only who has read, and saw no change meanwhile, puts
// something in or takes a mailbox out.
//
// The memory of runs (ids of the test duplicate, senders who were answered) is in rows that end at a time, are bounded for each mailbox,
// and hold keyed hashes: the database doesn't tell who wrote to whom.
package script
