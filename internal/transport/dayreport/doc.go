// Package dayreport counts what happens in a day (of UTC) under the name of a domain, and on the day after tells those whom the domain
// names. Packages tlsrpt and dmarcrpt say what is counted, who is told, and in which form.
//
// What is counted stays in memory and is added to the tables each minute: a killed server loses the counts of its last minute, which are
// statistics. On the day after, one job for each domain finds out whether the domain wants a report, writes it down once and for all, and
// sends it to each who is to have it until that took it or three days are over.
package dayreport
