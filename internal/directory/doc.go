// Package directory knows who there is: organisations, their users, groups and resources in one name space, their
// addresses, domains, memberships, delegates and tags, and the directory that masters passwords. It answers "who is
// this?" for every protocol, and decides what a name, an address and a domain may be.
//
// Notes for whoever changes it. A verb comes in two forms: Verb opens the transaction, checks that the organisation is
// active and appends the audit record; VerbTx takes the transaction, for packages that compose. Names and addresses
// compare without case: the folded form is stored, indexed and unique. A write that depends on an entity first locks the
// entity's row (lockTx), on SQLite and PostgreSQL alike. Deleted entities leave a row behind, in state DELETED, until
// their mailbox is purged; the row holds no name, address, membership or secret of theirs any more than history needs.
package directory
