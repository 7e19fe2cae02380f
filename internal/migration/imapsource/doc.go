// Package imapsource reads mailboxes of an IMAP server and hands what is in them to migration.Mail. It changes nothing at the source,
// not even \Seen. Passwords stay in this process, and out of its errors.
package imapsource
