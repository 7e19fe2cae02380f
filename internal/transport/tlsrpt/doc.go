// Package tlsrpt tells domains, once a day, how protected connections to their hosts went (RFC 8460).
//
// Sessions are counted in memory and added to the tables each minute: a killed server loses the counts of its last minute. On the
// day after, one job for each domain asks DNS whether the domain wants a report, writes it down once and for all, and sends it to
// each address of the record until that took it or three days are over.
//
// Domains ask at _smtp._tls. For DANE the policy belongs to the name that has the TLSA records, so that is asked as well as the
// recipients' domain, and each is told of all sessions.
package tlsrpt
