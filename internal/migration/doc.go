// Package migration brings organisations here from elsewhere: what an organisation is, its users' mail, and passwords for users who
// came without one. All is keyed by the source's own names, so that what was interrupted goes on where it was, and what is run
// again takes over what changed since.
//
// What an organisation is becomes a list of items, read at its source by a sub-package, read here by the Service, compared item by
// item, and applied a batch at a time. A ledger keeps which items came from the source: those that are gone there go here too,
// while what was made here by hand is left alone.
package migration
