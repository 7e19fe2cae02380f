package awsapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/transport/flow"
)

// objects are the bucket that functions write to.
type objects map[string]string

// Object reads an object of the bucket.
func (o objects) Object(_ context.Context, _ directory.OrgID, bucket, key, version string) ([]byte, error) {
	if text, ok := o[bucket+"/"+key+version]; ok {
		return []byte(text), nil
	}
	return nil, fault.New(fault.Invalid, fault.Location, "there is no %s in %s", key, bucket)
}

// ofOrganizations are the handlers of all operations but those of message flow, which name messages alone.
func (w *world) ofOrganizations() []contract.Handler {
	return slices.DeleteFunc(w.api.Handlers(), func(h contract.Handler) bool { return h.Op.Service == contract.MessageFlow })
}

// flow calls an operation of message flow.
func (w *world) flow(key string, op *contract.Op, id string, in map[string]any, code contract.ErrorCode) exchange {
	w.t.Helper()
	var body []byte
	if in != nil {
		body, _ = json.Marshal(in) // strings always marshal
	}
	r := httptest.NewRequest(op.Method, "http://pennypost.test/messages/"+url.PathEscape(id), strings.NewReader(string(body)))
	signFor(w.t, r, body, key, op.Service.SigningName())
	if _, err := w.Do(r); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e := &w.seen[len(w.seen)-1]
	e.operation = op.Name
	if e.code != string(code) || code == contract.ResourceNotFoundException && e.status != http.StatusNotFound {
		w.t.Errorf("%s %s by %s: got %d %s %s, want %q", op.Name, id, key, e.status, e.code, e.body, code)
	}
	return *e
}

// messageFlow reads and changes messages as functions do, by keys that may do that.
func (s *story) messageFlow() {
	w := s.world
	get, put := &contract.GetRawMessageContent.Op, &contract.PutRawMessageContent.Op
	const text = "From: x@far.example\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\nSubject: hello\r\n\r\nbody\r\n"
	keep := func(d flow.Direction, waits bool) string {
		m := flow.Told{ID: id.UUID(), Organization: w.keyOf(s.org), Direction: d, Waits: waits}
		body, err := w.contents.Prepare(w.ctx, "", []byte(text))
		if err == nil {
			err = w.db.Write(w.ctx, func(ctx context.Context, tx *db.Tx) error { return w.contents.KeepTx(ctx, tx, m, body) })
		}
		if err != nil {
			w.t.Fatal(err)
		}
		return m.ID
	}
	in := func(key string, version ...string) map[string]any {
		reference := map[string]any{"bucket": "functions", "key": key}
		if len(version) > 0 {
			reference["objectVersion"] = version[0]
		}
		return map[string]any{"content": map[string]any{"s3Reference": reference}}
	}
	w.objects["functions/new2"] = strings.Replace(text, "hello", "changed", 1)
	w.objects["functions/bad"] = "Subject: nothing else\r\n\r\n"
	waits, done := keep(flow.Inbound, true), keep(flow.Outbound, false)

	answer := w.flow("FLOW", get, waits, nil, "")
	if string(answer.body) != text {
		w.t.Errorf("the message is %s", answer.body)
	}
	w.flow("FLOW", get, "unknown", nil, contract.ResourceNotFoundException)
	w.flow("FLOW", put, "unknown", in("new"), contract.ResourceNotFoundException)
	w.flow("FLOW", put, waits, in("new"), contract.InvalidContentLocation)
	w.flow("FLOW", put, done, in("new", "2"), contract.MessageFrozen)
	if e := w.flow("FLOW", put, waits, in("bad"), contract.MessageRejected); !strings.Contains(string(e.body), `"message":"the new content of the message is rejected: the header From is missing"`) {
		w.t.Errorf("the refusal is %s", e.body)
	}
	if e := w.flow("FLOW", put, waits, in("new", "2"), ""); string(e.body) != "{}" {
		w.t.Errorf("the answer is %s", e.body)
	}
	if e := w.flow("FLOW", get, waits, nil, ""); string(e.body) != w.objects["functions/new2"] {
		w.t.Errorf("the message is now %s", e.body)
	}

	w.keys["INCOMING"] = fmt.Sprintf(`{"Statement":{"Effect":"Allow","Action":"workmailmessageflow:*","Resource":"arn:aws:workmailmessageflow:eu-west-1:111122223333:message/%s/incoming/*"}}`, s.org)
	w.flow("INCOMING", get, waits, nil, "")
	w.flow("INCOMING", get, done, nil, "AccessDeniedException")
	w.flow("INCOMING", get, "unknown", nil, "AccessDeniedException")
	w.flow("ADMIN", get, waits, nil, "AccessDeniedException")
	w.keys["OTHERS"] = strings.ReplaceAll(w.keys["INCOMING"], s.org, nowhere)
	for _, op := range []*contract.Op{get, put} {
		var content map[string]any
		if op == put {
			content = in("new", "2")
		}
		foreign, unknown := w.flow("OTHERS", op, waits, content, "AccessDeniedException"), w.flow("OTHERS", op, "unknown", content, "AccessDeniedException")
		if said := strings.ReplaceAll(string(foreign.body), waits, "unknown"); said != string(unknown.body) {
			w.t.Errorf("%s of another organisation's message: %s\nof an unknown one: %s", op.Name, said, unknown.body)
		}
	}
	if e := w.flow("READER", put, waits, in("new", "2"), "AccessDeniedException"); !strings.Contains(string(e.body), ":message/"+waits+" because") {
		w.t.Errorf("the refusal is %s", e.body)
	}
	w.flow("READER", get, waits, nil, "")
}
