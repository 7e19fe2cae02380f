package availability

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
)

// event is what a function is called with.
type event struct {
	Requester requester `json:"requester"`
	Mailboxes []string  `json:"mailboxes"`
	Window    struct {
		Start string `json:"startDate"`
		End   string `json:"endDate"`
	} `json:"window"`
}

// rfc3339Millis is how the real service writes times.
const rfc3339Millis = "2006-01-02T15:04:05.000Z"

// askFunction calls the endpoint that stands for a function.
func (s *Service) askFunction(ctx context.Context, arn string, ask inquiry) ([]Mailbox, *failure) {
	f, ok := s.functions[arn]
	if !ok {
		return nil, failed(GenerationFailed, "the function %s is not mapped to an endpoint in this server's configuration", arn)
	}
	e := event{Requester: ask.requester, Mailboxes: ask.addresses}
	e.Window.Start, e.Window.End = ask.start.Format(rfc3339Millis), ask.end.Format(rfc3339Millis)
	body, err := json.Marshal(e)
	if err != nil {
		return nil, failed(GenerationFailed, "%v", err)
	}
	response, failure := post(ctx, f.client, f.URL, "application/json", body, func(r *http.Request) {
		if f.Secret != "" {
			r.Header.Set("Authorization", "Bearer "+f.Secret)
		}
	})
	if failure != nil {
		return nil, failure
	}
	defer response.Body.Close() // read to its end, or given up
	if response.StatusCode != http.StatusOK {
		return nil, status(response.StatusCode)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, explain(err)
	}
	return ask.readFunction(text)
}

// The answer of a function, as the real service documents it.
type (
	functionMailbox struct {
		Mailbox string          `json:"mailbox"`
		Error   string          `json:"error"`
		Events  []functionEvent `json:"events"`
		Hours   *functionHours  `json:"workingHours"`
	}
	functionEvent struct {
		Start   *time.Time       `json:"startTime"`
		End     *time.Time       `json:"endTime"`
		Busy    string           `json:"busyType"`
		Details *functionDetails `json:"details"`
	}
	functionDetails struct {
		Subject     string   `json:"subject"`
		Location    string   `json:"location"`
		Instance    Instance `json:"instanceType"`
		Meeting     bool     `json:"isMeeting"`
		ReminderSet bool     `json:"isReminderSet"`
		Private     bool     `json:"isPrivate"`
	}
	functionHours struct {
		Zone    *functionZone    `json:"timezone"`
		Periods []functionPeriod `json:"workingPeriods"`
	}
	functionZone struct {
		Name     string              `json:"name"`
		Bias     int                 `json:"bias"`
		Standard *functionTransition `json:"standardTime"`
		Daylight *functionTransition `json:"daylightTime"`
	}
	functionTransition struct {
		Offset int    `json:"offset"`
		Time   string `json:"time"`
		Month  string `json:"month"`
		Week   string `json:"week"`
		Day    string `json:"dayOfWeek"`
	}
	functionPeriod struct {
		Start int      `json:"startMinutes"`
		End   int      `json:"endMinutes"`
		Days  []string `json:"days"`
	}
)

// readFunction reads the answer of a function. A mailbox that it leaves out, or tells in another form, has no free/busy; the
// others have.
func (q inquiry) readFunction(text []byte) ([]Mailbox, *failure) {
	var answer struct {
		Mailboxes *[]json.RawMessage `json:"mailboxes"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Mailboxes == nil {
		return nil, failed(SchemaValidation, `the answer is not a JSON object with the list "mailboxes"`)
	}
	told := map[string]Mailbox{}
	for _, raw := range *answer.Mailboxes {
		var m functionMailbox
		err := json.Unmarshal(raw, &m)
		address := directory.Fold(m.Mailbox)
		if _, twice := told[address]; err != nil || twice {
			told[address] = Mailbox{Error: SchemaValidation}
			continue
		}
		read, failure := q.readMailbox(&m)
		if failure != nil {
			read = Mailbox{Error: failure.word}
		}
		told[address] = read
	}
	mailboxes := make([]Mailbox, len(q.addresses))
	for i, address := range q.addresses {
		m, ok := told[directory.Fold(address)]
		if !ok {
			m = Mailbox{Error: SchemaValidation}
		}
		mailboxes[i] = m
	}
	return mailboxes, nil
}

func (q inquiry) readMailbox(from *functionMailbox) (m Mailbox, failure *failure) {
	switch word := ErrorWord(from.Error); {
	case word == "":
	case slices.Contains([]ErrorWord{MailboxNotFound, ConfigNotFound, ServerBusy, TimeoutExpired, SchemaValidation}, word):
		return Mailbox{Error: word}, nil
	default:
		return Mailbox{Error: GenerationFailed}, nil
	}
	if from.Events == nil {
		return m, failed(SchemaValidation, "neither events nor an error")
	}
	busy := map[string]BusyType{"BUSY": Busy, "FREE": Free, "TENTATIVE": Tentative}
	for _, e := range from.Events {
		b, ok := busy[e.Busy]
		if !ok || e.Start == nil || e.End == nil {
			return m, failed(SchemaValidation, "an event lacks a time or its busyType")
		}
		event := Event{Start: e.Start.UTC(), End: e.End.UTC(), Busy: b}
		if d := e.Details; d != nil {
			if d.Instance == "" {
				d.Instance = Single
			}
			if !slices.Contains([]Instance{Single, Recurring, Exception}, d.Instance) {
				return m, failed(SchemaValidation, "an instanceType that does not exist")
			}
			event.Details = &Details{
				Subject: short(d.Subject), Location: short(d.Location), Instance: d.Instance,
				Meeting: d.Meeting, ReminderSet: d.ReminderSet, Private: d.Private,
			}
		}
		m.Events = append(m.Events, event)
	}
	if m.Events, failure = q.within(m.Events); failure == nil && from.Hours != nil {
		m.WorkingHours, failure = from.Hours.read()
	}
	return m, failure
}

func (h *functionHours) read() (*WorkingHours, *failure) {
	if h.Zone == nil {
		return nil, failed(SchemaValidation, "working hours without a time zone")
	}
	w := &WorkingHours{Zone: Zone{Name: short(h.Zone.Name), Bias: h.Zone.Bias}}
	for _, side := range []struct {
		from *functionTransition
		to   **Transition
	}{{h.Zone.Standard, &w.Zone.Standard}, {h.Zone.Daylight, &w.Zone.Daylight}} {
		t := side.from
		if t == nil {
			continue
		}
		at, err := timeOfDay(t.Time)
		month, week, day := slices.Index(months(), t.Month)+1, slices.Index(weeks(), t.Week)+1, slices.Index(days(), t.Day)
		if err != nil || month == 0 || week == 0 || day < 0 {
			return nil, failed(SchemaValidation, "the time zone of the working hours changes at a time that does not exist")
		}
		*side.to = &Transition{Bias: t.Offset, Time: at, Month: time.Month(month), Week: week, Day: time.Weekday(day)}
	}
	for _, p := range h.Periods {
		period := Period{Start: p.Start, End: p.End}
		for _, name := range p.Days {
			day := slices.Index(days(), name)
			if day < 0 || slices.Contains(period.Days, time.Weekday(day)) {
				return nil, failed(SchemaValidation, "a working period with a day that does not exist, or twice")
			}
			period.Days = append(period.Days, time.Weekday(day))
		}
		w.Periods = append(w.Periods, period)
	}
	return w, w.check()
}

// months are the words of the months. The documentation of the real service forgets MAY.
func months() []string {
	return []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
}

func weeks() []string { return []string{"FIRST", "SECOND", "THIRD", "FOURTH", "LAST"} }

func days() []string { return []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"} }
