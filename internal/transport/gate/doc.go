// Package gate says who may bring mail at all, and how fast: connections of an address, rates of addresses and users, DNS lists, clients
// that don't wait for the greeting, and those that guess addresses (Gate); and who has to come a second time (Greylist).
//
// A Gate lives in memory, of a bounded number of addresses, and forgets at a restart. It has no goroutine of its own: what waits is the
// session that asks. A Greylist is in tables, and in memory as far as it was asked of late, so that the known cost nothing.
//
// Whoever comes from this machine is never limited, nor who is exempt; only the rates of users are for everybody.
package gate
