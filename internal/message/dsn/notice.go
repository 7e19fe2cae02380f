package dsn

import (
	"io"
	"time"

	"github.com/pennypost/pennypost/internal/message"
)

// Notice is what the sender of one message is told.
type Notice struct {
	// ID makes the Message-ID and the boundary: letters, digits and hyphens, 16 at least, such as nobody can guess.
	ID string
	// Host is the name of the server that tells.
	Host string
	// To is the sender, the reverse-path of the message. Where it is beyond ASCII the notification needs SMTPUTF8, and else not.
	To   message.Address
	Time time.Time

	// EnvelopeID is the message's ENVID as it was given, xtext; empty where it was not.
	EnvelopeID string
	// Arrived is when the server took the message, ReceivedFrom from whom. Both may be left out.
	Arrived      time.Time
	ReceivedFrom string
	// Full asks for the whole message (RET=FULL). It comes with failures only, and where it has Limit bytes at most and can be
	// put into another message as it is; else its header comes.
	Full  bool
	Limit int64 // 0 means DefaultLimit
	// Original is the message, Size its bytes. Without it nothing is returned.
	Original io.ReaderAt
	Size     int64

	// Recipients are those of whom is told: one at least.
	Recipients []Recipient
}

// DefaultLimit is how large a message is returned whole.
const DefaultLimit = 1 << 20

// Recipient is what is told of one recipient. It is also what Parse finds.
type Recipient struct {
	// Address is whom the message was for here.
	Address message.Address
	// Original is ORCPT as it was given; empty where it was not.
	Original string
	Action   Action
	// Status is the enhanced status code (RFC 3463). What fits not with Action becomes the general one of its class.
	Status string
	// Reply is what the other server said, code and all, or else what went wrong, in words.
	Reply string
	// Host is the name of the other server; empty where none was reached.
	Host string
	// Tried is when the last attempt was, Until when attempts end (of Delayed alone). Both may be left out.
	Tried, Until time.Time
}

// Action is what became of a message for a recipient (RFC 3464 section 2.3.3).
type Action string

// The actions. Write knows no others, Parse returns what it finds.
const (
	Failed    Action = "failed"
	Delayed   Action = "delayed"
	Delivered Action = "delivered"
	Relayed   Action = "relayed"
	Expanded  Action = "expanded" // passed on to several, of whom nothing more is told
)

// status returns the status that is told: r's where it is one and fits the action.
func (r *Recipient) status() string {
	class := map[Action]string{Delayed: "4", Delivered: "2", Relayed: "2", Expanded: "2"}[r.Action]
	if isStatus(r.Status) && (r.Status[:1] == class || class == "" && r.Status[0] != '2') { // a failure may be that time is over: 4.4.7
		return r.Status
	}
	if class == "" {
		class = "5"
	}
	return class + ".0.0"
}

// isStatus reports whether s is an enhanced status code (RFC 3463 section 2).
func isStatus(s string) bool {
	if len(s) < 5 || s[0] != '2' && s[0] != '4' && s[0] != '5' || s[1] != '.' {
		return false
	}
	digits, dots := 0, 0
	for _, c := range []byte(s[2:]) {
		switch {
		case '0' <= c && c <= '9' && digits < 3:
			digits++
		case c == '.' && digits > 0 && dots == 0:
			digits, dots = 0, 1
		default:
			return false
		}
	}
	return digits > 0 && dots == 1
}
