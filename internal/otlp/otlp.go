// Package otlp is what OpenTelemetry's logs and traces have in common, in the JSON encoding of OTLP/HTTP: the messages of
// opentelemetry/proto/common/v1/common.proto and resource/v1/resource.proto as far as they are sent. 64-bit numbers are texts there.
package otlp

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The messages.
type (
	// Resource is who tells.
	Resource struct {
		Attributes []Attribute `json:"attributes"`
	}
	// Scope is what part of it tells.
	Scope struct {
		Name string `json:"name"`
	}
	// Attribute is a KeyValue.
	Attribute struct {
		Key   string `json:"key"`
		Value Value  `json:"value"`
	}
	// Value is an AnyValue; see Of.
	Value struct {
		Text  *string `json:"stringValue,omitempty"`
		Int   *string `json:"intValue,omitempty"`
		Truth *bool   `json:"boolValue,omitempty"`
		Array *Array  `json:"arrayValue,omitempty"`
	}
	// Array is an ArrayValue.
	Array struct {
		Values []Value `json:"values"`
	}
)

// Pennypost is the scope of all that is told.
func Pennypost() Scope { return Scope{"pennypost"} }

// Of is the value of an int, an int64, a bool, a []string, or the text of anything else.
func Of(value any) Value {
	switch v := value.(type) {
	case int:
		return Value{Int: new(strconv.Itoa(v))}
	case int64:
		return Value{Int: new(strconv.FormatInt(v, 10))}
	case bool:
		return Value{Truth: &v}
	case []string:
		list := make([]Value, len(v))
		for i, s := range v {
			list[i] = Of(s)
		}
		return Value{Array: &Array{list}}
	default:
		return Value{Text: new(strings.ToValidUTF8(fmt.Sprint(v), "�"))}
	}
}

// Nanos is a time.
func Nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }
