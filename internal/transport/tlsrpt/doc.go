// Package tlsrpt tells domains, once a day, how protected connections to their hosts went (RFC 8460). What is the same for all reports of a
// day is package dayreport's.
//
// Domains ask at _smtp._tls. For DANE the policy belongs to the name that has the TLSA records, so that is asked as well as the
// recipients' domain, and each is told of all sessions.
package tlsrpt
