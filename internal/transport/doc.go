// Package transport decides where mail goes and who may send it: it turns addresses into mailboxes, groups into their
// members, checks and counts what users submit, and hands messages to package mailbox. It knows nothing of SMTP.
//
// A Transaction is one message on its way in. Begin says who sends it, Add accepts or refuses each recipient, and Store puts
// the message into the mailboxes of all accepted recipients in one commit, or into none. There is no queue yet: what can't
// be stored at once, such as mail to other domains, is refused while the client is still there to hear of it.
package transport
