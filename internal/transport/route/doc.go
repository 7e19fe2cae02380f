// Package route says where mail for a domain goes and how the connection must be protected.
//
// Where: the domain's MX records (RFC 5321 section 5.1), a null MX (RFC 7505), the domain itself where it has none, or an address
// literal. How: DANE (RFC 7672) where the zones of the domain and of its host are signed and the resolver is believed
// (dns.New), else the domain's MTA-STS policy (RFC 8461), else whatever the host offers.
//
// Policies of MTA-STS are kept in the database until they expire, so that nobody who blocks DNS or HTTPS can do away with one.
// What failed before there was a connection the Router reports itself; the rest is told by who makes connections, with what stands
// in TLS.Policy (see tlsrpt).
package route
