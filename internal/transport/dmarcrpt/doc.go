// Package dmarcrpt tells domains, once a day, what came here in their name: aggregate reports of DMARC (RFC 9990, RFC 7489). What is the same
// for all reports of a day is package dayreport's.
//
// A message is counted under the domain whose record it was judged by, once its transaction is committed. Nothing of its recipients is
// counted, nor more of its sender than the domain.
package dmarcrpt
