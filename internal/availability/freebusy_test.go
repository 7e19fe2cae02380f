package availability_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/ews/soap"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

var ann = principal.Principal{Kind: principal.User, ID: "S-1-5-18", Name: "user1", Protocol: "EWS", Address: netip.MustParseAddr("127.0.0.1")}

func question(mailboxes ...string) availability.Question {
	return availability.Question{
		Email: "user1@internal.example.com", Mailboxes: mailboxes,
		Start: time.Date(2021, 5, 4, 0, 0, 0, 0, time.UTC), End: time.Date(2021, 5, 6, 0, 0, 0, 0, time.UTC),
	}
}

func (w *world) ask(q availability.Question) []availability.Mailbox {
	w.t.Helper()
	asker := ann
	asker.Organization = string(w.org)
	answer, err := w.FreeBusy(w.ctx, asker, w.org, q)
	w.ok(err)
	return answer
}

// errorsOf are the error words of an answer, by the first letter of the mailbox.
func errorsOf(answer []availability.Mailbox) string {
	var all []string
	for _, m := range answer {
		all = append(all, m.Address[:1]+":"+string(m.Error))
	}
	return strings.Join(all, " ")
}

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestFreeBusyAsksEveryProvider asks one EWS server and one function about mailboxes of both, of a domain that nobody is
// configured for (CreateAvailabilityConfiguration), and of none.
func TestFreeBusyAsksEveryProvider(t *testing.T) {
	organizationID := regexp.MustCompile(`m-[0-9a-f]{32}`)
	function, trust := serve(t, func(out http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		var got, want any
		text = organizationID.ReplaceAll(text, []byte("m-0123456789abcdef0123456789abcdef")) // the documentation's
		if err != nil || json.Unmarshal(text, &got) != nil || json.Unmarshal(testdata(t, "request.json"), &want) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("the function was called with %s", text)
		}
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer shared" {
			t.Errorf("the function was called by %s with %v", r.Method, r.Header)
		}
		_, _ = out.Write(testdata(t, "response.json"))
	})
	server, ewsTrust := serve(t, func(out http.ResponseWriter, r *http.Request) {
		asked, err := soap.DecodeAvailabilityRequest(r.Body)
		if err != nil || len(asked.Mailboxes.Mailboxes) != 2 || asked.Mailboxes.Mailboxes[1].Address != "c@Exchange.example" {
			t.Errorf("the server was asked for %+v, %v", asked, err)
		}
		if name, password, _ := r.BasicAuth(); name != `CORP\svc` || password != "s3cret-pass" || r.Header.Get("Content-Type") != soap.ContentType {
			t.Errorf("the server was asked by %s %s with %v", name, password, r.Header)
		}
		_, _ = out.Write(testdata(t, "exchange.xml"))
	})
	c := availability.Config{TLS: ewsTrust, Functions: map[string]availability.Function{arn: {URL: function.URL + "/cap", TLS: trust, Secret: "shared"}}}
	inBoth(t, c, func(w *world) {
		w.ok(w.Create(w.ctx, admin, w.org, "external.example.com", lambda(arn), ""))
		w.ok(w.Create(w.ctx, admin, w.org, "internal.example.com", lambda("arn:aws:lambda:eu-west-1:111122223333:function:gone"), ""))
		w.ok(w.Create(w.ctx, admin, w.org, "exchange.example", ews(server.URL+"/EWS/Exchange.asmx"), ""))
		w.ok(w.Create(w.ctx, admin, w.far, "elsewhere.example", lambda(arn), "")) // another organisation's
		q := question("b@exchange.example", "user2@external.example.com", "c@Exchange.example", "x@elsewhere.example", "nobody", "y@internal.example.com")
		answer := w.ask(q)
		if got, want := errorsOf(answer), "b: u: c:MailboxNotFound x:ErrorAvailabilityConfigNotFound n:ErrorAvailabilityConfigNotFound y:ErrorFreeBusyGenerationFailed"; got != want {
			t.Fatalf("the errors are %s, want %s", got, want)
		}
		late := answer[1].Events[0]
		if len(answer[1].Events) != 1 || !late.Start.Equal(time.Date(2021, 5, 3, 23, 0, 0, 0, time.UTC)) || late.Busy != availability.Busy ||
			*late.Details != (availability.Details{Subject: "Late meeting", Location: "Chime", Instance: availability.Single, Meeting: true, ReminderSet: true}) {
			t.Errorf("the function told %+v", answer[1].Events)
		}
		hours := answer[1].WorkingHours
		if hours.Zone.Name != "W. Europe Standard Time" || hours.Zone.Daylight.Month != time.May || hours.Zone.Standard.Week != 5 ||
			hours.Periods[0].Start != 480 || len(hours.Periods[0].Days) != 5 {
			t.Errorf("the function told the hours %+v", hours)
		}
		out := answer[0].Events
		if len(out) != 2 || out[0].Busy != availability.OutOfOffice || out[0].Details.Instance != availability.Recurring || out[1].Details != nil ||
			!out[1].Start.Equal(time.Date(2021, 5, 5, 8, 0, 0, 0, time.UTC)) {
			t.Errorf("the server told %+v", out)
		}
		if h := answer[0].WorkingHours; h.Zone.Bias != -60 || h.Zone.Daylight.Month != time.March || h.Periods[0].End != 1020 {
			t.Errorf("the server told the hours %+v", h)
		}
		if strings.Contains(w.log.String(), "s3cret") || !strings.Contains(w.log.String(), "not mapped") {
			t.Errorf("the log says %s", w.log.String())
		}
		if reason, err := w.Test(w.ctx, admin, w.org, "internal.example.com", nil); err != nil || !strings.Contains(reason, "function:gone is not mapped") {
			t.Errorf("the test of a function that is not mapped: %q, %v", reason, err)
		}
	})
}

// TestQuestionsHaveBounds asks what may not be asked.
func TestQuestionsHaveBounds(t *testing.T) {
	inBoth(t, availability.Config{}, func(w *world) {
		for _, change := range []func(*availability.Question){
			func(q *availability.Question) { q.End = q.Start },
			func(q *availability.Question) { q.End = q.Start.Add(availability.MaxWindow + 1) },
			func(q *availability.Question) { q.Mailboxes = make([]string, availability.MaxMailboxes+1) },
		} {
			q := question("a@b.example")
			change(&q)
			if _, err := w.FreeBusy(w.ctx, admin, w.org, q); fault.KindOf(err) != fault.Invalid {
				t.Errorf("%v to %v: %v", q.Start, q.End, err)
			}
		}
		stranger := ann
		stranger.Organization = string(w.far)
		_, err := w.FreeBusy(w.ctx, stranger, w.org, question("a@b.example"))
		w.wantFault(err, fault.Denied, fault.Organization)
		_, err = w.FreeBusy(w.ctx, admin, "m-00000000000000000000000000000000", question("a@b.example"))
		w.wantFault(err, fault.NotFound, fault.Organization)
	})
}

// TestQuestionsAreTold holds the records of WORKMAIL_AVAILABILITY_PROVIDER_LOGS, of questions and of trials.
func TestQuestionsAreTold(t *testing.T) {
	server, trust := serve(t, func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/locked" {
			out.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(out, `{"mailboxes":[{"mailbox":"a@function.example","error":"MailboxNotFound"}]}`)
	})
	c := availability.Config{TLS: trust, Functions: map[string]availability.Function{arn: {URL: server.URL + "/", TLS: trust, Secret: "s3cret-bearer"}}}
	inBoth(t, c, func(w *world) {
		w.ok(w.Create(w.ctx, admin, w.org, "function.example", lambda(arn), ""))
		w.ok(w.Create(w.ctx, admin, w.org, "locked.example", ews(server.URL+"/locked"), ""))
		w.ask(question("a@function.example", "a@locked.example", "b@locked.example", "a@nobody.example"))
		const at, who = `"event_timestamp":1619872200000,`, `"user_id":"S-1-5-18","protocol":"EWS","source_ip":"127.0.0.1",`
		function := `"type":"LAMBDA","domain":"function.example","function_arn":"` + arn + `",`
		locked := `"ews_endpoint":"` + server.URL + `/locked","error_message":"ErrorFreeBusyGenerationFailed: the endpoint refused the credentials (HTTP 401)","availability_event_successful":false}`
		want := []string{
			`{` + at + who + `"type":"EWS","domain":"locked.example",` + locked, // once for both mailboxes
			`{` + at + who + function + `"availability_event_successful":true}`,
		}
		if got := w.tells(len(want)); !slices.Equal(got, want) {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		by := admin
		by.RequestID = "r1"
		provider := ews(server.URL + "/locked")
		if _, err := w.Test(w.ctx, by, w.org, "", &provider); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Test(w.ctx, by, w.org, "function.example", nil); err != nil {
			t.Fatal(err)
		}
		const trial = `"request_id":"r1","protocol":"API",`
		want = []string{
			`{` + at + trial + `"type":"EWS",` + locked,
			`{` + at + trial + function + `"error_message":"ErrorResponseSchemaValidation: the answer about availability-test@function.example has not the form that is documented","availability_event_successful":false}`,
		}
		if got := w.tells(len(want)); !slices.Equal(got, want) {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestBrokenNeighbours asks providers that fail in every way beside one that works: each hurts its own mailbox alone, and the
// trial says what is wrong.
func TestBrokenNeighbours(t *testing.T) {
	const good = `{"mailboxes":[{"mailbox":"g@good.example","events":[]},{"mailbox":"availability-test@good.example","error":"MailboxNotFound"}]}`
	answers := map[string]http.HandlerFunc{
		"good":     func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, good) },
		"nonsense": func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, "<html>hello</html>") },
		"endless": func(out http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := out.Write([]byte(strings.Repeat(" ", 64<<10))); err != nil {
					return
				}
			}
		},
		"half": func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(out, "{")
		},
		"busy":   func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(http.StatusServiceUnavailable) },
		"locked": func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(http.StatusUnauthorized) },
		"error":  func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(http.StatusInternalServerError) },
	}
	want := map[string]struct {
		word   availability.ErrorWord
		reason string
	}{
		"good": {"", ""}, "nonsense": {availability.SchemaValidation, "mailboxes"}, "endless": {availability.SchemaValidation, "larger than"},
		"half": {availability.GenerationFailed, "broke"}, "busy": {availability.ServerBusy, "HTTP 503"},
		"locked": {availability.GenerationFailed, "HTTP 401"}, "error": {availability.GenerationFailed, "HTTP 500"},
		"wrongname": {availability.GenerationFailed, "certificate"}, "closed": {availability.GenerationFailed, "no connection"},
	}
	server, trust := serve(t, func(out http.ResponseWriter, r *http.Request) { answers[r.URL.Path[1:]](out, r) })
	closed, _ := serve(t, nil)
	closed.Close()
	// The certificate is good for 127.0.0.1 and not for this name.
	misnamed := trust.Clone()
	misnamed.ServerName = "pennypost.test"
	c := availability.Config{Functions: map[string]availability.Function{}}
	for name := range want {
		c.Functions[arn+"-"+name] = availability.Function{URL: server.URL + "/" + name, TLS: trust}
	}
	c.Functions[arn+"-wrongname"] = availability.Function{URL: server.URL + "/good", TLS: misnamed}
	c.Functions[arn+"-closed"] = availability.Function{URL: closed.URL, TLS: trust}
	inBoth(t, c, func(w *world) {
		q := question()
		for name := range want {
			w.ok(w.Create(w.ctx, admin, w.org, name+".example", lambda(arn+"-"+name), ""))
			q.Mailboxes = append(q.Mailboxes, name[:1]+"@"+name+".example")
		}
		for _, m := range w.ask(q) {
			name := strings.TrimSuffix(m.Address[2:], ".example")
			if m.Error != want[name].word {
				t.Errorf("%s: %s, want %q", name, m.Error, want[name].word)
			}
		}
		for name, want := range want {
			reason, err := w.Test(w.ctx, admin, w.org, name+".example", nil)
			w.ok(err)
			if !strings.Contains(reason, want.reason) || (reason == "") != (want.reason == "") {
				t.Errorf("%s: the test says %q, want %q", name, reason, want.reason)
			}
		}
	})
}

// TestBrokenExchange is the same for EWS.
func TestBrokenExchange(t *testing.T) {
	fault := func(code string) http.HandlerFunc {
		return func(out http.ResponseWriter, _ *http.Request) {
			out.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprintf(out, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>a:%[1]s</faultcode>
				<faultstring>no</faultstring><detail><e:ResponseCode xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors">%[1]s</e:ResponseCode></detail></s:Fault></s:Body></s:Envelope>`, code)
		}
	}
	answers := map[string]http.HandlerFunc{
		"nonsense": func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, "<html>hello</html>") },
		"bomb": func(out http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(out, `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>`)
		},
		"endless": func(out http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := out.Write([]byte(strings.Repeat(" ", 64<<10))); err != nil {
					return
				}
			}
		},
		"deep": func(out http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(out, `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/">`+strings.Repeat("<x>", 10_000))
		},
		"busy":   fault("ErrorServerBusy"),
		"denied": fault("ErrorAccessDenied"),
		"error":  func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(http.StatusInternalServerError) },
	}
	server, trust := serve(t, func(out http.ResponseWriter, r *http.Request) { answers[r.URL.Path[1:]](out, r) })
	inBoth(t, availability.Config{TLS: trust}, func(w *world) {
		for name, want := range map[string]struct {
			word   availability.ErrorWord
			reason string
		}{
			"nonsense": {availability.SchemaValidation, "GetUserAvailability"}, "bomb": {availability.SchemaValidation, "document type"},
			"endless": {availability.SchemaValidation, "larger than"}, "deep": {availability.SchemaValidation, "inside each other"},
			"busy":   {availability.ServerBusy, "ErrorServerBusy"},
			"denied": {availability.GenerationFailed, "ErrorAccessDenied"}, "error": {availability.GenerationFailed, "HTTP 500"},
		} {
			w.ok(w.Create(w.ctx, admin, w.org, name+".example", ews(server.URL+"/"+name), ""))
			if got := w.ask(question("a@" + name + ".example"))[0].Error; got != want.word {
				t.Errorf("%s: %s, want %s", name, got, want.word)
			}
			if reason, err := w.Test(w.ctx, admin, w.org, name+".example", nil); err != nil || !strings.Contains(reason, want.reason) {
				t.Errorf("%s: the test says %q, %v; want %q", name, reason, err, want.reason)
			}
		}
	})
}

// TestSlowProvidersAreGivenUp asks one that sends no header and one that sends no more than a byte.
func TestSlowProvidersAreGivenUp(t *testing.T) {
	server, trust := serve(t, func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/trickle" {
			_, _ = io.WriteString(out, "<")
			_ = http.NewResponseController(out).Flush()
		}
		<-r.Context().Done()
	})
	c := availability.Config{Timeout: 200 * time.Millisecond, TLS: trust, Functions: map[string]availability.Function{
		arn + "-slow": {URL: server.URL + "/slow", TLS: trust}, arn + "-trickle": {URL: server.URL + "/trickle", TLS: trust},
	}}
	w := newWorld(t, onlySQLite(t), c)
	for domain, p := range map[string]availability.Provider{
		"a.example": lambda(arn + "-slow"), "b.example": lambda(arn + "-trickle"), "c.example": ews(server.URL + "/slow"), "d.example": ews(server.URL + "/trickle"),
	} {
		w.ok(w.Create(w.ctx, admin, w.org, domain, p, ""))
		if reason, err := w.Test(w.ctx, admin, w.org, domain, nil); err != nil || !strings.Contains(reason, "in time") {
			t.Errorf("%+v: the test says %q, %v", p, reason, err)
		}
	}
	for _, m := range w.ask(question("a@a.example", "b@b.example", "c@c.example", "d@d.example")) {
		if m.Error != availability.TimeoutExpired {
			t.Errorf("%s: %s", m.Address, m.Error)
		}
	}
}

// refusedAddress tries both providers at an address that may not be dialled.
func refusedAddress(t *testing.T, address string, dialer *dial.Dialer) {
	t.Helper()
	c := availability.Config{Dialer: dialer, Functions: map[string]availability.Function{arn: {URL: "https://" + address + "/"}}}
	w := newWorld(t, onlySQLite(t), c)
	for _, p := range []availability.Provider{ews("https://" + address + "/"), lambda(arn)} {
		reason, err := w.Test(w.ctx, admin, w.org, "", &p)
		if err != nil || !strings.Contains(reason, "has not allowed it") {
			t.Errorf("%+v: %q, %v", p, reason, err)
		}
	}
}

func TestPrivateAddressIsRefused(t *testing.T) { refusedAddress(t, "10.1.2.3:443", loopback()) }
func TestLoopbackAddressIsRefused(t *testing.T) {
	refusedAddress(t, "127.0.0.1:443", dial.New(nil, nil))
}

func TestNameOfALoopbackAddressIsRefused(t *testing.T) {
	refusedAddress(t, "localhost:443", dial.New(nil, nil))
}
func TestMetadataAddressIsRefused(t *testing.T) { refusedAddress(t, "169.254.169.254", loopback()) }
func TestMappedIPv6AddressIsRefused(t *testing.T) {
	refusedAddress(t, "[::ffff:10.1.2.3]:443", loopback())
}

// TestRedirectToPrivateAddressIsRefused goes from the one address that is allowed to another of this machine.
func TestRedirectToPrivateAddressIsRefused(t *testing.T) {
	var reached atomic.Bool
	inner, _ := serve(t, func(http.ResponseWriter, *http.Request) { reached.Store(true) })
	outer, trust := serve(t, func(out http.ResponseWriter, r *http.Request) {
		http.Redirect(out, r, strings.Replace(inner.URL, "127.0.0.1", "127.0.0.2", 1), http.StatusTemporaryRedirect)
	})
	refuseRedirect(t, outer, trust, "has not allowed it")
	if reached.Load() {
		t.Error("the inner server was reached")
	}
}

// TestRedirectToPlainHTTPIsRefused would send the password in the clear.
func TestRedirectToPlainHTTPIsRefused(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was sent in the clear") }))
	t.Cleanup(plain.Close)
	outer, trust := serve(t, func(out http.ResponseWriter, r *http.Request) {
		http.Redirect(out, r, plain.URL, http.StatusTemporaryRedirect)
	})
	refuseRedirect(t, outer, trust, "is not an https URL")
}

func refuseRedirect(t *testing.T, outer *httptest.Server, trust *tls.Config, why string) {
	t.Helper()
	c := availability.Config{TLS: trust, Functions: map[string]availability.Function{arn: {URL: outer.URL, TLS: trust, Secret: "x"}}}
	w := newWorld(t, onlySQLite(t), c)
	for _, p := range []availability.Provider{ews(outer.URL + "/"), lambda(arn)} {
		reason, err := w.Test(w.ctx, admin, w.org, "", &p)
		if err != nil || !strings.Contains(reason, why) {
			t.Errorf("%+v: %q, %v", p, reason, err)
		}
	}
}

// TestSlowProviderTakesNoMoreThanItsPlaces fills the places of one provider: the next question is busy at once, and another
// provider is not.
func TestSlowProviderTakesNoMoreThanItsPlaces(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	server, trust := serve(t, func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-release
		}
		_, _ = io.WriteString(out, `{"mailboxes":[{"mailbox":"a@slow.example","events":[]},{"mailbox":"b@quick.example","events":[]}]}`)
	})
	c := availability.Config{Functions: map[string]availability.Function{
		arn + "-slow": {URL: server.URL + "/slow", TLS: trust}, arn + "-quick": {URL: server.URL + "/quick", TLS: trust},
	}}
	w := newWorld(t, onlySQLite(t), c)
	w.ok(w.Create(w.ctx, admin, w.org, "slow.example", lambda(arn+"-slow"), ""))
	w.ok(w.Create(w.ctx, admin, w.org, "quick.example", lambda(arn+"-quick"), ""))
	q := question("a@slow.example", "b@quick.example")
	const places = 4
	answers := make(chan string)
	for range places {
		go func() {
			answer, err := w.FreeBusy(w.ctx, admin, w.org, q)
			answers <- fmt.Sprint(errorsOf(answer), err)
		}()
		<-arrived
	}
	if got := errorsOf(w.ask(q)); got != "a:ErrorServerBusy b:" {
		t.Errorf("with all places taken: %s", got)
	}
	if _, err := w.Test(w.ctx, admin, w.org, "slow.example", nil); fault.KindOf(err) != fault.Temporary {
		t.Errorf("a trial with all places taken: %v", err)
	}
	close(release)
	for range places {
		if got := <-answers; got != "a: b:<nil>" {
			t.Errorf("one that had a place: %s", got)
		}
	}
	go func() { <-arrived }()
	if got := errorsOf(w.ask(q)); got != "a: b:" {
		t.Errorf("with the places free again: %s", got)
	}
}

// TestEndOfTheCallerEndsTheQuestion leaves nobody waiting.
func TestEndOfTheCallerEndsTheQuestion(t *testing.T) {
	arrived := make(chan struct{})
	server, trust := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	w := newWorld(t, onlySQLite(t), availability.Config{Functions: map[string]availability.Function{arn: {URL: server.URL, TLS: trust}}})
	w.ok(w.Create(w.ctx, admin, w.org, "slow.example", lambda(arn), ""))
	ctx, cancel := context.WithCancel(w.ctx)
	go func() {
		<-arrived
		cancel()
	}()
	answer, err := w.FreeBusy(ctx, admin, w.org, question("a@slow.example"))
	if err != nil || answer[0].Error != availability.TimeoutExpired {
		t.Errorf("%+v, %v", answer, err)
	}
}
