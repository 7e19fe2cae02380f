package mailbox

import (
	"context"
	"time"
)

// Op is what a Criterion asks.
type Op uint8

// The operators.
const (
	All            Op = iota // every item
	And                      // all of Sub
	Or                       // any of Sub
	Not                      // not Sub[0]
	InUIDs                   // UID in UIDs
	FlagsAre                 // the flags under Mask equal Flags: {Mask: Seen} is UNSEEN
	Larger                   // Size above Number
	Smaller                  // Size below Number
	ReceivedFrom             // Received at or after Time
	ReceivedBefore           // Received before Time
	SavedFrom                // Saved at or after Time
	SavedBefore              // Saved before Time
	ChangedFrom              // ModSeq at or above Number
	EmailIs                  // Email is Number
	ThreadIs                 // Thread is Number
	SentFrom                 // the date of the Date header, as written there, at or after Time: the Matcher's
	SentBefore               // the same, before Time
	HeaderHas                // header field Field contains Text (any value if Text is empty)
	BodyHas                  // the body contains Text
	TextHas                  // header or body contain Text
)

// Criterion is a question about an item: a tree that a search evaluates, the cheap questions before the dear ones. The zero
// value is true for every item.
type Criterion struct {
	Op          Op
	Sub         []Criterion
	UIDs        UIDSet
	Mask, Flags Flags
	Number      int64
	Time        time.Time
	Field, Text string
}

// Matcher answers the questions that need the message's own bytes; it knows the formats that the parser made.
type Matcher interface {
	// MatchEnvelope answers SentFrom, SentBefore and HeaderHas from the envelope, if it can: else known is false.
	MatchEnvelope(c *Criterion, envelope []byte) (match, known bool)
	// Message makes ready to look into a whole message, which is done once for all that a search asks of it. structure's
	// offsets count from the end of the prefix, which is the first prefix bytes of the content. It reads nothing yet.
	Message(structure []byte, content Content, prefix int) MessageMatcher
}

// MessageMatcher answers SentFrom, SentBefore, HeaderHas, BodyHas and TextHas from one message. It may keep what it reads for the
// next question.
type MessageMatcher interface {
	Match(c *Criterion) (bool, error)
}

// verdict is an answer as far as it is known.
type verdict uint8

const (
	unknown verdict = iota
	yes
	no
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// level is how much of an item has been read.
type level uint8

const (
	rowLevel      level = iota // the item's own row
	envelopeLevel              // and its envelope
	messageLevel               // and the message
)

// need returns up to which level a criterion may have to go.
func (c *Criterion) need() level {
	top := rowLevel
	switch c.Op {
	case SentFrom, SentBefore, HeaderHas:
		// The envelope may not hold the field; then need is raised item by item.
		return envelopeLevel
	case BodyHas, TextHas:
		return messageLevel
	}
	for i := range c.Sub {
		top = max(top, c.Sub[i].need())
	}
	return top
}

// onlyMessages reports whether c, held by an item as far as a snapshot tells (within), can't be answered without the message.
func (c *Criterion) onlyMessages() bool {
	some := c.Op == BodyHas || c.Op == TextHas
	for i := range c.Sub {
		sub := &c.Sub[i]
		switch {
		case sub.onlyMessages():
			some = true
		case c.Op != And || !sub.inMemory():
			return false
		}
	}
	return some
}

// judge answers a criterion with what the candidate has been read of. It asks all parts it can before it gives up on one, so
// that a cheap no spares a dear look.
func (c *Criterion) judge(ctx context.Context, k *candidate) (verdict, error) {
	switch c.Op {
	case And, Or:
		// For Or, yes and no change places.
		stop, rest := no, yes
		if c.Op == Or {
			stop, rest = yes, no
		}
		for i := range c.Sub {
			v, err := c.Sub[i].judge(ctx, k)
			if err != nil || v == stop {
				return v, err
			}
			if v == unknown {
				rest = unknown
			}
		}
		return rest, nil
	case Not:
		v, err := c.Sub[0].judge(ctx, k)
		switch v {
		case yes:
			return no, err
		case no:
			return yes, err
		}
		return unknown, err
	case SentFrom, SentBefore, HeaderHas, BodyHas, TextHas:
		return k.ask(ctx, c)
	}
	return verdictOf(c.holds(k.item)), nil
}

// holds answers the questions about an item's own row.
func (c *Criterion) holds(it *Item) bool {
	switch c.Op {
	case InUIDs:
		return c.UIDs.Contains(it.UID)
	case FlagsAre:
		return it.Flags&c.Mask == c.Flags&c.Mask
	case Larger:
		return it.Size > c.Number
	case Smaller:
		return it.Size < c.Number
	case ReceivedFrom:
		return !it.Received.Before(c.Time)
	case ReceivedBefore:
		return it.Received.Before(c.Time)
	case SavedFrom:
		return !it.Saved.Before(c.Time)
	case SavedBefore:
		return it.Saved.Before(c.Time)
	case ChangedFrom:
		return int64(it.ModSeq) >= c.Number
	case EmailIs:
		return int64(it.Email) == c.Number
	case ThreadIs:
		return int64(it.Thread) == c.Number
	}
	return true // All
}
