package sdk

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmailmessageflow"
	"github.com/aws/smithy-go"

	"github.com/pennypost/pennypost/test/harness"
)

// goSDK is the AWS SDK for Go v2, whose operations are called by their names.
func goSDK(s *harness.Server) client {
	api := s.WorkMail()
	flow := workmailmessageflow.New(workmailmessageflow.Options{
		Region: s.Env["AWS_REGION"], BaseEndpoint: aws.String(s.Env["AWS_ENDPOINT_URL_WORKMAILMESSAGEFLOW"]), Credentials: api.Options().Credentials,
		HTTPClient: api.Options().HTTPClient, RetryMaxAttempts: 1,
	})
	return client{name: "go", absentIsEmpty: true, call: func(t *testing.T, operation string, in object) answer {
		t.Helper()
		method := reflect.ValueOf(api).MethodByName(operation)
		if !method.IsValid() {
			method = reflect.ValueOf(flow).MethodByName(operation)
		}
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
		if got, ok := results[0].Interface().(*workmailmessageflow.GetRawMessageContentOutput); ok {
			content, err := io.ReadAll(got.MessageContent)
			if err := errors.Join(err, got.MessageContent.Close()); err != nil {
				t.Fatal(err)
			}
			return answer{Output: object{"messageContent": base64.StdEncoding.EncodeToString(content)}}
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
