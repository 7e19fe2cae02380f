package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
)

// comparison collects the differences between the contract and one model.
type comparison struct {
	shapes      map[string]any
	differences []string
	walked      map[string]bool
}

type object = map[string]any

// compare lists the differences between the contract's part for a service and a model; each line says where, what the
// contract has and what the model has.
func compare(service contract.Service, model object) []string {
	c := &comparison{shapes: dig(model, "shapes"), walked: map[string]bool{}}
	c.metadata(service, dig(model, "metadata"))
	operations := dig(model, "operations")
	known := map[string]bool{}
	for _, op := range contract.Operations() {
		if op.Service != service {
			continue
		}
		known[op.Name] = true
		if _, ok := operations[op.Name]; !ok {
			c.differ(op.Name, "an operation", "none")
			continue
		}
		c.operation(op, dig(operations, op.Name))
	}
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		if !known[name] {
			c.differ(name, "none", "an operation")
		}
	}
	c.unused()
	return c.differences
}

func (c *comparison) differ(where string, contract, model any) {
	c.differences = append(c.differences, fmt.Sprintf("%s: the contract has %v, the model %v", where, contract, model))
}

func (c *comparison) same(where string, contract, model any) {
	if a, b := fmt.Sprint(contract), fmt.Sprint(model); a != b {
		c.differ(where, a, b)
	}
}

func (c *comparison) metadata(service contract.Service, m object) {
	signing := m["signingName"]
	if signing == nil {
		signing = m["endpointPrefix"]
	}
	c.same("signing name", service.SigningName(), signing)
	c.same("signature", "v4", m["signatureVersion"])
	if service == contract.MessageFlow {
		c.same("protocol", "rest-json", m["protocol"])
		return
	}
	c.same("protocol", "json", m["protocol"])
	c.same("JSON version", "1.1", m["jsonVersion"])
	c.same("target prefix", service.TargetPrefix(), fmt.Sprint(m["targetPrefix"], "."))
}

// strange reports keys that the contract has no place for: a trait that came with a newer model.
func (c *comparison) strange(where string, m object, known ...string) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(known, key) {
			c.differ(where, "no place for "+key, m[key])
		}
	}
}

func (c *comparison) operation(op *contract.Op, m object) {
	c.strange(op.Name, m, "name", "http", "input", "output", "errors", "idempotent", "documentation")
	http := dig(m, "http")
	c.strange(op.Name+" http", http, "method", "requestUri")
	c.same(op.Name+" method", op.Method, http["method"])
	c.same(op.Name+" path", op.Path, http["requestUri"])
	c.same(op.Name+" idempotent", op.Idempotent, m["idempotent"] == true)
	var errs []string
	for _, e := range items(m, "errors") {
		errs = append(errs, text(e.(object), "shape"))
	}
	c.same(op.Name+" errors", op.Errors, errs)
	for _, code := range errs {
		c.exception(op, code)
	}
	c.shape(op.Name+" input", op.Input, text(dig(m, "input"), "shape"))
	c.shape(op.Name+" output", op.Output, text(dig(m, "output"), "shape"))
}

// exception compares an exception's HTTP status and its one member, whose case differs between the services.
func (c *comparison) exception(op *contract.Op, code string) {
	c.walked[code] = true
	m := dig(c.shapes, code)
	c.strange(code, m, "type", "members", "documentation", "exception", "error")
	status := dig(m, "error")["httpStatusCode"]
	if status == nil {
		status = 400
	}
	c.same(op.Name+" "+code+" status", op.Status(contract.ErrorCode(code)), status)
	for name, member := range dig(m, "members") {
		c.same(code+" member", op.Service.MessageMember(), name)
		c.walked[text(member.(object), "shape")] = true
	}
}

var typeNames = map[schema.Type]string{
	schema.Structure: "structure", schema.List: "list", schema.String: "string", schema.Boolean: "boolean", schema.Integer: "integer",
	schema.Long: "long", schema.Double: "double", schema.Timestamp: "timestamp", schema.Blob: "blob",
}

// payloads are the outputs that are one member's bytes in place of JSON: those of Operation.HandleRaw.
var payloads = map[string]string{"GetRawMessageContentResponse": "messageContent"}

func (c *comparison) shape(where string, s *schema.Shape, name string) {
	c.same(where+" shape", s.Name, name)
	if c.walked[name] {
		return
	}
	c.walked[name] = true
	m := dig(c.shapes, name)
	c.strange(name, m, "type", "required", "members", "member", "min", "max", "pattern", "enum", "sensitive", "box", "documentation",
		"payload", "streaming")
	c.same(name+" type", typeNames[s.Type], m["type"])
	c.bound(name+" min", s.Min, m["min"])
	c.bound(name+" max", s.Max, m["max"])
	pattern := ""
	if s.Pattern != nil {
		pattern = s.Pattern.String()
	}
	c.same(name+" pattern", pattern, text(m, "pattern"))
	c.same(name+" enum", s.Enum, items(m, "enum"))
	c.same(name+" sensitive", s.Sensitive, m["sensitive"] == true)
	c.same(name+" payload", payloads[name], text(m, "payload"))
	c.same(name+" streaming", s.Type == schema.Blob, m["streaming"] == true)
	c.same(name+" nullable", s.Nullable, m["box"] == true || name == "BooleanObject")
	switch {
	case s.Element != nil:
		c.strange(name+" element", dig(m, "member"), "shape", "documentation")
		c.shape(name+" element", s.Element, text(dig(m, "member"), "shape"))
	case s.Type == schema.Structure:
		c.members(name, s, m)
	}
}

func (c *comparison) members(where string, s *schema.Shape, m object) {
	members := dig(m, "members")
	for name := range members {
		if s.Member(name) < 0 {
			c.differ(where+"."+name, "none", "a member")
		}
	}
	for _, member := range s.Members {
		here := where + "." + member.Name
		if _, ok := members[member.Name]; !ok {
			c.differ(here, "a member", "none")
			continue
		}
		ref := dig(members, member.Name)
		c.strange(here, ref, "shape", "documentation", "idempotencyToken", "location", "locationName")
		c.same(here+" required", member.Required, slices.Contains(items(m, "required"), any(member.Name)))
		c.same(here+" idempotency token", member.IdempotencyToken, ref["idempotencyToken"] == true)
		location := ""
		if member.InPath {
			location = "uri"
		}
		c.same(here+" location", location, text(ref, "location"))
		if wire, ok := ref["locationName"]; ok {
			c.same(here+" name", member.Name, wire)
		}
		c.shape(here, member.Shape, text(ref, "shape"))
	}
}

func (c *comparison) bound(where string, ours *int64, theirs any) {
	contract := "none"
	if ours != nil {
		contract = fmt.Sprint(*ours)
	}
	model := "none"
	if n, ok := theirs.(float64); ok {
		model = fmt.Sprint(int64(n))
	}
	c.same(where, contract, model)
}

// unused reports shapes of the model that no operation leads to: they would hide a part of the model that was not walked.
func (c *comparison) unused() {
	for _, name := range slices.Sorted(maps.Keys(c.shapes)) {
		if !c.walked[name] {
			c.differ(name, "no use for it", "a shape")
		}
	}
}

// dig returns a member that is an object, an empty one when it is absent.
func dig(m object, name string) object {
	o, _ := m[name].(object)
	return o
}

func items(m object, name string) []any {
	list, _ := m[name].([]any)
	return list
}

func text(m object, name string) string {
	s, _ := m[name].(string)
	return s
}
