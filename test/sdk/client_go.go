package sdk

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/pennypost/pennypost/test/harness"
)

// goSDK is the AWS SDK for Go v2, whose operations are called by their names.
func goSDK(s *harness.Server) client {
	api := s.WorkMail()
	return client{name: "go", absentIsEmpty: true, call: func(t *testing.T, operation string, in object) answer {
		t.Helper()
		method := reflect.ValueOf(api).MethodByName(operation)
		input := reflect.New(method.Type().In(1).Elem())
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, input.Interface()); err != nil { // the members are named as in the API
			t.Fatalf("%s: %v", operation, err)
		}
		results := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), input})
		if err, _ := results[1].Interface().(error); err != nil {
			return goFailure(err)
		}
		return answer{Output: plain(results[0].Elem()).(object)}
	}}
}

// goFailure finds the SDK's own type of an exception.
func goFailure(err error) answer {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return answer{Error: "no answer of the API", Message: err.Error()}
	}
	return answer{Error: api.ErrorCode(), Type: reflect.TypeOf(api).Elem().Name(), Message: api.ErrorMessage()}
}

// plain turns a value of the SDK into JSON's types, times into seconds.
func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		if at, ok := v.Interface().(*time.Time); ok {
			return float64(at.UnixMilli()) / 1000
		}
		return plain(v.Elem())
	case reflect.Struct:
		out := object{}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "ResultMetadata" {
				out[f.Name] = plain(v.Field(i))
			}
		}
		return out
	case reflect.Slice:
		out := list{}
		for i := range v.Len() {
			out = append(out, plain(v.Index(i)))
		}
		return out
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int32, reflect.Int64, reflect.Int:
		return float64(v.Int())
	case reflect.Float64, reflect.Float32:
		return v.Float()
	default:
		panic("sdk: a member of kind " + v.Kind().String())
	}
}
