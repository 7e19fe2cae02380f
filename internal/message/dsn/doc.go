// Package dsn writes and reads delivery status notifications, by which a mail system tells a sender what became of a message:
// bounces, delays, successes (RFC 3461, 3464, 6522, 6533). It also has the encodings in which SMTP carries what those hold.
//
// Everything that goes into a notification comes from strangers: what other servers replied, addresses, ENVID, ORCPT, the
// header of the message. Nothing of it gets into a field without passing clean, and the boundary can't be guessed, so that a
// notification is always one report of what its Notice says.
package dsn
