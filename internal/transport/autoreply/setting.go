package autoreply

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/fault"
)

// State is whether a mailbox replies: Exchange's OofState.
type State string

// The states.
const (
	Disabled  State = "DISABLED"
	Enabled   State = "ENABLED"   // until it is changed
	Scheduled State = "SCHEDULED" // from a time to another
)

// Audience is who outside of the organisation has a reply: Exchange's ExternalAudience.
type Audience string

// The audiences.
const (
	NoAudience Audience = "NONE"
	Known      Audience = "KNOWN" // to whom the user wrote before
	All        Audience = "ALL"
)

// Setting is a mailbox's automatic reply, in the terms of Exchange's UserOofSettings.
type Setting struct {
	State State
	// Start and End are when a Scheduled one is sent, End excluded; zero where nothing was set.
	Start, End time.Time
	// Internal is for senders of the organisation, External for others: plain text, or HTML that begins with a tag, of which the text is
	// sent. Empty ones are not sent.
	Internal, External string
	Audience           Audience
}

// MaxText is the longest text of a reply in bytes.
const MaxText = 64 << 10

func (s *Setting) check() error {
	switch s.State {
	case Disabled, Enabled:
	case Scheduled:
		if s.Start.IsZero() || !s.Start.Before(s.End) {
			return invalid("an automatic reply that is scheduled has a start, and an end after it")
		}
	default:
		return invalid("%.20q is not a state of an automatic reply", s.State)
	}
	switch s.Audience {
	case NoAudience, Known, All:
	default:
		return invalid("%.20q is not an audience of an automatic reply", s.Audience)
	}
	for _, text := range []string{s.Internal, s.External} {
		if len(text) > MaxText || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return invalid("the text of an automatic reply is UTF-8 of at most %d bytes, without NUL", MaxText)
		}
	}
	if s.State != Disabled && strings.TrimSpace(s.Internal) == "" && (strings.TrimSpace(s.External) == "" || s.Audience == NoAudience) {
		return invalid("an automatic reply has a text for somebody")
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, fault.Resource, format, args...)
}
