package awsapi_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/workmail"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/awsapi/contract/contracttest"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
)

// TestConformance sends each operation what is generated from its shape, in signed requests over HTTP: what is inside every
// constraint gets any answer but a breach, what is outside the breach in AWS's words, another type the serialization error. What
// is refused comes to no handler, and is sent on one engine alone, of many strings outside a pattern the first (the contract's own
// test decodes all).
func TestConformance(t *testing.T) {
	dbtest.Run(t, migrations(), func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		stop := w.startJobs()
		defer stop()
		c := &conformance{world: w, server: httptest.NewServer(w.front), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: players}}}
		defer c.server.Close()
		c.activeOrganization()
		calls, counts := make(chan func()), map[contracttest.Kind]int{}
		var playing sync.WaitGroup
		for range players {
			playing.Go(func() {
				for call := range calls {
					call()
				}
			})
		}
		for _, op := range contract.Operations() {
			outside := map[string]int{}
			for _, one := range contracttest.Cases(t, op.Input, c.base(op)) {
				if one.Kind == contracttest.Outside {
					if outside[one.Path]++; outside[one.Path] > 6 {
						continue
					}
				}
				if d.Engine() == db.SQLite || one.Breach == "" && !one.Unreadable {
					counts[one.Kind]++
					calls <- func() { c.play(op, one) }
				}
			}
		}
		close(calls)
		playing.Wait()
		if least := min(counts[contracttest.Inside], counts[contracttest.Missing], counts[contracttest.Null]); least < 100 {
			t.Errorf("too few cases were made: %v", counts)
		}
		w.inspect()
	})
}

// players are the connections that play at once.
const players = 4

type conformance struct {
	*world
	server *httptest.Server
	client *http.Client
	org    string
}

// activeOrganization makes the organisation that the cases are about.
func (c *conformance) activeOrganization() {
	c.t.Helper()
	c.org = *must(c.world, c.CreateOrganization, &workmail.CreateOrganizationInput{Alias: str("conformance")}).OrganizationId
	for {
		o, err := c.directory.DescribeOrganization(c.ctx, principal.TheSystem("test"), directory.OrgID(c.org))
		if err != nil {
			c.t.Fatal(err)
		}
		if o.State == directory.OrgActive {
			return
		}
	}
}

// base is what the inputs of an operation name: the organisation, but where that would be its end.
func (c *conformance) base(op *contract.Op) map[string]any {
	if op.Name == "DeleteOrganization" {
		return nil
	}
	return map[string]any{"OrganizationId": c.org, "ResourceARN": "arn:aws:workmail:eu-west-1:111122223333:organization/" + c.org}
}

func (c *conformance) play(op *contract.Op, one contracttest.Case) {
	status, code, said := c.send(op, one)
	wrong := one.Wrong(status, said, string(op.BreachCode()))
	if wrong == "" && !one.Unreadable && one.Breach == "" {
		switch {
		case op.Service == contract.MessageFlow:
			if code != contract.ResourceNotFoundException {
				wrong = "there is no message"
			}
		case status != http.StatusOK && (status != http.StatusBadRequest || !op.Lists(code) && code != contract.ValidationException):
			wrong = "the operation has no such answer"
		}
	}
	if wrong != "" {
		c.t.Errorf("%s %s %s, %.300s: %d %s: %s", op.Name, one.Path, one.Kind, one.Document, status, code, wrong)
	}
}

// send is one signed request.
func (c *conformance) send(op *contract.Op, one contracttest.Case) (status int, code contract.ErrorCode, said []byte) {
	path, kind := "/", "application/x-amz-json-1.1"
	if op.Service == contract.MessageFlow {
		path, kind = "/messages/"+url.PathEscape(one.InPath), "application/json"
	}
	r, err := http.NewRequestWithContext(c.ctx, op.Method, c.server.URL+path, bytes.NewReader(one.Document))
	if err != nil {
		c.t.Error(err)
		return 0, "", nil
	}
	r.Header.Set("Content-Type", kind)
	if op.Service != contract.MessageFlow {
		r.Header.Set("X-Amz-Target", op.Target())
	}
	key := "ADMIN"
	if op.Service == contract.MessageFlow {
		key = "FLOW"
	}
	signFor(c.t, r, one.Document, key, op.Service.SigningName())
	answer, err := c.client.Do(r)
	if err != nil {
		c.t.Errorf("%s %s: %v", op.Name, one.Document, err)
		return 0, "", nil
	}
	defer answer.Body.Close()
	if said, err = io.ReadAll(answer.Body); err != nil {
		c.t.Error(err)
	}
	return answer.StatusCode, contract.ErrorCode(answer.Header.Get("X-Amzn-Errortype")), said
}
