package awsapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
)

// pool is what random calls have made or may name: values by member.
type pool struct {
	values map[string][]string
}

func newPool(s *settlement) *pool {
	entities := []string{s.user, s.other, s.group, s.resource, s.name, s.alias + "-group", s.alias + "-room", s.name + "@" + s.domain}
	addresses := []string{s.name + "@" + s.domain, "sales@" + s.domain, "New@" + s.domain, "n.e-w+tag@" + s.alias + ".example", "x@pending.example"}
	domains := []string{s.domain, s.alias + ".example", "pending.example", strings.ToUpper(s.domain)}
	return &pool{values: map[string][]string{
		"OrganizationId": {s.org}, "ResourceARN": {s.arn}, "UserId": entities, "EntityId": entities, "MemberId": entities, "GranteeId": entities,
		"GroupId": entities, "ResourceId": entities, "Email": addresses, "DomainName": domains, "Alias": addresses, "Name": {s.name, "guest", "fresh"},
		"InstanceArn": {instanceARN}, "ApplicationArn": {s.application}, "PersonalAccessTokenId": {s.token},
	}}
}

// add remembers the ids and page tokens in an answer.
func (p *pool) add(body []byte) {
	var answer map[string]any
	if json.Unmarshal(body, &answer) != nil {
		return
	}
	for _, name := range []string{"UserId", "GroupId", "ResourceId"} {
		if id, ok := answer[name].(string); ok {
			for _, member := range []string{"UserId", "EntityId", "MemberId", "GranteeId", "GroupId", "ResourceId"} {
				p.values[member] = append(p.values[member], id)
			}
		}
	}
	if arn, ok := answer["ApplicationArn"].(string); ok {
		p.values["ApplicationArn"] = append(p.values["ApplicationArn"], arn)
	}
	if token, ok := answer["NextToken"].(string); ok {
		p.values["NextToken"] = append(p.values["NextToken"], token)
	}
}

// draw makes a value that keeps every constraint of a shape.
func (p *pool) draw(t *rapid.T, name string, shape *schema.Shape) any {
	switch shape.Type {
	case schema.Structure:
		members := map[string]any{}
		for _, m := range shape.Members {
			if m.Required || rapid.Bool().Draw(t, "give "+m.Name) {
				members[m.Name] = p.draw(t, m.Name, m.Shape)
			}
		}
		return members
	case schema.List:
		list := []any{}
		for range rapid.IntRange(limit(shape.Min, 0), min(4, limit(shape.Max, 4))).Draw(t, name+" length") {
			list = append(list, p.draw(t, name, shape.Element))
		}
		return list
	case schema.Boolean:
		return rapid.Bool().Draw(t, name)
	case schema.Integer:
		return rapid.IntRange(limit(shape.Min, 0), limit(shape.Max, 100_000)).Draw(t, name)
	case schema.Timestamp:
		return rapid.Int64Range(0, 1<<32).Draw(t, name)
	default:
		return p.drawString(t, name, shape)
	}
}

func (p *pool) drawString(t *rapid.T, name string, shape *schema.Shape) string {
	if len(shape.Enum) > 0 {
		return rapid.SampledFrom(shape.Enum).Draw(t, name)
	}
	if known := p.values[name]; len(known) > 0 && rapid.IntRange(0, 9).Draw(t, "take a known "+name) < 8 {
		return rapid.SampledFrom(known).Draw(t, name)
	}
	longest := limit(shape.Max, 400)
	if shape.Pattern == nil {
		return rapid.StringN(limit(shape.Min, 0), longest, -1).Draw(t, name)
	}
	pattern := strings.NewReplacer(`(?!d-)`, ``, `{0,1023}`, `{0,99}`, `{1,1024}`, `{1,99}`, `\u0020`, `\x20`, `\u00FF`, `\xFF`).Replace(shape.Pattern.String())
	return rapid.StringMatching(pattern).Filter(func(s string) bool {
		n := len([]rune(s))
		return n >= limit(shape.Min, 0) && n <= longest && shape.Pattern.Match(s)
	}).Draw(t, name)
}

func limit(b *int64, otherwise int) int {
	if b == nil {
		return otherwise
	}
	return int(*b)
}

// timeless is a test whose deadline is not asked for, which a bubble does not allow.
type timeless struct{ testing.TB }

// TestAnyValidInputIsAnswered hands the operations any input that keeps the contract, made up or of what is there: each
// answers with an output or with an exception of its own, never with a failure of the server, and leaves the store whole.
func TestAnyValidInputIsAnswered(t *testing.T) {
	inBoth(t, func(w *world) {
		s := settle(w, "random")
		p := newPool(s)
		var ops []*contract.Op
		for _, h := range w.ofOrganizations() {
			if h.Op.Name != "CreateOrganization" && h.Op.Name != "DeleteOrganization" {
				ops = append(ops, h.Op)
			}
		}
		answers := map[string]int{}
		rapid.Check(timeless{w.t}, func(rt *rapid.T) {
			for range 8 {
				op := rapid.SampledFrom(ops).Draw(rt, "operation")
				in := p.draw(rt, op.Name, op.Input)
				e := w.call("ADMIN", op.Name, in)
				p.add(e.body)
				switch {
				case e.status == http.StatusOK, op.Lists(contract.ErrorCode(e.code)), e.code == string(contract.ValidationException):
					answers[fmt.Sprint(e.status, e.code)]++
				default:
					rt.Fatalf("%s %v: %d %s", op.Name, in, e.status, e.body)
				}
			}
		})
		var codes []string
		for code := range answers {
			codes = append(codes, code)
		}
		if slices.Sort(codes); len(codes) < 6 || answers["200"] < 50 {
			w.t.Errorf("the calls were too much alike: %v", answers)
		}
	})
}
