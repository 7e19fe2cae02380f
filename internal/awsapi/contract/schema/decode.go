package schema

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits on what one request makes the decoder remember.
const (
	keptBreaches = 1000
	keptUnknown  = 16
)

// Decode reads body, the JSON of shape, into the structure that into points to, and checks every constraint. An empty body
// is an empty object. A member that is null is absent; names are compared with their case. Members that the shape doesn't
// have are read over and named in unknown (the first 16, with their paths). The members that stand in the URL's path are strings,
// and take the values of inPath in their order. The error is a *SyntaxError where the body is not JSON of the shape's types, or
// Breaches, which lists all constraints that do not hold.
func Decode(body []byte, shape *Shape, into any, inPath ...string) (unknown []string, err error) {
	d := decoder{scanner: scanner{data: body}, inPath: inPath}
	if d.peek() == 0 && d.pos == len(body) {
		d.data, d.pos = []byte("{}"), 0
	}
	breaches, failed := d.structure(shape, reflect.ValueOf(into).Elem())
	if d.peek(); failed == nil && d.pos < len(d.data) {
		failed = d.fail(d.pos, "expected the end of the body, found %s", d.found())
	}
	switch {
	case failed != nil:
		return nil, failed
	case len(breaches) > 0:
		return d.unknown, breaches
	}
	return d.unknown, nil
}

type decoder struct {
	scanner
	inPath  []string
	unknown []string
	kept    int
}

// structure reads an object. The breaches come in the order of the shape's members, whatever the order in the body.
func (d *decoder) structure(shape *Shape, v reflect.Value) (Breaches, *SyntaxError) {
	var seen, present uint64
	var found []Breaches
	var strangers map[string]struct{}
	err := d.object(func(name string, offset int) *SyntaxError {
		i := shape.Member(name)
		if i < 0 || shape.Members[i].InPath {
			if _, twice := strangers[name]; twice {
				return d.fail(offset, "a member given twice")
			}
			if strangers == nil {
				strangers = map[string]struct{}{}
			}
			strangers[name] = struct{}{}
			if len(d.unknown) < keptUnknown {
				d.unknown = append(d.unknown, d.words(asGiven))
			}
			return d.skip()
		}
		if seen&(1<<i) != 0 {
			return d.fail(offset, "a member given twice")
		}
		seen |= 1 << i
		if d.literal("null") {
			return nil
		}
		present |= 1 << i
		breaches, err := d.value(shape.Members[i].Shape, target(v.Field(i)))
		if len(breaches) > 0 {
			if found == nil {
				found = make([]Breaches, len(shape.Members))
			}
			found[i] = breaches
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var all Breaches
	for i := range shape.Members {
		m := &shape.Members[i]
		if m.InPath {
			if len(d.inPath) > 0 {
				all = append(all, d.fromPath(m, target(v.Field(i)))...)
			}
			continue
		}
		if m.Required && present&(1<<i) == 0 {
			d.path = append(d.path, step{name: m.Name})
			all = append(all, d.breach(m.Shape, "", true, "Member must not be null")...)
			d.path = d.path[:len(d.path)-1]
		}
		if found != nil {
			all = append(all, found[i]...)
		}
	}
	return all, nil
}

// fromPath takes the next value of the URL's path for a member.
func (d *decoder) fromPath(m *Member, v reflect.Value) Breaches {
	value := d.inPath[0]
	d.inPath = d.inPath[1:]
	v.SetString(value)
	d.path = append(d.path, step{name: m.Name})
	breaches := d.checkString(m.Shape, value)
	d.path = d.path[:len(d.path)-1]
	return breaches
}

// asGiven leaves the name of an unknown member as it came.
func asGiven(name string) string { return name }

// target returns what is set through v: v, or a new value that v points to.
func target(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer {
		return v
	}
	v.Set(reflect.New(v.Type().Elem()))
	return v.Elem()
}

func (d *decoder) value(shape *Shape, v reflect.Value) (Breaches, *SyntaxError) {
	switch shape.Type {
	case Structure:
		return d.structure(shape, v)
	case List:
		return d.elements(shape, v)
	case String:
		s, err := d.text("a string")
		if err != nil {
			return nil, err
		}
		v.SetString(s)
		return d.checkString(shape, s), nil
	case Boolean:
		switch {
		case d.literal("true"):
			v.SetBool(true)
		case d.literal("false"):
			v.SetBool(false)
		default:
			return nil, d.fail(d.pos, "expected a boolean, found %s", d.found())
		}
		return nil, nil
	case Integer, Long:
		return d.integer(shape, v)
	case Double, Timestamp:
		return nil, d.float(shape, v)
	default: // Blob
		s, err := d.text("a string in base64")
		if err != nil {
			return nil, err
		}
		b, bad := base64.StdEncoding.DecodeString(s)
		if bad != nil {
			return nil, d.fail(d.pos, "a string that is not base64")
		}
		v.SetBytes(b)
		return nil, nil
	}
}

// elements reads a list. Elements behind the longest allowed length are checked for their type and forgotten.
func (d *decoder) elements(shape *Shape, v reflect.Value) (Breaches, *SyntaxError) {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	var all Breaches
	n := 0
	err := d.list(func(i int) *SyntaxError {
		n++
		if d.literal("null") {
			all = append(all, d.breach(shape.Element, "", true, "Member must not be null")...)
			return nil
		}
		element := reflect.New(v.Type().Elem()).Elem()
		breaches, err := d.value(shape.Element, element)
		if err == nil && (shape.Max == nil || int64(i) < *shape.Max) {
			all = append(all, breaches...)
			v.Set(reflect.Append(v, element))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return append(d.checkLength(shape, int64(n), func() string { return words(shape, v, n) }), all...), nil
}

// words shows a list in a message: its elements when they are strings, else their number.
func words(shape *Shape, v reflect.Value, n int) string {
	if shape.Element.Type != String || shape.Element.Sensitive {
		return fmt.Sprintf("%d elements", n)
	}
	var shown []string
	for i := range min(v.Len(), shownRunes) {
		shown = append(shown, v.Index(i).String())
	}
	return "[" + strings.Join(shown, ", ") + "]"
}

func (d *decoder) integer(shape *Shape, v reflect.Value) (Breaches, *SyntaxError) {
	d.peek()
	offset := d.pos
	text, whole, err := d.number("a whole number")
	if err != nil {
		return nil, err
	}
	bits := 32
	if shape.Type == Long {
		bits = 64
	}
	n, bad := strconv.ParseInt(text, 10, bits)
	if !whole || bad != nil {
		return nil, d.fail(offset, "expected a whole number of %d bits", bits)
	}
	v.SetInt(n)
	var breaches Breaches
	if shape.Min != nil && n < *shape.Min {
		breaches = d.breach(shape, text, false, fmt.Sprintf("Member must have value greater than or equal to %d", *shape.Min))
	}
	if shape.Max != nil && n > *shape.Max {
		breaches = d.breach(shape, text, false, fmt.Sprintf("Member must have value less than or equal to %d", *shape.Max))
	}
	return breaches, nil
}

// latest is the last second that a timestamp may name: the end of the year 9999.
const latest = 253402300799

func (d *decoder) float(shape *Shape, v reflect.Value) *SyntaxError {
	d.peek()
	offset := d.pos
	text, _, err := d.number("a number")
	if err != nil {
		return err
	}
	f, bad := strconv.ParseFloat(text, 64)
	if bad != nil {
		return d.fail(offset, "a number too large")
	}
	if shape.Type == Double {
		v.SetFloat(f)
		return nil
	}
	if math.Abs(f) > latest {
		return d.fail(offset, "a time outside the years to 9999")
	}
	v.Set(reflect.ValueOf(time.UnixMilli(int64(math.Round(f * 1000))).UTC()))
	return nil
}

func (d *decoder) checkString(shape *Shape, s string) Breaches {
	if len(shape.Enum) > 0 {
		if slices.Contains(shape.Enum, s) {
			return nil
		}
		return d.breach(shape, s, false, "Member must satisfy enum value set: ["+strings.Join(shape.Enum, ", ")+"]")
	}
	n := int64(utf8.RuneCountInString(s))
	breaches := d.checkLength(shape, n, func() string { return s })
	if shape.Pattern != nil && !d.hopeless(shape, n) && !shape.Pattern.Match(s) {
		return append(breaches, d.breach(shape, s, false,
			"Member must satisfy regular expression pattern: "+shape.Pattern.String())...)
	}
	// PostgreSQL's text can't hold it, and no name, description or tag has a use for it.
	if strings.IndexByte(s, 0) >= 0 {
		breaches = append(breaches, d.breach(shape, strings.ReplaceAll(s, "\x00", "␀"), false,
			"Member must not contain the character U+0000")...)
	}
	return breaches
}

// hopeless says that a string is so much too long that matching it would only cost time.
func (d *decoder) hopeless(shape *Shape, n int64) bool {
	return shape.Max != nil && n > *shape.Max && n > 4096
}

func (d *decoder) checkLength(shape *Shape, n int64, value func() string) Breaches {
	switch {
	case shape.Min != nil && n < *shape.Min:
		return d.breach(shape, value(), false, fmt.Sprintf("Member must have length greater than or equal to %d", *shape.Min))
	case shape.Max != nil && n > *shape.Max:
		return d.breach(shape, value(), false, fmt.Sprintf("Member must have length less than or equal to %d", *shape.Max))
	}
	return nil
}

// breach makes a breach at the current path. Behind the first thousand nothing is kept: whoever sent that many doesn't
// read them.
func (d *decoder) breach(shape *Shape, value string, null bool, constraint string) Breaches {
	if d.kept++; d.kept > keptBreaches {
		return nil
	}
	b := Breach{Path: d.where(), Null: null, Hidden: shape.Sensitive && !null, Constraint: constraint}
	if !b.Hidden {
		b.Value = shorten(value)
	}
	return Breaches{b}
}
