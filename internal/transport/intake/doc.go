// Package intake takes the reports that others send on an organisation's domains: aggregate reports of DMARC, and reports on TLS. They come by
// mail to DMARCReports and TLSReports at each domain, as long as nobody there has that address.
//
// Whoever asks for reports must take what comes, so mail to these addresses is accepted whatever it is, and never answered. What is a report
// on a domain of the organisation is kept for KeptDays, once; of the rest nothing is kept but its number, and a line in the log. Anybody can
// write there, so what one message and one day can add is bounded.
package intake
