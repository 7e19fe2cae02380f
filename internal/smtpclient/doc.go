// Package smtpclient is the client's side of SMTP (RFC 5321) on one connection that is handed in: greeting, EHLO, STARTTLS, AUTH,
// messages, QUIT. It holds no rule about where mail goes and whom to trust; it imports nothing of ours.
//
// Notes for whoever changes it.
//
// What may be wrong is the other side, so all it says is bounded (reply.go) and every wait has an end: the times of RFC 5321
// section 4.5.3.2 for a whole reply, not for each byte of it, and the caller's context. An Error is the end of the connection or
// of its use; which recipients were answered before it is known, and whether the message may have been taken is said in it
// (Unknown): only where the end of the message went out whole and no answer came.
//
// A message is sent by BDAT (RFC 3030) where the server offers that and PIPELINING and the message is small (maxChunk), otherwise by
// DATA. MAIL, RCPT and BDAT with the message are one write and one round trip; with DATA the message waits for 354, which makes two.
// BenchmarkSend counts them, and sees BDAT take some 60 % of the time of DATA at 4 and 64 KB even on loopback, where they are nearly free. A large
// message would have to wait for its recipients all the same, lest it be sent for nobody, so that BDAT would save nothing but the
// search for dots, which keeps up with any network; those go by DATA, a piece at a time.
//
// Only CR LF ends a line of what is sent by DATA: a CR or LF alone becomes one, as RFC 5321 section 2.3.8 forbids to send them, and a
// message with one is never sent by BDAT, which has no way to mend it. A message is never sent whose bytes could not all be read.
//
// Before STARTTLS nothing is sent ahead, and a byte that has come behind the server's answer in the clear is an error
// (CVE-2011-0411): it would be taken for an answer under TLS. Secrets go out under TLS only.
//
// Commands that go out together are bounded (maxGroup), so that both sides never wait for the other to read (RFC 2920 section 3.1).
package smtpclient
