package availability

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func anInquiry() inquiry {
	return inquiry{
		addresses: []string{"a@far.example", "b@far.example"},
		start:     time.Date(2021, 5, 4, 0, 0, 0, 0, time.UTC), end: time.Date(2021, 5, 6, 0, 0, 0, 0, time.UTC),
	}
}

const (
	anEvent = `"startTime":"2021-05-04T01:00:00Z","endTime":"2021-05-04T02:00:00Z"`
	aZone   = `"timezone":{"name":"UTC","bias":0}`
)

// TestFunctionAnswers holds each rule of the documented answer; the other mailbox of the answer keeps its own.
func TestFunctionAnswers(t *testing.T) {
	transition := func(change string) string {
		whole := map[string]string{"offset": "0", "time": `"02:00:00"`, "month": `"MAY"`, "week": `"LAST"`, "dayOfWeek": `"SUN"`}
		key, value, _ := strings.Cut(change, "=")
		whole[key] = value
		return fmt.Sprintf(`"events":[],"workingHours":{"timezone":{"bias":-60,"standardTime":{"offset":%s,"time":%s,"month":%s,"week":%s,"dayOfWeek":%s}},"workingPeriods":[]}`,
			whole["offset"], whole["time"], whole["month"], whole["week"], whole["dayOfWeek"])
	}
	period := func(text string) string {
		return `"events":[],"workingHours":{` + aZone + `,"workingPeriods":[` + text + `]}`
	}
	for body, want := range map[string]ErrorWord{
		`"events":[]`: "",
		`"events":[{` + anEvent + `,"busyType":"TENTATIVE"}]`:                                              "",
		`"events":[{` + anEvent + `,"busyType":"FREE","details":{}}]`:                                      "",
		`"events":[{` + anEvent + `,"busyType":"BUSY","details":{"instanceType":"EXCEPTION"}}],"more":[1]`: "",
		period(`{"startMinutes":0,"endMinutes":1440,"days":["SAT"]}`):                                      "",
		transition("month=\"MAY\""):                                                                        "", transition("month=\"DEC\""): "", transition("offset=-60"): "",

		`"error":"MailboxNotFound"`: MailboxNotFound, `"error":"ErrorServerBusy","events":[]`: ServerBusy,
		`"error":"ErrorAvailabilityConfigNotFound"`: ConfigNotFound, `"error":"ErrorTimeoutExpired"`: TimeoutExpired,
		`"error":"ErrorResponseSchemaValidation"`: SchemaValidation, `"error":"ErrorFreeBusyGenerationFailed"`: GenerationFailed,
		`"error":"Whatever"`: GenerationFailed,

		`"x":1`:                        SchemaValidation,
		`"events":null`:                SchemaValidation,
		`"events":{}`:                  SchemaValidation,
		`"events":[{}]`:                SchemaValidation,
		`"events":[{` + anEvent + `}]`: SchemaValidation,
		`"events":[{` + anEvent + `,"busyType":"busy"}]`:                                                     SchemaValidation,
		`"events":[{` + anEvent + `,"busyType":"BUSY","details":{"instanceType":"x"}}]`:                      SchemaValidation,
		`"events":[{` + anEvent + `,"busyType":"BUSY","details":{"subject":7}}]`:                             SchemaValidation,
		`"events":[{"startTime":"yesterday","endTime":"2021-05-04T02:00:00Z","busyType":"BUSY"}]`:            SchemaValidation,
		`"events":[{"startTime":"2021-05-04T02:00:00Z","busyType":"BUSY"}]`:                                  SchemaValidation,
		`"events":[{"startTime":"2021-05-04T02:00:00Z","endTime":"2021-05-04T01:00:00Z","busyType":"BUSY"}]`: SchemaValidation,
		`"events":[],"workingHours":{"workingPeriods":[]}`:                                                   SchemaValidation,
		`"events":[],"workingHours":{"timezone":{"bias":1441}}`:                                              SchemaValidation,
		period(`{"startMinutes":60,"endMinutes":30,"days":["SAT"]}`):                                         SchemaValidation,
		period(`{"startMinutes":0,"endMinutes":1441,"days":["SAT"]}`):                                        SchemaValidation,
		period(`{"startMinutes":0,"endMinutes":60,"days":["Saturday"]}`):                                     SchemaValidation,
		period(`{"startMinutes":0,"endMinutes":60,"days":["SAT","SAT"]}`):                                    SchemaValidation,
		transition(`month="May"`): SchemaValidation, transition(`week="FIFTH"`): SchemaValidation, transition(`dayOfWeek="x"`): SchemaValidation,
		transition(`time="25:00:00"`): SchemaValidation, transition("offset=9999"): SchemaValidation,
	} {
		text := `{"mailboxes":[{"mailbox":"A@FAR.example",` + body + `},{"mailbox":"b@far.example","events":[{` + anEvent + `,"busyType":"BUSY"}]}]}`
		got, failure := anInquiry().readFunction([]byte(text))
		if failure != nil || got[0].Error != want || got[1].Error != "" || len(got[1].Events) != 1 {
			t.Errorf("%s: %+v, %v; want %q", body, got, failure, want)
		}
	}
	for text, want := range map[string]string{
		`{"mailboxes":[]}`: "ErrorResponseSchemaValidation ErrorResponseSchemaValidation",
		`{"mailboxes":[{"mailbox":"b@far.example","events":[]},{"mailbox":"z@far.example","events":[]},7]}`: "ErrorResponseSchemaValidation ",
		`{"mailboxes":[{"mailbox":"b@far.example","events":[]},{"mailbox":"b@far.example","error":"x"}]}`:   "ErrorResponseSchemaValidation ErrorResponseSchemaValidation",
		`{}`: "none", `null`: "none", `[]`: "none", `{"mailboxes":{}}`: "none", `{"errorMessage":"boom"}`: "none", ``: "none", `{"mailboxes":[]} x`: "none",
	} {
		got, failure := anInquiry().readFunction([]byte(text))
		if said := "none"; failure == nil {
			said = fmt.Sprint(got[0].Error, " ", got[1].Error)
			if said != want {
				t.Errorf("%s: %s, want %s", text, said, want)
			}
		} else if want != said || failure.word != SchemaValidation {
			t.Errorf("%s: %v, want %s", text, failure, want)
		}
	}
}

// TestAnswersAreCut leaves out what lies outside of the window, shortens texts, and takes no more events than a calendar has.
func TestAnswersAreCut(t *testing.T) {
	event := func(from, to, subject string) string {
		return fmt.Sprintf(`{"startTime":"%s","endTime":"%s","busyType":"BUSY","details":{"subject":%q}}`, from, to, subject)
	}
	read := func(events ...string) Mailbox {
		got, failure := anInquiry().readFunction([]byte(`{"mailboxes":[{"mailbox":"a@far.example","events":[` + strings.Join(events, ",") + `]}]}`))
		if failure != nil {
			t.Fatal(failure)
		}
		return got[0]
	}
	m := read(
		event("2021-05-03T22:00:00Z", "2021-05-04T00:00:00Z", "before"), event("2021-05-03T22:00:00-02:00", "2021-05-04T00:30:00Z", "from before"),
		event("2021-05-05T23:00:00Z", "2021-05-09T00:00:00Z", strings.Repeat("ä", 300)), event("2021-05-06T00:00:00Z", "2021-05-06T01:00:00Z", "after"),
	)
	if len(m.Events) != 2 || m.Events[0].Details.Subject != "from before" || m.Events[1].Details.Subject != strings.Repeat("ä", 256) ||
		!m.Events[1].End.Equal(time.Date(2021, 5, 9, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("read %+v", m)
	}
	one := event("2021-05-04T00:00:00Z", "2021-05-04T01:00:00Z", "x")
	if m := read(slices.Repeat([]string{one}, maxEvents)...); len(m.Events) != maxEvents {
		t.Errorf("%d events: %s", len(m.Events), m.Error)
	}
	if m := read(slices.Repeat([]string{one}, maxEvents+1)...); m.Error != SchemaValidation {
		t.Errorf("%d events: %q", len(m.Events), m.Error)
	}
}

// view is an answer of EWS about two mailboxes, of which the second is the good one.
func view(message, first string) string {
	const head = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><m:GetUserAvailabilityResponse xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages" xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"><m:FreeBusyResponseArray>`
	return head + `<m:FreeBusyResponse><m:ResponseMessage ResponseClass="Success"><m:ResponseCode>` + message + `</m:ResponseCode></m:ResponseMessage>` + first + `</m:FreeBusyResponse>
		<m:FreeBusyResponse><m:ResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode></m:ResponseMessage><m:FreeBusyView><t:FreeBusyViewType>FreeBusy</t:FreeBusyViewType></m:FreeBusyView></m:FreeBusyResponse>
		</m:FreeBusyResponseArray></m:GetUserAvailabilityResponse></s:Body></s:Envelope>`
}

func TestExchangeAnswers(t *testing.T) {
	for message, want := range map[string]ErrorWord{
		"ErrorMailRecipientNotFound": MailboxNotFound, "ErrorServerBusy": ServerBusy, "ErrorTimeoutExpired": TimeoutExpired,
		"ErrorNoFreeBusyAccess": GenerationFailed, "": GenerationFailed, "NoError": SchemaValidation,
	} {
		got, failure := anInquiry().readEWS(strings.NewReader(view(message, "")))
		if failure != nil || got[0].Error != want || got[1].Error != "" {
			t.Errorf("%s: %+v, %v; want %s", message, got, failure, want)
		}
	}
	event := func(start, end, busy string) string {
		return `<t:CalendarEventArray><t:CalendarEvent><t:StartTime>` + start + `</t:StartTime><t:EndTime>` + end + `</t:EndTime><t:BusyType>` + busy + `</t:BusyType></t:CalendarEvent></t:CalendarEventArray>`
	}
	at := func(h, m int) time.Time { return time.Date(2021, 5, 4, h, m, 0, 0, time.UTC) }
	for _, c := range []struct {
		kind, body string
		want       []Event // nil with word for an error
		word       ErrorWord
	}{
		{"None", "", []Event{{Start: anInquiry().start, End: anInquiry().end, Busy: NoData}}, ""},
		{"MergedOnly", "<t:MergedFreeBusy>0112003</t:MergedFreeBusy>", []Event{
			{Start: at(0, 30), End: at(1, 30), Busy: Tentative}, {Start: at(1, 30), End: at(2, 0), Busy: Busy}, {Start: at(3, 0), End: at(3, 30), Busy: OutOfOffice},
		}, ""},
		{"MergedOnly", "<t:MergedFreeBusy>4</t:MergedFreeBusy>", []Event{{Start: at(0, 0), End: at(0, 30), Busy: NoData}}, ""},
		{"MergedOnly", "<t:MergedFreeBusy>5</t:MergedFreeBusy>", nil, SchemaValidation},
		{"MergedOnly", "<t:MergedFreeBusy>ä</t:MergedFreeBusy>", nil, SchemaValidation},
		{"MergedOnly", "<t:MergedFreeBusy>" + strings.Repeat("0", 98) + "</t:MergedFreeBusy>", nil, SchemaValidation},
		{"FreeBusy", event("2021-05-04T00:00:00", "2021-05-04T01:00:00", "WorkingElsewhere"), []Event{{Start: at(0, 0), End: at(1, 0), Busy: WorkingElsewhere}}, ""},
		{"FreeBusy", event("2021-05-04T00:00:00", "2021-05-04T01:00:00", "Sleeping"), nil, SchemaValidation},
		{"FreeBusy", event("2021-05-04T02:00:00", "2021-05-04T01:00:00", "Busy"), nil, SchemaValidation},
	} {
		got, failure := anInquiry().readEWS(strings.NewReader(view("NoError", "<m:FreeBusyView><t:FreeBusyViewType>"+c.kind+"</t:FreeBusyViewType>"+c.body+"</m:FreeBusyView>")))
		if failure != nil || got[0].Error != c.word || !slices.Equal(got[0].Events, c.want) || got[1].Error != "" {
			t.Errorf("%s %s: %+v, %v; want %+v %s", c.kind, c.body, got, failure, c.want, c.word)
		}
	}
	one := inquiry{addresses: []string{"a@far.example"}, start: anInquiry().start, end: anInquiry().end}
	if _, failure := one.readEWS(strings.NewReader(view("NoError", ""))); failure == nil || failure.word != SchemaValidation {
		t.Errorf("an answer about more mailboxes than were asked for: %v", failure)
	}
}

// sound fails unless what was read of a foreign answer is within the bounds.
func sound(t *testing.T, q inquiry, mailboxes []Mailbox, failure *failure) {
	t.Helper()
	if failure != nil {
		if len(mailboxes) > 0 || failure.word == "" || failure.reason == "" {
			t.Errorf("%+v and %+v", mailboxes, failure)
		}
		return
	}
	if len(mailboxes) != len(q.addresses) {
		t.Fatalf("%d mailboxes for %d", len(mailboxes), len(q.addresses))
	}
	for _, m := range mailboxes {
		if m.Error != "" && (len(m.Events) > 0 || m.WorkingHours != nil) || len(m.Events) > maxEvents {
			t.Errorf("%d events, working hours %v and %q", len(m.Events), m.WorkingHours, m.Error)
		}
		for _, e := range m.Events {
			if e.End.Before(e.Start) || !e.Start.Before(q.end) || !e.End.After(q.start) || e.Busy == "" {
				t.Errorf("%+v outside of the window", e)
			}
		}
		if m.WorkingHours != nil && m.WorkingHours.check() != nil {
			t.Errorf("%+v", m.WorkingHours)
		}
	}
}

func seeds(f *testing.F, files ...string) {
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
}

func FuzzFunctionAnswer(f *testing.F) {
	seeds(f, "response.json")
	q := anInquiry()
	q.addresses = []string{"user2@external.example.com", "unknown@internal.example.com"}
	f.Fuzz(func(t *testing.T, text []byte) {
		mailboxes, failure := q.readFunction(text)
		sound(t, q, mailboxes, failure)
	})
}

func FuzzExchangeAnswer(f *testing.F) {
	seeds(f, "exchange.xml")
	f.Add([]byte(view("NoError", "<m:FreeBusyView><t:FreeBusyViewType>MergedOnly</t:FreeBusyViewType><t:MergedFreeBusy>0123</t:MergedFreeBusy></m:FreeBusyView>")))
	f.Fuzz(func(t *testing.T, text []byte) {
		mailboxes, failure := anInquiry().readEWS(strings.NewReader(string(text)))
		sound(t, anInquiry(), mailboxes, failure)
	})
}
