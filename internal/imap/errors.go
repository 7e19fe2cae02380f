package imap

import (
	"context"
	"errors"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/imap/wire"
)

// refusal is an answer other than OK that the face itself gives.
type refusal struct{ status, code, text string }

// Error returns the text.
func (r *refusal) Error() string { return r.text }

// bad refuses a command that is wrong in itself or in this state.
func bad(text string) error { return &refusal{"BAD", "", text} }

// no refuses a command that could not be done.
func no(code, text string) error { return &refusal{"NO", code, text} }

// hangUp ends the connection: the stream can't go on, or its folder is gone.
type hangUp struct{ text string }

// Error returns the text.
func (h *hangUp) Error() string { return h.text }

// connectionError is a failure to read from the client in the middle of a command.
type connectionError struct {
	err error
	// answer is what the command is answered all the same: why a message was refused that was too big to be skipped.
	answer error
}

// Error returns the cause.
func (e *connectionError) Error() string { return e.err.Error() }

// reading marks an error of reading as the connection's, but for those about what was read.
func reading(err error) error {
	var s *wire.SyntaxError
	if err == nil || errors.As(err, &s) {
		return err
	}
	return &connectionError{err: err}
}

// endsConnection reports whether nothing more can be said after err.
func endsConnection(err error) bool {
	var (
		h *hangUp
		l *connectionError
	)
	return errors.As(err, &h) || errors.As(err, &l)
}

// answerError answers a command that failed. It returns false when the connection is to end.
func (c *conn) answerError(ctx context.Context, cmd wire.Command, err error) bool {
	if b := c.nc.Ending(); b != nil && b.Now { // its context was cancelled under it
		c.bye(b.Code, b.Text)
		return false
	}
	var (
		r *refusal
		h *hangUp
		s *wire.SyntaxError
		l *connectionError
	)
	switch {
	case c.w.Err() != nil:
		return false
	case errors.As(err, &h):
		c.bye("", h.text)
		return false
	case errors.As(err, &r):
		c.w.Status(cmd.Tag, r.status, r.code, r.text)
	case errors.As(err, &s):
		c.w.Status(cmd.Tag, "BAD", s.Code, s.Message)
	case errors.As(err, &l):
		if l.answer != nil && !endsConnection(l.answer) {
			c.answerError(ctx, cmd, l.answer)
		}
		c.lost(ctx, l.err)
		return false
	default:
		code := codeOf(fault.KindOf(err))
		text := "an internal error; it was logged as " + c.id
		if f := fault.As(err); f != nil && f.Kind != fault.Internal {
			text = f.Message
		} else {
			c.log.ErrorContext(ctx, "IMAP command failed", "command", cmd.Name, "error", err)
		}
		c.w.Status(cmd.Tag, "NO", code, text)
	}
	return true
}

// answerNews deals with a failure to tell what is new behind a command: the next command tries again. It returns false when
// the connection is to end.
func (c *conn) answerNews(ctx context.Context, err error) bool {
	var h *hangUp
	switch {
	case c.w.Err() != nil || c.nc.Ending() != nil:
	case errors.As(err, &h):
		c.bye("", h.text)
		return false
	default:
		c.log.ErrorContext(ctx, "IMAP folder can't be looked at", "mailbox", c.box, "error", err)
	}
	return c.w.Err() == nil
}

// codeOf is the response code (RFC 5530, RFC 9208, RFC 7889) of each kind of fault. Every fault is a NO.
func codeOf(k fault.Kind) string {
	switch k {
	case fault.Internal:
		return "SERVERBUG"
	case fault.Invalid, fault.Reserved, fault.State, fault.Unsupported, fault.BadPassword, fault.BadConfiguration:
		return "CANNOT"
	case fault.NotFound:
		return "NONEXISTENT"
	case fault.Exists, fault.AlreadyRegistered:
		return "ALREADYEXISTS"
	case fault.InUse, fault.Conflict:
		return "INUSE"
	case fault.Limit:
		return "LIMIT"
	case fault.OverQuota:
		return "OVERQUOTA"
	case fault.TooLarge:
		return "TOOBIG"
	case fault.Unauthenticated:
		return "AUTHENTICATIONFAILED"
	case fault.Denied:
		return "NOPERM"
	case fault.Temporary, fault.DirectoryDown:
		return "UNAVAILABLE"
	case fault.DirectoryRefusedUs:
		return "CONTACTADMIN"
	}
	return "SERVERBUG"
}

// tryCreate turns "there is no such folder" for the target of APPEND, COPY or MOVE into the answer that lets a client
// create it (RFC 3501 section 7.1).
func tryCreate(err error) error {
	if f := fault.As(err); f != nil && f.Kind == fault.NotFound && f.Subject == fault.Folder {
		return no("TRYCREATE", f.Message)
	}
	return err
}
