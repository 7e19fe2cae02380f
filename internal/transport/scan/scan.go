package scan

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"

	"github.com/pennypost/pennypost/internal/fault"
)

// Options are what a Scanner looks for. All but Log may be left out.
type Options struct {
	Clamd *Clamd
	// AcceptUnscanned lets mail through while clamd is down; without it the sender is asked to come back.
	AcceptUnscanned bool
	// Types are not let through in what users submit, and where Inbound says so in what comes from other servers.
	Types   *Types
	Inbound bool
	Log     *slog.Logger
}

// Scanner looks into messages. It is safe for concurrent use.
type Scanner struct {
	Options
	clean, infected, unscanned, blocked atomic.Uint64
}

// New returns a scanner.
func New(o Options) *Scanner {
	if o.Types == nil {
		o.Types = NewTypes(nil)
	}
	return &Scanner{Options: o}
}

// Waits reports whether Scan waits for clamd.
func (s *Scanner) Waits() bool { return s.Clamd != nil }

// Scan refuses a message: Denied Message for a virus and an attachment that is not let through, TooLarge Message for what clamd will not
// take, Temporary Message where it doesn't answer. from is the network of who did not submit it: an address stands for it.
func (s *Scanner) Scan(ctx context.Context, text []byte, submitted bool, from netip.Addr) error {
	if (submitted || s.Inbound) && !s.Types.None() {
		name, is, more := s.Types.Blocked(text)
		switch {
		case is != "":
			s.blocked.Add(1)
			return fault.New(fault.Denied, fault.Message, "the attachment %q is of type .%s, which is not let through here", printable(name), printable(is))
		case more:
			s.blocked.Add(1)
			return fault.New(fault.Denied, fault.Message, "the message has more parts, or parts deeper inside each other, than can be looked at for attachments that are not let through")
		}
	}
	if s.Clamd == nil {
		return nil
	}
	virus, err := s.Clamd.scan(ctx, text, submitted, from)
	switch {
	case virus != "":
		s.infected.Add(1)
		return fault.New(fault.Denied, fault.Message, "the message holds a virus: %s", virus)
	case err == nil:
		s.clean.Add(1)
		return nil
	}
	s.unscanned.Add(1)
	switch {
	case s.AcceptUnscanned && errors.Is(err, errDown):
		s.Log.WarnContext(ctx, "a message was let through without a look for viruses", "error", err)
		return nil
	case errors.Is(err, errTooLarge):
		return fault.Wrap(err, fault.TooLarge, fault.Message, "the message is larger than can be looked at for viruses")
	}
	return fault.Wrap(err, fault.Temporary, fault.Message, "the message can't be looked at for viruses now; try again later")
}

// Stats are how many messages were looked at since the start.
type Stats struct {
	Clean, Infected uint64
	Unscanned       uint64 // clamd did not answer, or did not take them
	Blocked         uint64 // for their attachments
}

// Stats returns what was counted.
func (s *Scanner) Stats() Stats {
	return Stats{s.clean.Load(), s.infected.Load(), s.unscanned.Load(), s.blocked.Load()}
}
