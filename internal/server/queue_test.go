package server

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/queue/queuetest"
)

// TestQueueVerbs asks an operator without a server, whose core has a queue of one organisation's message and one of the server's own.
func TestQueueVerbs(t *testing.T) {
	dir := t.TempDir()
	_, stop := start(t, settings(t, dir), Options{})
	stop()
	o, err := Connect(t.Context(), settings(t, dir), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx := t.Context()
	o.core.queue = nil
	o.verbs = o.core.operatorVerbs()
	for name, ask := range map[string]func() error{
		"list":  func() error { _, err := o.ListQueue(ctx, QueueFilter{}, ""); return err },
		"drop":  func() error { _, err := o.ChangeQueue(ctx, "drop", QueueChange{All: true}); return err },
		"trace": func() error { _, err := o.TraceQueue(ctx, "", "t", ""); return err },
	} {
		if err := ask(); err == nil || !strings.Contains(err.Error(), "no outbound queue") {
			t.Errorf("%s without a queue: %v", name, err)
		}
	}

	q := &queuetest.Queue{}
	org, key := someOrganization(t, o.core)
	at := time.Date(2026, 11, 25, 22, 0, 0, 0, time.UTC)
	q.Add(
		queue.Entry{Message: 1 << 62, Organization: key, Trace: "t-1", From: "ann@here.example", Recipient: "x@there.example", Destination: queue.Destination{Domain: "there.example"}, Size: 7, Queued: at},
		queue.Entry{Trace: "t-2", Recipient: "y@there.example", Destination: queue.Destination{Route: "relay"}, Queued: at, Held: true},
	)
	o.core.queue = q
	o.verbs = o.core.operatorVerbs()

	page, err := o.ListQueue(ctx, QueueFilter{}, "")
	if err != nil || len(page.Items) != 2 || page.Next != "" {
		t.Fatalf("%+v, %v", page, err)
	}
	want := QueueEntry{Message: 1 << 62, Trace: "t-1", Organization: org, From: "ann@here.example", Recipient: "x@there.example", Domain: "there.example", Size: 7, Queued: at}
	if page.Items[0] != want || page.Items[1].Gateway != "relay" || !page.Items[1].Held || page.Items[1].Organization != "" {
		t.Errorf("listed %+v", page.Items)
	}
	if text, err := json.Marshal(page.Items[0]); err != nil || !strings.Contains(string(text), `"message":"4611686018427387904"`) {
		t.Errorf("%s, %v", text, err)
	}
	for _, c := range []struct {
		change string
		r      QueueChange
		n      int
	}{
		{"hold", QueueChange{QueueFilter: QueueFilter{Organization: org, From: "ann@here.example"}}, 1},
		{"release", QueueChange{QueueFilter: QueueFilter{Message: 1 << 62}}, 1},
		{"retry", QueueChange{All: true}, 2},
		{"retry", QueueChange{QueueFilter: QueueFilter{Organization: org}, All: true}, 1},
		{"drop", QueueChange{QueueFilter: QueueFilter{Held: new(bool), Domain: "there.example"}, Bounce: true}, 1},
	} {
		if n, err := o.ChangeQueue(ctx, c.change, c.r); n != c.n || err != nil {
			t.Errorf("%s %+v: %d, %v; want %d", c.change, c.r, n, err, c.n)
		}
	}
	if _, err := o.ChangeQueue(ctx, "drop", QueueChange{QueueFilter: QueueFilter{Organization: org}}); err == nil || !strings.Contains(err.Error(), "which messages") {
		t.Errorf("a drop that doesn't say what: %v", err)
	}
	if _, err := o.ListQueue(ctx, QueueFilter{Organization: "m-0"}, ""); err == nil || !strings.Contains(err.Error(), "m-0") {
		t.Errorf("an unknown organisation: %v", err)
	}
	events, err := o.TraceQueue(ctx, org, "t-1", "")
	var names []string
	for _, e := range events.Items {
		names = append(names, e.Event)
	}
	if got := strings.Join(names, " "); err != nil || got != "QUEUED HELD RELEASED RETRIED RETRIED SENDER_TOLD DROPPED" || events.Items[0].From != "ann@here.example" {
		t.Errorf("the trace is %+v, %v", events, err)
	}
	if events, err := o.TraceQueue(ctx, org, "t-2", ""); err != nil || len(events.Items) != 0 {
		t.Errorf("a foreign trace is %+v, %v", events, err)
	}

	// Beside a server the same verbs answer.
	s := httptest.NewServer(controlHandler(o.verbs, quiet))
	defer s.Close()
	answer, err := s.Client().Post(s.URL+"/queue-list", "application/json", strings.NewReader(`{"held":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil || len(page.Items) != 1 {
		t.Errorf("beside a server: %+v, %v", page, err)
	}
}

// someOrganization makes an organisation.
func someOrganization(t *testing.T, c *core) (id string, key int64) {
	t.Helper()
	made, err := c.organizations.Create(t.Context(), operator, organization.Request{Alias: "queueing"})
	if err != nil {
		t.Fatal(err)
	}
	err = c.db.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		o, err := c.directory.OrganizationTx(ctx, tx, directory.OrgID(made))
		if err == nil {
			key = o.Key
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(made), key
}
