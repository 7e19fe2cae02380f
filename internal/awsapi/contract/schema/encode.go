package schema

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"
)

// Append writes value, a pointer to the Go structure of shape, as JSON behind dst. Booleans and numbers that are not
// nullable are always written, absent members never, and nothing is written as null. Strings that are not UTF-8 get
// U+FFFD in place of what is wrong. An error is a bug of the caller: a required member that is absent, a number that JSON
// doesn't have.
func Append(dst []byte, shape *Shape, value any) ([]byte, error) {
	return appendStructure(dst, shape, reflect.ValueOf(value).Elem())
}

func appendStructure(dst []byte, shape *Shape, v reflect.Value) ([]byte, error) {
	dst = append(dst, '{')
	first := true
	for i := range shape.Members {
		m, field := &shape.Members[i], v.Field(i)
		if absent(m, field) {
			if m.Required {
				return nil, fmt.Errorf("%s: the required member %s is absent", shape.Name, m.Name)
			}
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(appendString(dst, m.Name), ':')
		var err error
		if dst, err = appendValue(dst, m.Shape, reflect.Indirect(field)); err != nil {
			return nil, fmt.Errorf("%s.%s: %w", shape.Name, m.Name, err)
		}
	}
	return append(dst, '}'), nil
}

// absent tells whether a member is not there at all. The empty string of an enum is; a required string is there always.
func absent(m *Member, v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice:
		return v.IsNil()
	case reflect.String:
		return len(m.Shape.Enum) > 0 && v.Len() == 0
	default:
		return false
	}
}

func appendValue(dst []byte, shape *Shape, v reflect.Value) ([]byte, error) {
	switch shape.Type {
	case Structure:
		return appendStructure(dst, shape, v)
	case List:
		return appendList(dst, shape, v)
	case String:
		return appendString(dst, v.String()), nil
	case Boolean:
		return strconv.AppendBool(dst, v.Bool()), nil
	case Integer, Long:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case Double:
		return appendFloat(dst, v.Float())
	case Timestamp:
		return appendTime(dst, v.Interface().(time.Time)), nil
	default: // Blob
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v.Bytes()), '"'), nil
	}
}

func appendList(dst []byte, shape *Shape, v reflect.Value) ([]byte, error) {
	dst = append(dst, '[')
	for i := range v.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendValue(dst, shape.Element, reflect.Indirect(v.Index(i))); err != nil {
			return nil, fmt.Errorf("element %d: %w", i+1, err)
		}
	}
	return append(dst, ']'), nil
}

func appendFloat(dst []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("JSON has no number for %v", f)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64), nil
}

// appendTime writes seconds with at least one digit behind the point, as the service does, and at most three.
func appendTime(dst []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		dst, ms = append(dst, '-'), -ms
	}
	dst = append(strconv.AppendInt(dst, ms/1000, 10), '.')
	fraction := []byte{byte('0' + ms/100%10), byte('0' + ms/10%10), byte('0' + ms%10)}
	for len(fraction) > 1 && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	return append(dst, fraction...)
}

const hexDigits = "0123456789abcdef"

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
