package contract

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/pennypost/pennypost/internal/awsapi/contract/contracttest"
	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
)

// wire answers the SDK's requests inside the test: it decodes the input and answers with a filled output.
type wire struct {
	t             *testing.T
	op            *Op
	input, output any
}

// Do reads one request as the front would and writes the operation's output.
func (w *wire) Do(r *http.Request) (*http.Response, error) {
	if got := r.Header.Get("X-Amz-Target"); got != w.op.Target() {
		w.t.Errorf("%s: the target is %q", w.op.Name, got)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	input, unknown, err := w.op.Decode(body)
	if err != nil || len(unknown) > 0 {
		w.t.Errorf("%s: the SDK's %s: %v, unknown %q", w.op.Name, body, err, unknown)
	}
	w.input = input
	answer, err := w.op.Encode(w.output)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Request: r, Body: io.NopCloser(strings.NewReader(string(answer))),
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
	}, nil
}

// TestTheSDKUnderstandsEveryMember sends every member of every input through the AWS SDK's serialiser into our decoder,
// and every member of every output through our encoder into the SDK's deserialiser.
func TestTheSDKUnderstandsEveryMember(t *testing.T) {
	tried := 0
	for _, op := range Operations() {
		if op.Service != WorkMail {
			continue
		}
		w := &wire{t: t, op: op, output: op.newOutput()}
		fill(t, op.Output, reflect.ValueOf(w.output).Elem())
		client := workmail.New(workmail.Options{
			Region: "us-east-1", HTTPClient: w, Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
			BaseEndpoint: aws.String("http://localhost"),
		})
		method := reflect.ValueOf(client).MethodByName(op.Name)
		if !method.IsValid() {
			t.Errorf("the SDK has no %s", op.Name)
			continue
		}
		in := op.newInput()
		fill(t, op.Input, reflect.ValueOf(in).Elem())
		theirs := reflect.New(method.Type().In(1).Elem())
		carry(t, op.Name, reflect.ValueOf(in).Elem(), theirs.Elem())
		results := method.Call([]reflect.Value{reflect.ValueOf(context.Background()), theirs})
		if err := results[1].Interface(); err != nil {
			t.Errorf("%s: %v", op.Name, err)
			continue
		}
		same(t, op.Name+" input", reflect.ValueOf(w.input).Elem(), theirs.Elem())
		same(t, op.Name+" output", reflect.ValueOf(w.output).Elem(), results[0].Elem())
		tried++
	}
	if tried != 92 {
		t.Errorf("%d operations were tried, want 92", tried)
	}
}

// fill gives every member of a structure a valid value other than its zero.
func fill(t *testing.T, shape *schema.Shape, v reflect.Value) {
	for i, m := range shape.Members {
		if !m.InPath {
			fillValue(t, m.Shape, v.Field(i))
		}
	}
}

func fillValue(t *testing.T, shape *schema.Shape, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch value := contracttest.Sample(t, shape, true).(type) {
	case map[string]any:
		fill(t, shape, v)
	case []any:
		v.Set(reflect.MakeSlice(v.Type(), len(value), len(value)))
		for i := range value {
			fillValue(t, shape.Element, v.Index(i))
		}
	case string:
		v.SetString(value)
	case bool:
		v.SetBool(value)
	case int:
		v.SetInt(int64(value))
	case float64:
		if shape.Type == schema.Timestamp {
			v.Set(reflect.ValueOf(time.UnixMilli(1522693605468).UTC()))
			return
		}
		v.SetFloat(value)
	default:
		t.Fatalf("%s: no way to fill a %T", shape.Name, value)
	}
}

// carry copies our structure into the SDK's of the same member names.
func carry(t *testing.T, where string, ours, theirs reflect.Value) {
	for i := range ours.NumField() {
		name := ours.Type().Field(i).Name
		field := theirs.FieldByName(name)
		if !field.IsValid() {
			t.Errorf("%s: the SDK has no member %s", where, name)
			continue
		}
		carryValue(t, where+"."+name, ours.Field(i), field)
	}
}

func carryValue(t *testing.T, where string, ours, theirs reflect.Value) {
	ours = reflect.Indirect(ours)
	if theirs.Kind() == reflect.Pointer {
		theirs.Set(reflect.New(theirs.Type().Elem()))
		theirs = theirs.Elem()
	}
	switch {
	case ours.Type() == theirs.Type():
		theirs.Set(ours)
	case ours.Kind() == reflect.Struct:
		carry(t, where, ours, theirs)
	case ours.Kind() == reflect.Slice:
		theirs.Set(reflect.MakeSlice(theirs.Type(), ours.Len(), ours.Len()))
		for i := range ours.Len() {
			carryValue(t, where, ours.Index(i), theirs.Index(i))
		}
	case ours.CanConvert(theirs.Type()):
		theirs.Set(ours.Convert(theirs.Type()))
	default:
		t.Errorf("%s: ours is a %v, the SDK's a %v", where, ours.Type(), theirs.Type())
	}
}

// same compares our structure with the SDK's; the SDK's may hold ResultMetadata besides.
func same(t *testing.T, where string, ours, theirs reflect.Value) {
	ours, theirs = reflect.Indirect(ours), reflect.Indirect(theirs)
	if !ours.IsValid() || !theirs.IsValid() {
		t.Errorf("%s: ours is there %t, the SDK's %t", where, ours.IsValid(), theirs.IsValid())
		return
	}
	switch {
	case ours.Type() == reflect.TypeFor[time.Time]():
		if a, b := ours.Interface().(time.Time), theirs.Interface().(time.Time); !a.Equal(b) {
			t.Errorf("%s: ours %v, the SDK's %v", where, a, b)
		}
	case ours.Kind() == reflect.Struct:
		for i := range ours.NumField() {
			name := ours.Type().Field(i).Name
			field := theirs.FieldByName(name)
			if !field.IsValid() {
				t.Errorf("%s: the SDK has no member %s", where, name)
				continue
			}
			same(t, where+"."+name, ours.Field(i), field)
		}
	case ours.Kind() == reflect.Slice:
		if ours.Len() != theirs.Len() {
			t.Errorf("%s: ours has %d elements, the SDK's %d", where, ours.Len(), theirs.Len())
			return
		}
		for i := range ours.Len() {
			same(t, fmt.Sprintf("%s[%d]", where, i), ours.Index(i), theirs.Index(i))
		}
	default:
		if a, b := fmt.Sprint(ours.Interface()), fmt.Sprint(theirs.Interface()); a != b {
			t.Errorf("%s: ours %s, the SDK's %s", where, a, b)
		}
	}
}

// TestTheSDKKnowsTheSameAbsence compares which scalars can be absent: the SDK's own generator decided that from the
// services' internal models, ours from shape names.
func TestTheSDKKnowsTheSameAbsence(t *testing.T) {
	client := reflect.TypeFor[*workmail.Client]()
	for _, op := range Operations() {
		if op.Service != WorkMail {
			continue
		}
		method, _ := client.MethodByName(op.Name)
		sameAbsence(t, op.Name+"Input", op.Input, reflect.TypeOf(op.newInput()).Elem(), method.Type.In(2).Elem())
		sameAbsence(t, op.Name+"Output", op.Output, reflect.TypeOf(op.newOutput()).Elem(), method.Type.Out(0).Elem())
	}
}

func sameAbsence(t *testing.T, where string, shape *schema.Shape, ours, theirs reflect.Type) {
	for i, m := range shape.Members {
		field, _ := theirs.FieldByName(m.Name)
		a, b := ours.Field(i).Type, field.Type
		switch m.Shape.Type {
		case schema.Boolean, schema.Integer, schema.Long, schema.Double:
			if !m.Required && (a.Kind() == reflect.Pointer) != (b.Kind() == reflect.Pointer) {
				t.Errorf("%s.%s: ours is %v, the SDK's %v", where, m.Name, a, b)
			}
		case schema.Structure:
			sameAbsence(t, where+"."+m.Name, m.Shape, a.Elem(), b.Elem())
		case schema.List:
			if m.Shape.Element.Type == schema.Structure {
				sameAbsence(t, where+"."+m.Name, m.Shape.Element, a.Elem(), b.Elem())
			}
		}
	}
}
