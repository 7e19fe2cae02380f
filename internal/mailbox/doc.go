// Package mailbox keeps mailboxes: folders, items, bodies, the change counter and the quota of each. It is the one place
// that writes them, whatever protocol asks.
//
// A mailbox has one change counter. Every change of an item takes the next number of it (ModSeq), given out under the lock
// of the mailbox's row, so that numbers become visible in order: IMAP's CONDSTORE and QRESYNC, and later JMAP states and
// EWS and ActiveSync sync states, are views of that one number. After each commit that changed a mailbox the feed's topic
// {"mailbox", decimal id} is published; a listener then asks Changes.
//
// Verbs take no principal: who may do what on a mailbox is policy's decision, and the caller asks it before it calls. A
// verb whose name ends in Tx runs in the caller's write transaction; the others open their own, and split work of more
// than BatchRows rows into several, each atomic, as each verb says. Reading verbs hold no lock, and no database snapshot
// while the caller looks at what they returned.
//
// What users say of items by filing them, as junk or not, is told to Options.Filed in the transaction that files them.
//
// Expected failures are *fault.Error with the subjects Mailbox, Folder and Message; each verb lists its kinds.
//
// The hard choices are explained in DESIGN.md beside this file.
package mailbox
