package flow

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
)

// TestEvents: who a message is from in an event, who sent it on whose behalf, and what is cut.
func TestEvents(t *testing.T) {
	from := message.Address{Local: "bounce", Domain: "x.example"}
	for _, c := range []struct {
		d            Direction
		from         message.Address
		header       string
		want, sender string
	}{
		{Inbound, from, "From: a@x.example\r\n\r\n", "bounce@x.example", ""},
		{Inbound, message.Address{}, "From: a@x.example\r\n\r\n", "a@x.example", ""},
		{Inbound, message.Address{}, "\r\n", "", ""},
		{Outbound, from, "From: Boss <a@x.example>\r\nSender: b@x.example\r\n\r\n", "a@x.example", "b@x.example"},
		{Outbound, from, "From: a@x.example\r\nSender: A@X.example\r\n\r\n", "a@x.example", ""},
	} {
		e := NewEvent(c.d, "m", "c", c.from, []byte(c.header), []string{"r@y.example"})
		sender := ""
		if e.Sender != nil {
			sender = e.Sender.Address
		}
		if e.Envelope.From.Address != c.want || sender != c.sender || e.Truncated {
			t.Errorf("%q: %+v, sender %q", c.header, e, sender)
		}
	}
	var many []string
	for i := range 5000 {
		many = append(many, fmt.Sprintf("%s%d@y.example", strings.Repeat("r", 60), i))
	}
	e := NewEvent(Inbound, "m", "c", from, []byte("Subject: "+strings.Repeat("ä", 300)+"\r\n\r\n"), many)
	text, err := json.Marshal(e)
	if err != nil || len(text) > 128<<10 || len(text) < 100<<10 || !e.Truncated || len([]rune(e.Subject)) != 256 {
		t.Errorf("%d bytes, %v, cut %t, a subject of %d", len(text), err, e.Truncated, len([]rune(e.Subject)))
	}
}

// TestEventHasRoomForRecipients: whatever stands in From and Sender, the function learns whom the message is for.
func TestEventHasRoomForRecipients(t *testing.T) {
	huge := strings.Repeat("a", 200<<10)
	for _, header := range []string{
		"From: a@" + huge + ".example, b@x.example\r\nSender: " + huge + "@x.example\r\n\r\n",
		"From: " + huge + "@x.example, b@x.example\r\nSender: s@" + huge + "\r\n\r\n",
	} {
		e := NewEvent(Outbound, "m", "c", message.Address{}, []byte(header), []string{"r@y.example"})
		if e.Truncated || len(e.Envelope.Recipients) != 1 || e.Envelope.From.Address != "b@x.example" || e.Sender != nil {
			t.Errorf("%.20q: %d recipients, from %.40q, cut %t", header, len(e.Envelope.Recipients), e.Envelope.From.Address, e.Truncated)
		}
	}
}

func TestReadAnswer(t *testing.T) {
	for _, c := range []struct {
		d          Direction
		text, want string // empty for an error
	}{
		{Inbound, `{"actions":[{"action":{"type":"DEFAULT"},"allRecipients":true}]}`, "[{DEFAULT  [] true}]"},
		{Inbound, `{"actions":[{"action":{"type":"DROP"},"default":true}],"more":1}`, "[{DROP  [] true}]"},
		{Inbound, `{"actions":[{"action":{"type":"DROP"},"default":"True","allRecipients":null}]}`, "[{DROP  [] true}]"}, // as AWS's samples answer
		{Inbound, `{"actions":[{"action":{"type":"DROP"},"recipients":["a@x.example"],"allRecipients":"false"}]}`, "[{DROP  [a@x.example] false}]"},
		{Inbound, `{"actions":[{"action":{"type":"DROP"},"allRecipients":"yes"}]}`, ""},
		{Inbound, `{"actions":[{"action":{"type":"DROP"},"allRecipients":1}]}`, ""},
		{
			Inbound, `{"actions":[{"action":{"type":"MOVE_TO_JUNK"},"recipients":["A@x.example"]},{"action":{"type":"BYPASS_SPAM_CHECK"},"allRecipients":true}]}`,
			"[{MOVE_TO_JUNK  [A@x.example] false} {BYPASS_SPAM_CHECK  [] true}]",
		},
		{Outbound, `{"actions":[{"action":{"type":"BOUNCE","parameters":{"bounceMessage":"a\n b\u0000"}},"allRecipients":true}]}`, "[{BOUNCE a b\x00 [] true}]"},
		{
			Inbound, `{"actions":[{"action":{"type":"DROP"},"allRecipients":true},{"action":{"type":"DEFAULT"},"default":true},{"action":{"type":"BOUNCE"},"allRecipients":true,"recipients":["a@x.example"]}]}`,
			"[{DROP  [] true} {BOUNCE  [a@x.example] false}]",
		},
		{Inbound, `{"actions":[]}`, "[]"},
		{Inbound, ``, ""},
		{Inbound, `null`, ""},
		{Inbound, `[]`, ""},
		{Inbound, `{"actions":{}}`, ""},
		{Inbound, `{"actions":[{"action":{"type":"drop"},"allRecipients":true}]}`, ""},
		{Inbound, `{"actions":[{"action":{"type":"RUN_LAMBDA"},"allRecipients":true}]}`, ""},
		{Outbound, `{"actions":[{"action":{"type":"MOVE_TO_JUNK"},"allRecipients":true}]}`, ""},
		{Inbound, `{"actions":[{"action":{"type":"DROP"},"recipients":["nobody"]}]}`, ""},
		{Inbound, `{"actions":[{"action":{"type":"DROP"}}]}`, ""},
		{Inbound, `{"actions":[{"action":{"type":"DROP"},"recipients":[` + strings.Repeat(`"a@x.example",`, 500) + `"a@x.example"]}]}`, ""},
	} {
		got, err := ReadAnswer(c.d, []byte(c.text))
		if (err == nil) != (c.want != "") || err == nil && fmt.Sprint(got) != c.want || err != nil && !fault.Is(err, fault.Temporary, fault.Resource) {
			t.Errorf("%.100s: %v (%v), want %s", c.text, got, err, c.want)
		}
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add(`{"actions":[{"action":{"type":"DEFAULT"},"recipients":["a@x.example"]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		decisions, err := ReadAnswer(Inbound, []byte(text))
		for _, d := range decisions {
			if !Inbound.decides(d.Action) || !d.All && len(d.To) == 0 || err != nil {
				t.Fatalf("%+v, %v", d, err)
			}
		}
	})
}

// TestCallsAreGuarded: what a function does wrong is told without what it said, and without the server's own network.
func TestCallsAreGuarded(t *testing.T) {
	var status int
	var body string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if status == http.StatusAccepted {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			status = http.StatusOK
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	trusted := availability.Function{URL: server.URL, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	functions := map[string]availability.Function{"f": trusted, "untrusted": {URL: server.URL}, "plain": {URL: strings.Replace(server.URL, "https", "http", 1)}}
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	s := New(Options{Functions: functions, Dialer: dial.New(nil, loopback)})
	guarded := New(Options{Functions: functions, Dialer: dial.New(nil, nil)})
	for _, c := range []struct {
		name, arn string
		s         *Service
		status    int
		body      string
		want      string
	}{
		{"an answer", "f", s, 200, "x", ""},
		{"an error", "f", s, 503, "secret", "answered HTTP 503"},
		{"an error of Lambda's", "f", s, http.StatusAccepted, "secret", "the function failed"},
		{"too much", "f", s, 200, strings.Repeat(" ", 257<<10), "has more than 262144 bytes"},
		{"one that is not there", "g", s, 200, "x", "is not mapped"},
		{"an unknown certificate", "untrusted", s, 200, "x", "can't be reached"},
		{"no TLS", "plain", s, 200, "x", "can't be reached"},
		{"the server's own network", "f", guarded, 200, "x", "not allowed"},
	} {
		status, body = c.status, c.body
		text, err := c.s.Call(t.Context(), c.arn, &Event{})
		if c.want == "" {
			if err != nil || string(text) != "x" {
				t.Errorf("%s: %q, %v", c.name, text, err)
			}
			continue
		}
		if f := fault.As(err); f == nil || !strings.Contains(f.Message, c.want) || strings.Contains(f.Message, "secret") {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}
