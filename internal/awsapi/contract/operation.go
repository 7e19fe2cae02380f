// Package contract is the one contract of the services: the operations of WorkMail, of WorkMail Message Flow and our own, the
// types of their inputs and outputs, their constraints, and the errors each may answer with. The *_gen.go files are
// written by the command in generate from the published models, our own being published in docs/models; nobody edits or reads
// them. A handler is bound with Operation.Handle and sees only input that keeps every constraint.
package contract

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"

	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
	"github.com/pennypost/pennypost/internal/principal"
)

//go:generate go run ./generate $PENNYPOST_BOTOCORE_MODEL/workmail/2017-10-01/service-2.json.gz $PENNYPOST_BOTOCORE_MODEL/workmailmessageflow/2019-05-01/service-2.json.gz ../../../docs/models/pennypost/2026-11-25/service-2.json

// Service is one of the services, by the prefix of its IAM actions.
type Service string

// The services.
const (
	WorkMail    Service = "workmail"            // AWS JSON 1.1: POST / with the operation in X-Amz-Target
	MessageFlow Service = "workmailmessageflow" // REST-JSON: the operation is method and path
	Pennypost   Service = "pennypost"           // what is ours alone, in WorkMail's protocol and signed as WorkMail's
)

// SigningName is the service that requests are signed for.
func (s Service) SigningName() string {
	if s == Pennypost {
		return string(WorkMail)
	}
	return string(s)
}

// TargetPrefix stands before the operation's name in X-Amz-Target; empty for message flow, whose requests have none.
func (s Service) TargetPrefix() string {
	switch s {
	case WorkMail:
		return "WorkMailService."
	case Pennypost:
		return "PennypostService."
	default:
		return ""
	}
}

// MessageMember is the name of the one member of the service's exceptions, which message flow spells differently.
func (s Service) MessageMember() string {
	if s == MessageFlow {
		return "message"
	}
	return "Message"
}

// ErrorCode is the name of an exception.
type ErrorCode string

// Op is what is known of an operation without its Go types.
type Op struct {
	Name    string
	Service Service
	// Method and Path are those of the model's HTTP binding; the path's "{member}" parts are input members.
	Method, Path  string
	Input, Output *schema.Shape
	// Idempotent operations may be repeated by clients at will.
	Idempotent bool
	// Errors are the exceptions that the operation may answer with, in the model's order.
	Errors []ErrorCode

	newInput  func() any
	newOutput func() any
}

// Target is the operation in X-Amz-Target.
func (op *Op) Target() string { return op.Service.TargetPrefix() + op.Name }

// Lists reports whether the operation may answer with code.
func (op *Op) Lists(code ErrorCode) bool { return slices.Contains(op.Errors, code) }

// Status returns the HTTP status of one of the operation's exceptions: 400 unless its model says otherwise.
func (op *Op) Status(code ErrorCode) int { return modelledStatus(op.Service, code) }

// BreachCode is the exception for input that breaks a constraint: the service's own InvalidParameterException where the
// operation lists it, the ValidationException of AWS's frameworks for the few that don't.
func (op *Op) BreachCode() ErrorCode {
	if op.Lists(InvalidParameterException) {
		return InvalidParameterException
	}
	return ValidationException
}

// ValidationException is the frameworks' own exception, in no model.
const ValidationException ErrorCode = "ValidationException"

// Decode reads a request's body, and what stands in its path for the members there, into a new input and checks its constraints.
// The errors and the unknown members are those of schema.Decode.
func (op *Op) Decode(body []byte, inPath ...string) (input any, unknown []string, err error) {
	input = op.newInput()
	unknown, err = schema.Decode(body, op.Input, input, inPath...)
	return input, unknown, err
}

// Encode writes an output of the operation as JSON. An error is a bug of the handler.
func (op *Op) Encode(output any) ([]byte, error) { return schema.Append(nil, op.Output, output) }

// Organization returns the id of the organisation that a decoded input names, "" when the operation has none.
func (op *Op) Organization(input any) string { return op.text(input, "OrganizationId") }

// ResourceARN returns the ARN that a decoded input of the tag operations names, "" for the others.
func (op *Op) ResourceARN(input any) string { return op.text(input, "ResourceARN") }

// MessageID returns the id of the message that a decoded input of message flow names, "" for the others.
func (op *Op) MessageID(input any) string { return op.text(input, "messageId") }

// Page returns the page that the input of a list asks for: where it begins and how many items it may have, both nil when
// the input does not say.
func (op *Op) Page(input any) (token *string, items *int32) {
	v := reflect.ValueOf(input).Elem()
	if i := op.Input.Member(nextToken); i >= 0 {
		token, _ = v.Field(i).Interface().(*string)
	}
	if i := op.Input.Member(maxResults); i >= 0 {
		items, _ = v.Field(i).Interface().(*int32)
	}
	return token, items
}

// WithoutPage writes an input without its page as JSON: two inputs that ask for pages of the same list are equal.
func (op *Op) WithoutPage(input any) ([]byte, error) {
	list := reflect.New(reflect.TypeOf(input).Elem())
	list.Elem().Set(reflect.ValueOf(input).Elem())
	for _, name := range []string{nextToken, maxResults} {
		if i := op.Input.Member(name); i >= 0 {
			list.Elem().Field(i).SetZero()
		}
	}
	return schema.Append(nil, op.Input, list.Interface())
}

// The input members that say which page of a list is asked for.
const nextToken, maxResults = "NextToken", "MaxResults"

// text returns the input's member of that name, "" where it has none.
func (op *Op) text(input any, name string) string {
	i := op.Input.Member(name)
	if i < 0 {
		return ""
	}
	v := reflect.Indirect(reflect.ValueOf(input).Elem().Field(i))
	if !v.IsValid() {
		return ""
	}
	return v.String()
}

// Operation is an operation with the Go types of its input and output.
type Operation[In, Out any] struct{ Op Op }

func made[T any]() any { return new(T) }

// Handler is an operation bound to the function that carries it out.
type Handler struct {
	Op  *Op
	run func(ctx context.Context, p principal.Principal, input any) (any, error)
}

// Handle binds the operation to its function. The function gets a valid input, and returns an output or an error: a
// *fault.Error for what can be expected to fail.
func (o *Operation[In, Out]) Handle(f func(context.Context, principal.Principal, *In) (*Out, error)) Handler {
	return Handler{Op: &o.Op, run: func(ctx context.Context, p principal.Principal, input any) (any, error) {
		in, ok := input.(*In)
		if !ok {
			panic(fmt.Sprintf("contract: %s was called with a %T", o.Op.Name, input))
		}
		out, err := f(ctx, p, in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}}
}

// Raw is an output whose one member is the answer's body: bytes as they are, and so many that they are read while they are sent.
type Raw struct {
	Size int64
	// Open begins to read them.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// HandleRaw is Handle for an operation whose output has a payload in place of JSON.
func (o *Operation[In, Out]) HandleRaw(f func(context.Context, principal.Principal, *In) (*Raw, error)) Handler {
	as := Operation[In, Raw]{Op: o.Op}
	return Handler{Op: &o.Op, run: as.Handle(f).run}
}

// Run carries the operation out. The input must come from the same operation's Decode.
func (h Handler) Run(ctx context.Context, p principal.Principal, input any) (output any, err error) {
	return h.run(ctx, p, input)
}
