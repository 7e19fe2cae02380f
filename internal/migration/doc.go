// Package migration brings organisations here from elsewhere: what an organisation is becomes a list of items, read at its source by
// a sub-package, read here by the service, compared item by item, and applied a batch at a time. Everything is keyed by the
// source's ids, so that an import that was interrupted goes on where it was, and one that is run again takes over what changed since.
//
// A ledger keeps which items came from the source: those that are gone there go here too, while what was made here by hand is left
// alone.
package migration
