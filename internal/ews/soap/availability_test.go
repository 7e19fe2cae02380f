package soap

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var write = flag.Bool("write-messages", false, "write testdata/request.xml and response.xml instead of comparing them")

func sameFile(t *testing.T, name string, got []byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *write {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what is written (%v): run this test with -write-messages\n%s", name, err, got)
	}
}

func aRequest() *AvailabilityRequest {
	start := time.Date(2021, 5, 4, 0, 0, 0, 0, time.UTC)
	return NewAvailabilityRequest([]string{"ann@far.example", "o'b<&>@far.example"}, start, start.AddDate(0, 0, 2), 30)
}

func aResponse() *AvailabilityResponse {
	at := func(hour int) Time { return Time{time.Date(2021, 5, 4, hour, 0, 0, 0, time.UTC)} }
	zone := aRequest().TimeZone
	zone.Bias, zone.Daylight.Bias = -60, -60
	return &AvailabilityResponse{Responses: FreeBusyResponses{[]FreeBusyResponse{
		{
			Message: ResponseMessage{Class: "Success", Code: NoError},
			View: &FreeBusyView{
				Type: "DetailedMerged", Merged: "0022",
				Events: &Events{[]Event{
					{Start: at(1), End: at(2), Busy: "Busy", Details: &Details{ID: "00AB", Subject: "Lunch & <more>", Location: "Café", Meeting: true, Recurring: true, ReminderSet: true}},
					{Start: at(5), End: at(6), Busy: "OOF"},
				}},
				WorkingHours: &WorkingHours{TimeZone: zone, Periods: WorkingPeriods{[]WorkingPeriod{{Days: Weekdays{time.Monday, time.Friday}, Start: 480, End: 1020}}}},
			},
		},
		{
			Message: ResponseMessage{Class: "Error", Text: "There is no such mailbox.", Code: "ErrorMailRecipientNotFound"},
			View:    &FreeBusyView{Type: "None"},
		},
	}}}
}

// TestMessages holds what is written to the files that test/python/test_ews.py compares with exchangelib's.
func TestMessages(t *testing.T) {
	request, err := aRequest().Encode()
	sameFile(t, "request.xml", request, err)
	response, err := aResponse().Encode()
	sameFile(t, "response.xml", response, err)

	gotRequest, err := DecodeAvailabilityRequest(bytes.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	gotResponse, err := DecodeAvailabilityResponse(bytes.NewReader(response))
	if err != nil {
		t.Fatal(err)
	}
	wantRequest, wantResponse := aRequest(), aResponse()
	wantRequest.XMLName, wantResponse.XMLName = gotRequest.XMLName, gotResponse.XMLName
	if !reflect.DeepEqual(gotRequest, wantRequest) {
		t.Errorf("read %+v", gotRequest)
	}
	if !reflect.DeepEqual(gotResponse, wantResponse) {
		t.Errorf("read %+v", gotResponse)
	}
}

func inBody(content string) string {
	return `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>` + content + `</Body></Envelope>`
}

func TestHostileMessages(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "no XML": "hello", "another document": "<html></html>", "half": "<Envelope", "an empty body": inBody(""),
		"another message":   inBody(`<GetFolderResponse xmlns="http://schemas.microsoft.com/exchange/services/2006/messages"/>`),
		"no body":           `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"></Envelope>`,
		"SOAP 1.2":          strings.ReplaceAll(inBody(""), "http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"),
		"entities":          `<!DOCTYPE x [<!ENTITY a "b">]>` + inBody("&a;"),
		"an unknown entity": inBody("&a;"),
		"depth":             inBody(strings.Repeat("<x>", maxDepth) + strings.Repeat("</x>", maxDepth)),
		"elements":          inBody(strings.Repeat("<x/>", maxElements)),
		"attributes":        inBody("<x" + strings.Repeat(` a="b"`, maxAttributes+1) + "/>"),
		"a wrong end":       inBody("<x></y>"),
	} {
		if r, err := DecodeAvailabilityResponse(strings.NewReader(text)); err == nil {
			t.Errorf("%s: read %+v", name, r)
		}
	}
	_, err := DecodeAvailabilityResponse(strings.NewReader(inBody(`<Fault><faultcode>s:Client</faultcode><faultstring>no</faultstring><detail><ResponseCode>ErrorServerBusy</ResponseCode></detail></Fault>`)))
	var fault *Fault
	if !errors.As(err, &fault) || fault.Error() != "ErrorServerBusy: no" {
		t.Errorf("a fault is %v", err)
	}
}

func TestDaysAndTimes(t *testing.T) {
	var days Weekdays
	if err := days.UnmarshalText([]byte(" WeekendDay Sunday Monday ")); err != nil || !reflect.DeepEqual(days, Weekdays{time.Saturday, time.Sunday, time.Monday}) {
		t.Errorf("%v, %v", days, err)
	}
	if err := days.UnmarshalText([]byte("Day")); err != nil || len(days) != 7 {
		t.Errorf("%v, %v", days, err)
	}
	if err := days.UnmarshalText([]byte("Weekday Someday")); err == nil {
		t.Errorf("%v", days)
	}
	for text, want := range map[string]string{
		"2021-05-04T01:00:00": "2021-05-04T01:00:00Z", "2021-05-04T01:00:00.5": "2021-05-04T01:00:00Z", "2021-05-04T01:00:00+02:00": "2021-05-03T23:00:00Z",
		" 2021-05-04T01:00:00Z\n": "2021-05-04T01:00:00Z",
	} {
		var at Time
		err := at.UnmarshalText([]byte(text))
		if got, _ := at.MarshalText(); err != nil || string(got) != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

func FuzzAvailabilityResponse(f *testing.F) {
	for _, name := range []string{"request.xml", "response.xml"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := DecodeAvailabilityResponse(bytes.NewReader(text))
		if err != nil {
			return
		}
		// What was read can be written, and reads the same again.
		again, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if r2, err := DecodeAvailabilityResponse(bytes.NewReader(again)); err != nil || len(r2.Responses.Responses) != len(r.Responses.Responses) {
			t.Errorf("%s\nreads %+v, %v", again, r2, err)
		}
	})
}
