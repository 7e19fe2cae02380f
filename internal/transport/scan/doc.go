// Package scan refuses mail for what it holds: viruses, as clamd finds them, and attachments of types that are not let through.
//
// A message is looked at before it is stored, while its sender still hears of a refusal; what is refused reaches no rule and no mailbox.
// Types are told by file names, as mail clients show and open them: by every name that a part gives itself, in parts inside of messages
// inside of messages. What is packed into an archive, or into the text of a message (uuencode), is clamd's business.
package scan
