// Package signing keeps the DKIM keys of domains and signs what leaves (RFC 6376, RFC 8463).
//
// A domain of an organisation, and the server's own name under organisation 0, has an RSA and an Ed25519 key, each with the one that
// comes next, so that the next is in DNS long before it signs. Their owner publishes all of them; a job for each domain looks them up:
//
//	next ── found in DNS, and the current one is Rotation old ──▶ current ── at that moment ──▶ old ── 14 days ──▶ gone
//
// A next key is made as soon as there is none. Nothing that is not found in DNS ever becomes current, so an owner who does nothing keeps
// the key that works. Old keys stay wanted for longer than the queue keeps a message, and any reader takes to look.
//
// Keys are made outside of transactions, one at a time, as an RSA key costs a tenth of a second of a processor; the transaction that
// stores them takes those that are still lacking. The row of the domain (dkim_domain) is what makes it one that has keys: it comes and
// goes in the transactions that register and remove the domain, and whoever writes keys holds it.
//
// Which keys sign is read for each message, one indexed read beside a signature of a millisecond; memory holds the opened private keys
// alone. So nothing can be signed for a domain that is lost, or by a key that is gone, whatever memory has.
//
// RSA signs always, in DNS or not: a signature without its key counts as none (RFC 6376 section 6.1.2), and the record may be
// on its way. Ed25519, which fewer readers know, signs while its record was there at the last look.
//
// # When a message can't be signed
//
// It is refused for now (fault.Temporary): a client keeps what it submits, a notice waits in the queue. Unsigned it would leave, and
// be taken for forged where the domain's own DMARC record, which we hand out, asks for that: the sender would hear of it from others, or
// never, and it can't be called back. It happens where a sealed key is damaged (a wrong secret key file stops the server at its start),
// so it also sets off the domain's job, and that replaces a key that can't be opened by the next one at once, in DNS or not. Failures
// are logged and counted.
//
// Bytes beyond ASCII are signed as they are. RFC 6376 section 5.3 advises to encode them before, as a server on the way may do so after:
// the courier never does. It brings such a message to servers with 8BITMIME, or SMTPUTF8, and brings it back from others (package
// smtpclient), so what we sign is what the next server gets.
package signing
