package contract

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
	"github.com/pennypost/pennypost/internal/principal"
)

func TestTheContractIsWhole(t *testing.T) {
	count := map[Service]int{}
	codes := map[ErrorCode]bool{}
	var without []string
	for _, op := range Operations() {
		count[op.Service]++
		if op.Service != WorkMail {
			continue
		}
		for _, code := range op.Errors {
			codes[code] = true
		}
		if op.BreachCode() == ValidationException {
			without = append(without, op.Name)
		}
	}
	if count[WorkMail] != 92 || count[MessageFlow] != 2 || count[Pennypost] == 0 || len(codes) != 22 {
		t.Errorf("%v operations, %d exceptions; want 92, 2, some of our own, and 22", count, len(codes))
	}
	want := []string{
		"DeleteAccessControlRule", "DeleteAvailabilityConfiguration", "DescribeInboundDmarcSettings", "ListAccessControlRules",
		"ListTagsForResource", "PutInboundDmarcSettings", "UntagResource",
	}
	if slices.Sort(without); !slices.Equal(without, want) {
		t.Errorf("without InvalidParameterException are %q, want %q", without, want)
	}
	if got := GetRawMessageContent.Op.Status(ResourceNotFoundException); got != 404 {
		t.Errorf("message flow's ResourceNotFoundException is HTTP %d, want 404", got)
	}
	if got := GetMailDomain.Op.Status(MailDomainNotFoundException); got != 400 {
		t.Errorf("WorkMail's exceptions are HTTP %d, want 400", got)
	}
}

// TestGoTypesFollowTheShapes checks what package schema relies on: fields in the members' order, with their names and types.
func TestGoTypesFollowTheShapes(t *testing.T) {
	for _, op := range Operations() {
		follows(t, op.Name+"Input", op.Input, reflect.TypeOf(op.newInput()).Elem())
		follows(t, op.Name+"Output", op.Output, reflect.TypeOf(op.newOutput()).Elem())
	}
}

func follows(t *testing.T, where string, shape *schema.Shape, goType reflect.Type) {
	if goType.NumField() != len(shape.Members) || len(shape.Members) > 64 {
		t.Errorf("%s has %d fields for %d members", where, goType.NumField(), len(shape.Members))
		return
	}
	for i, m := range shape.Members {
		f := goType.Field(i)
		if f.Name != strings.ToUpper(m.Name[:1])+m.Name[1:] {
			t.Errorf("%s: field %s stands for %s", where, f.Name, m.Name)
		}
		here := where + "." + m.Name
		want := map[schema.Type]string{
			schema.String: "string", schema.Boolean: "bool", schema.Integer: "int32", schema.Long: "int64", schema.Double: "float64",
			schema.Timestamp: "*time.Time", schema.Blob: "[]uint8",
		}[m.Shape.Type]
		switch {
		case m.Shape.Type == schema.Structure:
			follows(t, here, m.Shape, f.Type.Elem())
			continue
		case m.Shape.Type == schema.List:
			if m.Shape.Element.Type == schema.Structure {
				follows(t, here, m.Shape.Element, f.Type.Elem())
			}
			continue
		case len(m.Shape.Enum) > 0:
			want = "contract." + m.Shape.Name
		case !m.Required && (m.Shape.Nullable || m.Shape.Type == schema.String):
			want = "*" + want
		}
		if f.Type.String() != want {
			t.Errorf("%s is a %v, want %s", here, f.Type, want)
		}
	}
}

func TestWhatAnInputNames(t *testing.T) {
	input, _, err := CreateUser.Op.Decode([]byte(`{"OrganizationId":"m-0123456789abcdef0123456789abcdef","Name":"ann","DisplayName":"Ann","Password":"examplePa$$w0rd"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := CreateUser.Op.Organization(input); got != "m-0123456789abcdef0123456789abcdef" {
		t.Errorf("Organization = %q", got)
	}
	if got := CreateUser.Op.ResourceARN(input); got != "" {
		t.Errorf("ResourceARN = %q, want none", got)
	}
	tags, _, err := TagResource.Op.Decode([]byte(`{"ResourceARN":"arn:aws:workmail:us-east-1:1:organization/m-1","Tags":[]}`))
	if err != nil || TagResource.Op.ResourceARN(tags) != "arn:aws:workmail:us-east-1:1:organization/m-1" || TagResource.Op.Organization(tags) != "" {
		t.Errorf("TagResource: %v, %q, %q", err, TagResource.Op.ResourceARN(tags), TagResource.Op.Organization(tags))
	}
}

func TestHandle(t *testing.T) {
	refusal := errors.New("no")
	h := DeleteUser.Handle(func(_ context.Context, p principal.Principal, in *DeleteUserInput) (*DeleteUserOutput, error) {
		if p.ID != "AKID" {
			t.Errorf("the principal is %+v", p)
		}
		if in.UserId == "ann" {
			return nil, refusal
		}
		return &DeleteUserOutput{}, nil
	})
	p := principal.Principal{ID: "AKID"}
	if out, err := h.Run(t.Context(), p, &DeleteUserInput{UserId: "ann"}); out != nil || !errors.Is(err, refusal) {
		t.Errorf("a refusal is %v, %v", out, err)
	}
	out, err := h.Run(t.Context(), p, &DeleteUserInput{UserId: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := h.Op.Encode(out); err != nil || string(body) != "{}" {
		t.Errorf("the output is %s, %v", body, err)
	}
}

// FuzzEveryOperation hands any body to the decoders of all operations: none may panic.
func FuzzEveryOperation(f *testing.F) {
	for i, op := range Operations() {
		f.Add(uint8(i), []byte(`{"OrganizationId":"m-0123456789abcdef0123456789abcdef","Name":"`+op.Name+`","Tags":[{"Key":"a","Value":"b"}],"MaxResults":7}`))
	}
	f.Fuzz(func(t *testing.T, i uint8, body []byte) {
		op := Operations()[int(i)%len(Operations())]
		_, _, _ = op.Decode(body) // what is wrong with it is not looked at
	})
}
