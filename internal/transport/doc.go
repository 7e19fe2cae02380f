// Package transport decides where mail goes and who may send it: it turns addresses into mailboxes, groups into their
// members, checks and counts what users submit, and hands messages to package mailbox. It knows nothing of SMTP.
//
// A Transaction is one message on its way in. Begin says who sends it, Add accepts or refuses each recipient, and Store puts
// the message into the mailboxes of all accepted recipients, and into the queue for those on other servers, in one commit, or
// nowhere. What can't be stored at once here is refused while the client is still there to hear of it.
//
// Before it stores, the rules of mailboxes run (mailrules.go), and may send the message elsewhere, refuse or answer it.
//
// What becomes of mail for other servers comes back through Tell and Record: a notice to the sender, and the mail events.
package transport
