// Package autoreply keeps the automatic replies of mailboxes, and what is common to all replies that nobody writes: which messages must
// not have one (RFC 3834), and how it is made.
//
// A message that is about to be delivered asks Standing, which is answered from memory: a mailbox without a reply costs nothing. For one
// with a reply, Look reads the text, unless the sender had it; RememberTx notes the sender in the transaction that stores the message and
// orders the reply.
package autoreply
