// Package imap is the IMAP face: IMAP4rev1 (RFC 3501) with the extensions that capability.go lists. It turns commands
// into calls of mailbox and their results into responses. It holds no rule about mail.
//
// One goroutine serves a connection: it reads a command, runs it, writes the responses, and flushes them when it would
// wait for the client. A command is a file. What a session has been told of its folder is in its view (view.go); what
// changed since is asked of mailbox when the feed gave notice, and told when the protocol allows it. No lock and no
// database snapshot is held while something is written to a client.
package imap
