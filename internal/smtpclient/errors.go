package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// What a server may be doing when something goes wrong: Error.During is one of these, or a command.
const (
	Greeting  = "the greeting"
	Handshake = "the TLS handshake"
	Message   = "the message" // after DATA was answered 354
)

// ErrInjected says that bytes came in the clear behind the answer to STARTTLS: somebody in between, or a server as bad.
var ErrInjected = errors.New("more than an answer came before TLS began")

// Error says why the connection can't be used, or not in this way.
type Error struct {
	// During is what was asked: a verb, or one of the words above.
	During string
	// Reply is the server's refusal. Where it is zero there was none, and Err says what went wrong.
	Reply Reply
	Err   error
	// Unknown says that the message went out whole and no answer came: the server may have taken it.
	Unknown bool
}

// Error says it in words that a sender may read.
func (e *Error) Error() string {
	var timeout net.Error
	switch {
	case e.Reply.Code != 0:
		return fmt.Sprintf("the server answered %s with %s", e.During, e.Reply)
	case errors.Is(e.Err, context.Canceled):
		return "the attempt was broken off"
	case errors.Is(e.Err, os.ErrDeadlineExceeded), errors.As(e.Err, &timeout) && timeout.Timeout():
		return "the server took too long over " + e.During
	case errors.Is(e.Err, io.EOF):
		return "the server closed the connection at " + e.During
	}
	return fmt.Sprintf("%s failed: %v", e.During, e.Err)
}

// Unwrap is Err.
func (e *Error) Unwrap() error { return e.Err }

// Refusal says that a message was not offered, because the server lacks what it needs. The connection can be used.
type Refusal struct {
	Status string // enhanced status code (RFC 3463), 5.x.y
	Text   string
}

// Error is the status and the text.
func (e *Refusal) Error() string { return e.Status + " " + e.Text }

// BodyError says that the message could not be read: nothing of it was taken, and the server is not to blame.
type BodyError struct{ Err error }

// Error says so.
func (e *BodyError) Error() string { return "the message can't be read: " + e.Err.Error() }

// Unwrap is Err.
func (e *BodyError) Unwrap() error { return e.Err }
