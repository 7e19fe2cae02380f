package availability

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/pennypost/pennypost/internal/ews/soap"
)

// mergedInterval is the minutes of one digit of a merged view.
const mergedInterval = 30

// askEWS asks a server by GetUserAvailability.
func (s *Service) askEWS(ctx context.Context, server *EWS, ask inquiry) ([]Mailbox, *failure) {
	body, err := soap.NewAvailabilityRequest(ask.addresses, ask.start, ask.end, mergedInterval).Encode()
	if err != nil {
		return nil, failed(GenerationFailed, "%v", err)
	}
	response, failure := post(ctx, s.ews, server.Endpoint, soap.ContentType, body, func(r *http.Request) {
		r.SetBasicAuth(server.Username, server.Password)
	})
	if failure != nil {
		return nil, failure
	}
	defer response.Body.Close() // read to its end, or given up
	// Exchange tells faults with HTTP 500.
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusInternalServerError {
		return nil, status(response.StatusCode)
	}
	mailboxes, failure := ask.readEWS(response.Body)
	if failure != nil && failure.word == SchemaValidation && response.StatusCode != http.StatusOK {
		return nil, status(response.StatusCode)
	}
	return mailboxes, failure
}

// readEWS reads the answer of a server.
func (q inquiry) readEWS(from io.Reader) ([]Mailbox, *failure) {
	body := &watched{from: from}
	answer, err := soap.DecodeAvailabilityResponse(body)
	var fault *soap.Fault
	switch {
	case body.err != nil: // what was read is half an answer
		return nil, explain(body.err)
	case errors.As(err, &fault):
		return nil, failed(wordOf(fault.ResponseCode), "the server answered %.200s", fault)
	case err != nil:
		return nil, failed(SchemaValidation, "the answer is not one of GetUserAvailability: %.200v", err)
	case len(answer.Responses.Responses) != len(q.addresses):
		return nil, failed(SchemaValidation, "%d mailboxes were asked for, and the answer has %d", len(q.addresses), len(answer.Responses.Responses))
	}
	mailboxes := make([]Mailbox, len(q.addresses))
	for i, r := range answer.Responses.Responses {
		m, failure := q.readView(r)
		if failure != nil {
			m = Mailbox{Error: failure.word}
		}
		mailboxes[i] = m
	}
	return mailboxes, nil
}

// watched remembers the error that ended a reading before its end.
type watched struct {
	from io.Reader
	err  error
}

// Read reads.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// wordOf is what a response code of Exchange means here.
func wordOf(code string) ErrorWord {
	switch code {
	case "ErrorMailRecipientNotFound", "ErrorNonExistentMailbox", "ErrorInvalidSmtpAddress":
		return MailboxNotFound
	case "ErrorServerBusy":
		return ServerBusy
	case "ErrorTimeoutExpired":
		return TimeoutExpired
	}
	return GenerationFailed
}

func (q inquiry) readView(r soap.FreeBusyResponse) (m Mailbox, failure *failure) {
	if r.Message.Code != soap.NoError {
		return m, failed(wordOf(r.Message.Code), "%s", r.Message.Code)
	}
	if r.View == nil {
		return m, failed(SchemaValidation, "a success without a view")
	}
	switch {
	case r.View.Type == "None":
		m.Events = []Event{{Start: q.start, End: q.end, Busy: NoData}}
	case r.View.Events != nil:
		if m.Events, failure = readEvents(r.View.Events.Events); failure != nil {
			return m, failure
		}
	default:
		if m.Events, failure = q.readMerged(r.View.Merged); failure != nil {
			return m, failure
		}
	}
	if m.Events, failure = q.within(m.Events); failure != nil {
		return m, failure
	}
	if r.View.WorkingHours != nil {
		m.WorkingHours, failure = readWorkingHours(r.View.WorkingHours)
	}
	return m, failure
}

func readEvents(from []soap.Event) ([]Event, *failure) {
	events := make([]Event, 0, len(from))
	for _, e := range from {
		event := Event{Start: e.Start.Time, End: e.End.Time, Busy: BusyType(e.Busy)}
		switch event.Busy {
		case Free, Busy, Tentative, OutOfOffice, WorkingElsewhere, NoData:
		default:
			return nil, failed(SchemaValidation, "an event is %.50q", e.Busy)
		}
		if d := e.Details; d != nil {
			event.Details = &Details{
				Subject: short(d.Subject), Location: short(d.Location), Instance: Single,
				Meeting: d.Meeting, ReminderSet: d.ReminderSet, Private: d.Private,
			}
			switch {
			case d.Exception:
				event.Details.Instance = Exception
			case d.Recurring:
				event.Details.Instance = Recurring
			}
		}
		events = append(events, event)
	}
	return events, nil
}

// readMerged turns a digit for each interval to events; equal ones that follow each other are one.
func (q inquiry) readMerged(digits string) (events []Event, _ *failure) {
	if len(digits) > int(q.end.Sub(q.start)/(mergedInterval*time.Minute))+1 {
		return nil, failed(SchemaValidation, "the merged view is longer than the window")
	}
	types := []BusyType{Free, Tentative, Busy, OutOfOffice, NoData}
	for i := range len(digits) {
		n := int(digits[i]) - '0'
		if n < 0 || n >= len(types) {
			return nil, failed(SchemaValidation, "the merged view has a %.4q", digits[i:i+1])
		}
		start := q.start.Add(time.Duration(i) * mergedInterval * time.Minute)
		end := start.Add(mergedInterval * time.Minute)
		switch last := len(events) - 1; {
		case n == 0:
		case last >= 0 && events[last].Busy == types[n] && events[last].End.Equal(start):
			events[last].End = end
		default:
			events = append(events, Event{Start: start, End: end, Busy: types[n]})
		}
	}
	return events, nil
}

func readWorkingHours(from *soap.WorkingHours) (*WorkingHours, *failure) {
	w := &WorkingHours{Zone: Zone{Bias: from.TimeZone.Bias}}
	for _, side := range []struct {
		from *soap.Transition
		to   **Transition
	}{{from.TimeZone.Standard, &w.Zone.Standard}, {from.TimeZone.Daylight, &w.Zone.Daylight}} {
		t := side.from
		if t == nil || t.Month == 0 { // a zone that never changes has zeros
			continue
		}
		at, err := timeOfDay(t.Time)
		day, dayErr := soap.Weekday(t.Day)
		if err != nil || dayErr != nil {
			return nil, failed(SchemaValidation, "the time zone of the working hours changes at a time that does not exist")
		}
		week := t.Order
		if week == -1 {
			week = 5 // some servers say so
		}
		*side.to = &Transition{Bias: t.Bias, Time: at, Month: time.Month(t.Month), Week: week, Day: day}
	}
	for _, p := range from.Periods.Periods {
		w.Periods = append(w.Periods, Period{Start: p.Start, End: p.End, Days: p.Days})
	}
	return w, w.check()
}
