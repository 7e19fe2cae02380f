// Package courier takes queued messages to other servers (queue.Courier): it asks for the hosts of a domain, connects to one after
// the other, protects the connection as the route says, and offers the message. What came of it, it says for each recipient.
//
// The decisions, for whoever changes it:
//
// Hosts and their addresses are tried in the order of the route (RFC 5321 section 5.1). What a server says before MAIL is of the server:
// refusals of the connection, 4yz and 5yz to the greeting and to EHLO, 421 and lost connections lead to the next. If all hosts refuse with
// 5yz the message fails, otherwise it waits. What is said to MAIL, RCPT and the message is of the message and its recipients, and final
// for this attempt: another host would be asked for the same mailbox. maxPerHost and maxAttempts bound how many connections are made for one message.
//
// Outcome.Down keeps other messages from trying, so it is said only of what can't be about this one: not after a 421 or a lost connection
// at RCPT, or once a recipient was answered, and not while another host is up.
//
// A connection that is lost after the end of the message leaves its recipients in doubt. They are deferred, and no other host is asked
// now: the server most likely has the message, and its answer was lost or late (RFC 1047).
//
// TLS: at Opportunistic any certificate will do, and after a failed handshake the message goes over a new connection in the clear; a
// server that sends something behind its answer to STARTTLS is left alone (RFC 3207). At Required (RFC 7672 section 2.2) and Verified
// nothing goes in the clear, and a host that lacks TLS or shows another certificate is as good as down, so that a policy that is wrong for
// an hour loses no mail (RFC 7672 section 2.1, RFC 8461 section 5). TLS 1.2 is the least.
//
// REQUIRETLS (RFC 8689) goes to hosts whose names are vouched for (Verified) and who offer it themselves. Where no host is left the message
// fails with 5.7.30.
//
// Gateways are named by hand, so their certificates are always verified by their name. What is wrong with the
// arrangement between us and them (connection, TLS, signing in, 530 and 535) defers: somebody will set it right, and no sender could. The guarded dialer stands between an organisation's
// gateway and the server's own network; a gateway of the operator's may have another dialer.
//
// An address that the guarded dialer refuses is a permanent failure (5.4.4) where no host has a better one: waiting won't move it.
//
// Connections are kept for messages to come: by host, route, policy and what the certificate was verified against, so that no message takes
// one that was made under a weaker policy than its own, or proved for another domain; maxIdle in all and maxIdleForOne for one host, for maxIdleTime, for maxMessages. RSET stands between two messages,
// in a round trip of its own, because it finds out whether the server is still there before a small message is sent by BDAT in one write, of
// which nobody could say whether it was taken. A kept connection that fails before the message is replaced once by a new one.
//
// A server with DSN is told what the sender wants to know, and is then the one who tells (RFC 3461 section 5.2): Outcome.Tells.
//
// Recipients are offered maxRecipients at a time (RFC 5321 section 4.5.3.1.8); those whom a server finds too many (452) are offered again at once,
// as long as it takes others (section 4.5.3.1.10).
package courier
