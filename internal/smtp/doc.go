// Package smtp is the face that takes mail in: from other servers (inbound, RFC 5321) and from the users' own programs
// (submission, RFC 6409). It translates the protocol to calls on transport and holds no rule about mail of its own; what
// it decides is the protocol: lines, order of commands, time-outs, limits per connection.
//
// Notes for whoever changes it. A session is one goroutine that reads and writes its connection; another, only after
// AUTH, waits for the sign-in to end. Replies are buffered and go out when the session would wait for input, which is what
// batches them under PIPELINING. A line ends with CRLF and nothing else, in commands and in DATA: a bare CR or LF ends no
// line, hides no dot, and makes a message be refused once its true end has come, so that no two servers can disagree on where
// a message ends ("SMTP smuggling"). Whatever was read before TLS is forgotten with STARTTLS.
package smtp
