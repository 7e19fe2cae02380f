// Package wire is the codec of IMAP: it turns the bytes of a client into commands and values into the bytes of responses
// (RFC 3501 and RFC 9051, with the extensions named beside each type). It knows no mailbox and imports nothing of ours.
//
// Reader never panics and never loses its place. A command that is malformed is read to its end, with the literals it
// still carries, and gives a *SyntaxError; the next call reads the next command. A literal that must be invited is invited
// only when the command is well-formed up to it. The literal of APPEND is not read at all: the caller decides about it
// first (see Reader.Literal).
package wire
