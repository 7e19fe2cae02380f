package soap

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// AvailabilityRequest asks for the free/busy of mailboxes (GetUserAvailability). Times are UTC.
type AvailabilityRequest struct {
	XMLName   xml.Name       `xml:"http://schemas.microsoft.com/exchange/services/2006/messages GetUserAvailabilityRequest"`
	TimeZone  TimeZone       `xml:"http://schemas.microsoft.com/exchange/services/2006/types TimeZone"`
	Mailboxes MailboxData    `xml:"MailboxDataArray"`
	Options   FreeBusyOption `xml:"http://schemas.microsoft.com/exchange/services/2006/types FreeBusyViewOptions"`
}

// MailboxData are the mailboxes of a request.
type MailboxData struct {
	Mailboxes []MailboxDatum `xml:"http://schemas.microsoft.com/exchange/services/2006/types MailboxData"`
}

// MailboxDatum is one mailbox of a request.
type MailboxDatum struct {
	Address          string `xml:"Email>Address"`
	RoutingType      string `xml:"Email>RoutingType"`
	AttendeeType     string `xml:"AttendeeType"`
	ExcludeConflicts bool   `xml:"ExcludeConflicts"`
}

// FreeBusyOption says how much of which time is asked for.
type FreeBusyOption struct {
	Start    Time   `xml:"TimeWindow>StartTime"`
	End      Time   `xml:"TimeWindow>EndTime"`
	Interval int    `xml:"MergedFreeBusyIntervalInMinutes"` // minutes of one digit of a merged view
	View     string `xml:"RequestedView"`
}

// TimeZone is a zone in the words of Windows: UTC is local time plus the biases, in minutes.
type TimeZone struct {
	Bias     int         `xml:"Bias"`
	Standard *Transition `xml:"StandardTime"`
	Daylight *Transition `xml:"DaylightTime"`
}

// Transition says when, each year, a further bias begins to count.
type Transition struct {
	Bias  int    `xml:"Bias"`
	Time  string `xml:"Time"`     // hh:mm:ss of local time
	Order int    `xml:"DayOrder"` // which of the month's days of that name: 1 to 4, 5 for the last
	Month int    `xml:"Month"`
	Day   string `xml:"DayOfWeek"` // Sunday, Monday, …
}

// AvailabilityResponse answers an AvailabilityRequest: one response for each mailbox, in the order of the request.
type AvailabilityResponse struct {
	XMLName   xml.Name          `xml:"http://schemas.microsoft.com/exchange/services/2006/messages GetUserAvailabilityResponse"`
	Responses FreeBusyResponses `xml:"FreeBusyResponseArray"`
}

// FreeBusyResponses are the responses for the mailboxes.
type FreeBusyResponses struct {
	Responses []FreeBusyResponse `xml:"FreeBusyResponse"`
}

// FreeBusyResponse is the free/busy of one mailbox, or why there is none.
type FreeBusyResponse struct {
	Message ResponseMessage `xml:"ResponseMessage"`
	View    *FreeBusyView   `xml:"FreeBusyView"`
}

// NoError is the ResponseMessage.Code of a success.
const NoError = "NoError"

// ResponseMessage says whether there is an answer.
type ResponseMessage struct {
	Class string `xml:"ResponseClass,attr"` // Success, Warning, Error
	Text  string `xml:"MessageText,omitempty"`
	Code  string `xml:"ResponseCode"`
}

// FreeBusyView is the free/busy of one mailbox, in as much detail as the requester may see.
type FreeBusyView struct {
	Type         string        `xml:"http://schemas.microsoft.com/exchange/services/2006/types FreeBusyViewType"`
	Merged       string        `xml:"http://schemas.microsoft.com/exchange/services/2006/types MergedFreeBusy,omitempty"`
	Events       *Events       `xml:"http://schemas.microsoft.com/exchange/services/2006/types CalendarEventArray"`
	WorkingHours *WorkingHours `xml:"http://schemas.microsoft.com/exchange/services/2006/types WorkingHours"`
}

// Events are those of a view.
type Events struct {
	Events []Event `xml:"CalendarEvent"`
}

// Event is a time that is not free, or is said to be.
type Event struct {
	Start   Time     `xml:"StartTime"`
	End     Time     `xml:"EndTime"`
	Busy    string   `xml:"BusyType"` // Free, Tentative, Busy, OOF, WorkingElsewhere, NoData
	Details *Details `xml:"CalendarEventDetails"`
}

// Details are what an event is about.
type Details struct {
	ID          string `xml:"ID,omitempty"`
	Subject     string `xml:"Subject,omitempty"`
	Location    string `xml:"Location,omitempty"`
	Meeting     bool   `xml:"IsMeeting"`
	Recurring   bool   `xml:"IsRecurring"`
	Exception   bool   `xml:"IsException"`
	ReminderSet bool   `xml:"IsReminderSet"`
	Private     bool   `xml:"IsPrivate"`
}

// WorkingHours are those of a mailbox's owner, in that one's own zone.
type WorkingHours struct {
	TimeZone TimeZone       `xml:"TimeZone"`
	Periods  WorkingPeriods `xml:"WorkingPeriodArray"`
}

// WorkingPeriods are the periods of working hours.
type WorkingPeriods struct {
	Periods []WorkingPeriod `xml:"WorkingPeriod"`
}

// WorkingPeriod is the same time on some days, in minutes of the day.
type WorkingPeriod struct {
	Days  Weekdays `xml:"DayOfWeek"`
	Start int      `xml:"StartTimeInMinutes"`
	End   int      `xml:"EndTimeInMinutes"`
}

// Time is an xs:dateTime. One without a zone is taken as UTC, which is what requests ask for.
type Time struct{ time.Time }

// MarshalText writes the time in UTC, to the second.
func (t Time) MarshalText() ([]byte, error) {
	return []byte(t.UTC().Format(time.RFC3339)), nil
}

// UnmarshalText reads a time with or without a zone.
func (t *Time) UnmarshalText(text []byte) (err error) {
	s := strings.TrimSpace(string(text))
	if t.Time, err = time.Parse(time.RFC3339, s); err != nil {
		t.Time, err = time.Parse("2006-01-02T15:04:05", s)
	}
	t.Time = t.UTC()
	return err
}

// Weekdays are days of the week, each once, in no particular order.
type Weekdays []time.Weekday

// MarshalText writes the days with blanks between them.
func (w Weekdays) MarshalText() ([]byte, error) {
	names := make([]string, len(w))
	for i, d := range w {
		names[i] = d.String()
	}
	return []byte(strings.Join(names, " ")), nil
}

// UnmarshalText reads days, and the names that stand for several.
func (w *Weekdays) UnmarshalText(text []byte) error {
	var seen [7]bool
	*w = nil
	for name := range strings.FieldsSeq(string(text)) {
		days, err := weekdays(name)
		if err != nil {
			return err
		}
		for _, d := range days {
			if !seen[d] {
				seen[d] = true
				*w = append(*w, d)
			}
		}
	}
	return nil
}

func weekdays(name string) ([]time.Weekday, error) {
	working := []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}
	weekend := []time.Weekday{time.Saturday, time.Sunday}
	switch name {
	case "Day":
		return append(working, weekend...), nil
	case "Weekday":
		return working, nil
	case "WeekendDay":
		return weekend, nil
	}
	d, err := Weekday(name)
	return []time.Weekday{d}, err
}

// Weekday reads the name of one day.
func Weekday(name string) (time.Weekday, error) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if d.String() == name {
			return d, nil
		}
	}
	return 0, fmt.Errorf("%.20q is not a day of the week", name)
}

// NewAvailabilityRequest asks for all that may be seen of mailboxes between two times. interval is the minutes of one digit of
// a merged view, 5 to 1440.
func NewAvailabilityRequest(addresses []string, start, end time.Time, interval int) *AvailabilityRequest {
	r := &AvailabilityRequest{
		// A zone must have both transitions. In UTC neither changes anything.
		TimeZone: TimeZone{
			Standard: &Transition{Time: "02:00:00", Order: 5, Month: 10, Day: "Sunday"},
			Daylight: &Transition{Time: "02:00:00", Order: 5, Month: 3, Day: "Sunday"},
		},
		Options: FreeBusyOption{Start: Time{start}, End: Time{end}, Interval: interval, View: "DetailedMerged"},
	}
	for _, a := range addresses {
		r.Mailboxes.Mailboxes = append(r.Mailboxes.Mailboxes, MailboxDatum{Address: a, RoutingType: "SMTP", AttendeeType: "Required"})
	}
	return r
}

// Encode writes the request in its envelope.
func (r *AvailabilityRequest) Encode() ([]byte, error) {
	zone := &zoneContext{}
	zone.Definition.ID = "UTC"
	return encode(&header{Version: serverVersion{Version: Version}, Zone: zone}, r)
}

// DecodeAvailabilityRequest reads a request in its envelope.
func DecodeAvailabilityRequest(r io.Reader) (*AvailabilityRequest, error) {
	return decode[AvailabilityRequest](r)
}

// Encode writes the response in its envelope.
func (r *AvailabilityResponse) Encode() ([]byte, error) { return encode(nil, r) }

// DecodeAvailabilityResponse reads a response in its envelope. The error is, or wraps, a *Fault where the whole request failed.
func DecodeAvailabilityResponse(r io.Reader) (*AvailabilityResponse, error) {
	return decode[AvailabilityResponse](r)
}
