package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
)

// Limits of functions, which are the service's that this is compatible with.
const (
	FunctionTimeout = 15 * time.Second // how long a function may take

	maxEvent         = 128 << 10 // bytes
	maxAnswer        = 256 << 10 // bytes
	maxSubject       = 256       // characters
	maxDecisions     = 10
	maxBounceMessage = 1000 // characters
	maxRecipients    = 500  // that answers name
)

// summaryVersion is of the event's form.
const summaryVersion = "2019-07-28"

// Event is what a function is called with. Its form is that of WorkMail's events for AWS Lambda.
type Event struct {
	Version   string         `json:"summaryVersion"`
	Envelope  EventEnvelope  `json:"envelope"`
	Sender    *EventAddress  `json:"sender,omitempty"` // who sent the message on behalf of the other
	Subject   string         `json:"subject"`
	MessageID string         `json:"messageId"`
	Call      string         `json:"invocationId"` // the same each time the function is asked again
	Direction EventDirection `json:"flowDirection"`
	Truncated bool           `json:"truncated"` // recipients are left out
}

// EventEnvelope is who a message is from and to.
type EventEnvelope struct {
	From       EventAddress   `json:"mailFrom"`
	Recipients []EventAddress `json:"recipients"`
}

// EventAddress is an address.
type EventAddress struct {
	Address string `json:"address"`
}

// EventDirection is a Direction in an event's words.
type EventDirection string

// NewEvent makes the event of a message with the header. from is its reverse-path; a message that is sent is from who is in From, also
// where somebody else sent it on behalf of that one.
func NewEvent(d Direction, messageID, call string, from message.Address, header []byte, to []string) *Event {
	e := &Event{Version: summaryVersion, MessageID: messageID, Call: call, Direction: "INBOUND"}
	author := AuthorOf(header)
	author.Sender, author.From = slices.DeleteFunc(author.Sender, tooLong), slices.DeleteFunc(author.From, tooLong)
	e.Envelope.From.Address = from.String()
	if len(author.From) > 0 && (d == Outbound || from.IsZero()) {
		e.Envelope.From.Address = author.From[0].String()
	}
	if len(author.Sender) > 0 && author.Sender[0].Fold().String() != firstOf(author.From).Fold().String() {
		e.Sender = &EventAddress{author.Sender[0].String()}
	}
	if d == Outbound {
		e.Direction = "OUTBOUND"
	}
	e.Subject = short(message.DecodeWords(message.ParseEnvelope(header[:message.HeaderEnd(header)]).Subject), maxSubject)
	e.Envelope.Recipients = make([]EventAddress, len(to))
	for i, a := range to {
		e.Envelope.Recipients[i].Address = a
	}
	for size := e.size(); size > maxEvent && len(e.Envelope.Recipients) > 0; size = e.size() {
		e.Truncated = true
		e.Envelope.Recipients = e.Envelope.Recipients[:len(e.Envelope.Recipients)*9/10]
	}
	return e
}

// tooLong reports whether what stands in a header can't be an address: as the event's it would leave no room for the recipients.
func tooLong(a message.Address) bool {
	return len(a.Local) > message.MaxLocal || len(a.Domain) > maxDomainBytes
}

func firstOf(list []message.Address) message.Address {
	if len(list) == 0 {
		return message.Address{}
	}
	return list[0]
}

func (e *Event) size() int {
	b, err := json.Marshal(e)
	if err != nil { // strings only
		return 0
	}
	return len(b)
}

// Decision is what a function decides.
type Decision struct {
	Action Action
	// BounceMessage is what the sender is told with Bounce, where the function says it.
	BounceMessage string
	// To are the recipients it is for; All is for everybody whom no decision names.
	To  []message.Address
	All bool
}

// answer is what a function answers.
type answer struct {
	Actions []struct {
		Action struct {
			Type       Action `json:"type"`
			Parameters struct {
				BounceMessage string `json:"bounceMessage"`
			} `json:"parameters"`
		} `json:"action"`
		Recipients    []string `json:"recipients"`
		AllRecipients yes      `json:"allRecipients"`
		Default       yes      `json:"default"` // how old functions write AllRecipients
	} `json:"actions"`
}

// yes is a boolean, which functions write as a string too, AWS's samples among them.
type yes bool

// UnmarshalJSON implements json.Unmarshaler.
func (y *yes) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	*y = yes(strings.EqualFold(text, "true"))
	if !bool(*y) && !strings.EqualFold(text, "false") && text != "null" {
		return fmt.Errorf("%.40s is neither true nor false", b)
	}
	return nil
}

// ReadAnswer reads what a function answered for a message of the direction. Of decisions for all the first counts, as it does for a recipient.
func ReadAnswer(d Direction, text []byte) ([]Decision, error) {
	var a answer
	if err := json.Unmarshal(text, &a); err != nil || a.Actions == nil {
		return nil, failed(nil, `the answer is not a JSON object with the list "actions"`)
	}
	if len(a.Actions) > maxDecisions {
		return nil, failed(nil, "the answer has %d actions; %d are allowed", len(a.Actions), maxDecisions)
	}
	decisions, named, all := make([]Decision, 0, len(a.Actions)), 0, false
	for _, given := range a.Actions {
		made := Decision{Action: given.Action.Type, All: bool(given.AllRecipients || given.Default), BounceMessage: short(strings.Join(strings.Fields(given.Action.Parameters.BounceMessage), " "), maxBounceMessage)}
		if !d.decides(made.Action) {
			return nil, failed(nil, "%.40q is not an action of the answer", made.Action)
		}
		if len(given.Recipients) == 0 && !made.All {
			return nil, failed(nil, "an action of the answer is for nobody: it needs recipients or allRecipients")
		}
		for _, r := range given.Recipients {
			to, err := message.ParseAddress(r)
			if err != nil {
				return nil, failed(nil, "%.100q in the answer is not an address", r)
			}
			made.To = append(made.To, to)
		}
		if named += len(made.To); named > maxRecipients {
			return nil, failed(nil, "the answer names more than %d recipients", maxRecipients)
		}
		made.All, all = made.All && !all, all || made.All
		if made.All || len(made.To) > 0 {
			decisions = append(decisions, made)
		}
	}
	return decisions, nil
}

// decides reports whether a function may answer with the action, and whether a rule can fall back on it.
func (d Direction) decides(a Action) bool {
	switch a {
	case Drop, Bounce, Default:
		return true
	case MoveToJunk, BypassSpam:
		return d == Inbound
	}
	return false
}

// short is valid UTF-8 of at most n characters.
func short(s string, n int) string {
	runes := []rune(strings.ToValidUTF8(s, "\uFFFD"))
	return string(runes[:min(len(runes), n)])
}

// Dialer is a *dial.Dialer.
type Dialer = availability.Dialer

// functionClient is a function with its connections.
type functionClient struct {
	availability.Function
	client *http.Client
}

// Call calls the function with the event and returns what it answers, whatever that is. Errors are faults, whose messages tell nothing of the
// server's own network.
func (s *Service) Call(ctx context.Context, arn string, e *Event) ([]byte, error) {
	f, ok := s.functions[arn]
	if !ok {
		return nil, failed(nil, "the function %s is not mapped to an endpoint in this server's configuration", arn)
	}
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, FunctionTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Pennypost")
	if f.Secret != "" {
		r.Header.Set("Authorization", "Bearer "+f.Secret)
	}
	response, err := f.client.Do(r)
	if err != nil {
		return nil, explain(err)
	}
	defer response.Body.Close() // read to its end, or given up
	switch {
	case response.StatusCode != http.StatusOK:
		return nil, failed(nil, "the function answered HTTP %d", response.StatusCode)
	case response.Header.Get("X-Amz-Function-Error") != "": // as Lambda says that the function itself failed
		return nil, failed(nil, "the function failed")
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, explain(err)
	}
	return text, nil
}

func failed(cause error, format string, args ...any) error {
	return fault.Wrap(cause, fault.Temporary, fault.Resource, format, args...)
}

// Hung reports whether a call ended because the function gave no answer in the time that it has.
func Hung(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// explain says why there is no answer.
func explain(err error) error {
	var refused *dial.Refused
	switch {
	case errors.As(err, &refused):
		return failed(err, "%v", refused)
	case errors.Is(err, dial.ErrTooLarge):
		return failed(err, "the function's answer has more than %d bytes", maxAnswer)
	case Hung(err), errors.Is(err, context.Canceled):
		return failed(err, "the function gave no whole answer in time")
	}
	return failed(err, "the function can't be reached")
}
