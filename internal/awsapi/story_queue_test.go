package awsapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/transport/manage"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// keyOf is an organisation's key.
func (w *world) keyOf(org string) (key int64) {
	w.t.Helper()
	err := w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := w.directory.OrganizationTx(ctx, tx, directory.OrgID(org))
		if err == nil {
			key = o.Key
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

// own carries out one of our own operations, for which no SDK is made, and reads its output; nil wants it refused with code.
func (w *world) own(op *contract.Op, in map[string]any, out any, code contract.ErrorCode) {
	w.t.Helper()
	e := w.call("ADMIN", op.Name, in)
	if e.code != string(code) {
		w.t.Errorf("%s %v: got %d %s %s, want %q", op.Name, in, e.status, e.code, e.body, code)
		return
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(e.body, out); err != nil {
		w.t.Errorf("%s: %v", op.Name, err)
	}
}

// outbound manages a queue of two messages, one of them by a gateway, beside that of another organisation.
func (s *story) outbound() {
	w := s.world
	at := time.Date(2026, 11, 25, 22, 0, 0, 0, time.UTC)
	first := queue.Entry{
		Message: 1 << 62, Organization: w.keyOf(s.org), Trace: "trace-1", From: "ann@acme.awsapps.com", Recipient: "x@there.example",
		Destination: queue.Destination{Domain: "there.example"}, Size: 1234, Queued: at, Due: at.Add(time.Minute), Expires: at.Add(time.Hour), Attempts: 2,
		Status: "4.2.1", Reply: "450 4.2.1 later", Host: "mx.there.example",
	}
	second := queue.Entry{Organization: first.Organization, Trace: "trace-2", Recipient: "y@far.example", Destination: queue.Destination{Route: "relay"}, Queued: at}
	w.queue.Add(first, second, queue.Entry{Organization: w.keyOf(s.other), Trace: "trace-3", Recipient: "z@far.example", Destination: queue.Destination{Domain: "far.example"}, Queued: at.Add(-time.Hour)})
	w.queue.Happen(queue.Attempted, first, queue.Outcome{Status: "4.2.1", Reply: "450 4.2.1 later", Host: "mx.there.example", TLS: "TLSv1.3"})

	in := func(more ...any) map[string]any {
		m := map[string]any{"OrganizationId": s.org}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	only := func(name, value string) map[string]any { return in("Filters", map[string]string{name: value}) }
	var list struct {
		Messages  []map[string]any
		NextToken string
	}
	w.own(&contract.ListQueuedMessages.Op, in("MaxResults", 1), &list, "")
	want := `[map[Attempts:2 Domain:there.example DueDate:1.79564406e+09 ExpiryDate:1.7956476e+09 From:ann@acme.awsapps.com Host:mx.there.example ` +
		`MessageId:4611686018427387904 QueuedDate:1.795644e+09 Recipient:x@there.example Reply:450 4.2.1 later Size:1234 State:WAITING Status:4.2.1 TraceId:trace-1]]`
	if got := fmt.Sprint(list.Messages); got != want || list.NextToken == "" {
		w.t.Errorf("listed %s, token %q; want %s", got, list.NextToken, want)
	}
	list.Messages = nil
	w.own(&contract.ListQueuedMessages.Op, in("MaxResults", 1, "NextToken", list.NextToken), &list, "")
	if len(list.Messages) != 1 || list.Messages[0]["Gateway"] != "relay" || list.Messages[0]["Domain"] != nil || list.Messages[0]["From"] != nil {
		w.t.Errorf("the second page is %v", list)
	}
	w.own(&contract.ListQueuedMessages.Op, in("MaxResults", 1, "NextToken", list.NextToken+"x"), nil, contract.InvalidParameterException)
	for filter, n := range map[[2]string]int{
		{"MessageId", "4611686018427387904"}: 1, {"MessageId", "9999999999999999999"}: 0, {"TraceId", "trace-2"}: 1, {"TraceId", "trace-3"}: 0,
		{"From", "ANN@acme.awsapps.com"}: 1, {"Recipient", "Y@far.example"}: 1, {"Recipient", "z@far.example"}: 0, {"Domain", "THERE.example"}: 1,
		{"State", "HELD"}: 0, {"State", "WAITING"}: 2,
	} {
		list.Messages = nil
		w.own(&contract.ListQueuedMessages.Op, only(filter[0], filter[1]), &list, "")
		if len(list.Messages) != n {
			w.t.Errorf("with the filter %v are listed %v, want %d", filter, list.Messages, n)
		}
	}

	changed := func(op *contract.Op, in map[string]any, n int) {
		w.t.Helper()
		var out struct{ Count int }
		w.own(op, in, &out, "")
		if out.Count != n {
			w.t.Errorf("%s %v changed %d, want %d", op.Name, in, out.Count, n)
		}
	}
	for _, op := range []*contract.Op{
		&contract.HoldQueuedMessages.Op, &contract.ReleaseQueuedMessages.Op, &contract.RetryQueuedMessages.Op, &contract.DropQueuedMessages.Op,
	} {
		for _, bad := range []map[string]any{in(), in("Filters", map[string]any{}), in("All", true, "Filters", map[string]string{"Domain": "far.example"})} {
			w.own(op, bad, nil, contract.InvalidParameterException)
		}
		changed(op, only("TraceId", "trace-3"), 0)
	}
	changed(&contract.HoldQueuedMessages.Op, only("TraceId", "trace-2"), 1)
	var depth struct {
		Waiting, Held int
		OldestDate    float64
	}
	w.own(&contract.DescribeQueue.Op, map[string]any{}, &depth, "")
	if depth.Waiting != 2 || depth.Held != 1 || depth.OldestDate != float64(at.Add(-time.Hour).Unix()) {
		w.t.Errorf("the queue is %+v", depth)
	}
	changed(&contract.RetryQueuedMessages.Op, in("All", true), 2)
	changed(&contract.ReleaseQueuedMessages.Op, only("State", "HELD"), 1)
	changed(&contract.DropQueuedMessages.Op, in("Filters", map[string]string{"Recipient": "y@far.example"}, "Bounce", true), 1)

	var trace struct {
		Events    []map[string]any
		NextToken string
	}
	w.own(&contract.GetMessageTrace.Op, in("TraceId", "trace-1", "MaxResults", 2), &trace, "")
	if len(trace.Events) != 2 || trace.Events[1]["Type"] != "DEFERRED" || trace.Events[1]["Tls"] != "TLSv1.3" || trace.Events[1]["Host"] != "mx.there.example" || trace.NextToken == "" {
		w.t.Errorf("the trace is %v", trace)
	}
	trace.Events = nil
	w.own(&contract.GetMessageTrace.Op, in("TraceId", "trace-2"), &trace, "")
	var types string
	for _, e := range trace.Events {
		types += fmt.Sprint(e["Type"], e["Gateway"], " ")
	}
	if types != "QUEUEDrelay HELDrelay RETRIEDrelay RELEASEDrelay SENDER_TOLDrelay DROPPEDrelay " {
		w.t.Errorf("the trace has the types %s", types)
	}
	w.own(&contract.GetMessageTrace.Op, in("TraceId", "trace-3"), nil, contract.ResourceNotFoundException)

	records, err := w.audit.Read(w.ctx, audit.Query{Organization: s.org})
	if err != nil {
		w.t.Fatal(err)
	}
	last := records[len(records)-1]
	if last.Operation != "DropQueuedMessages" || last.Actor.ID != "ADMIN" || last.Actor.RequestID == "" || last.Detail != "recipient=y@far.example bounced" {
		w.t.Errorf("the last audit record is %+v", last)
	}
}

// everyEventHasItsType holds the names of events to the enum of the model.
func (s *story) everyEventHasItsType() {
	enum := map[string]bool{}
	for _, m := range contract.GetMessageTrace.Op.Output.Members {
		if m.Name == "Events" {
			for _, name := range m.Shape.Element.Members[m.Shape.Element.Member("Type")].Shape.Enum {
				enum[name] = true
			}
		}
	}
	for k := queue.Queued; k <= queue.Told; k++ {
		if !enum[manage.EventName(k)] {
			s.t.Errorf("events of kind %d are called %q, which the API does not know", k, manage.EventName(k))
		}
		delete(enum, manage.EventName(k))
	}
	if len(enum) > 0 {
		s.t.Errorf("nothing is called %v", enum)
	}
}
