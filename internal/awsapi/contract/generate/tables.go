package main

import (
	"bytes"
	"fmt"
	"go/format"
	"maps"
	"slices"
	"strings"
)

var schemaTypes = map[string]string{
	"structure": "Structure", "list": "List", "string": "String", "boolean": "Boolean", "integer": "Integer", "long": "Long",
	"double": "Double", "timestamp": "Timestamp", "blob": "Blob",
}

func (m *model) variable(shape string) string { return "shape" + m.goName(shape) }

func writeShapes(models []*model) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(head + "import \"github.com/pennypost/pennypost/internal/awsapi/contract/schema\"\n\n")
	writeBounds(&b, models)
	for _, m := range models {
		for _, name := range m.Shapes.names {
			s := m.Shapes.values[name]
			if s.Exception || name == "errorMessage" {
				continue
			}
			if err := m.writeShape(&b, name, s); err != nil {
				return nil, err
			}
		}
	}
	return format.Source(b.Bytes())
}

// writeBounds writes a variable for each bound, whose address the compiler can put into the tables: nothing is left to do at the start.
func writeBounds(b *bytes.Buffer, models []*model) {
	bounds := map[int64]bool{}
	for _, m := range models {
		for _, s := range m.Shapes.values {
			for _, bound := range []*int64{s.Min, s.Max} {
				if bound != nil {
					bounds[*bound] = true
				}
			}
		}
	}
	b.WriteString("var (\n")
	for _, n := range slices.Sorted(maps.Keys(bounds)) {
		fmt.Fprintf(b, "bound%d int64 = %[1]d\n", n)
	}
	b.WriteString(")\n\n")
}

func (m *model) writeShape(b *bytes.Buffer, name string, s shape) error {
	t, ok := schemaTypes[s.Type]
	if !ok {
		return fmt.Errorf("shape %s has the type %s, which the generator does not know", name, s.Type)
	}
	fmt.Fprintf(b, "var %s = &schema.Shape{\nName: %q,\nType: schema.%s,\n", m.variable(name), name, t)
	if s.Min != nil {
		fmt.Fprintf(b, "Min: &bound%d,\n", *s.Min)
	}
	if s.Max != nil {
		fmt.Fprintf(b, "Max: &bound%d,\n", *s.Max)
	}
	if s.Pattern != "" {
		fmt.Fprintf(b, "Pattern: schema.NewPattern(%s),\n", quote(s.Pattern))
	}
	if len(s.Enum) > 0 {
		fmt.Fprintf(b, "Enum: %#v,\n", s.Enum)
	}
	if s.Sensitive {
		b.WriteString("Sensitive: true,\n")
	}
	if nullable(name, s) {
		b.WriteString("Nullable: true,\n")
	}
	if s.Member != nil {
		fmt.Fprintf(b, "Element: %s,\n", m.variable(s.Member.Shape))
	}
	if len(s.Members.names) > 0 {
		b.WriteString("Members: []schema.Member{\n")
		for _, member := range s.Members.names {
			r := s.Members.values[member]
			fmt.Fprintf(b, "{Name: %q, Shape: %s", member, m.variable(r.Shape))
			if slices.Contains(s.Required, member) {
				b.WriteString(", Required: true")
			}
			if r.IdempotencyToken {
				b.WriteString(", IdempotencyToken: true")
			}
			switch r.Location {
			case "":
			case "uri":
				b.WriteString(", InPath: true")
			default:
				return fmt.Errorf("%s.%s stands in the %s, which the generator does not know", name, member, r.Location)
			}
			b.WriteString("},\n")
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n\n")
	return nil
}

func quote(s string) string {
	if strings.Contains(s, "`") {
		return fmt.Sprintf("%q", s)
	}
	return "`" + s + "`"
}

func writeOperations(models []*model) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(head)
	writeErrorCodes(&b, models)
	b.WriteString("// The operations.\nvar (\n")
	var all []string
	for i, m := range models {
		for _, name := range m.Operations.names {
			op := m.Operations.values[name]
			all = append(all, name)
			var codes []string
			for _, e := range op.Errors {
				codes = append(codes, e.Shape)
			}
			fmt.Fprintf(&b, "%s = &Operation[%s, %s]{Op{Name: %q, newInput: made[%[2]s], newOutput: made[%[3]s], Service: %[5]s, Method: %q, Path: %q, Input: %s, Output: %s, Idempotent: %t, Errors: []ErrorCode{%s}}}\n",
				name, m.goName(op.Input.Shape), m.goName(op.Output.Shape), name, services[i], op.HTTP.Method, op.HTTP.URI,
				m.variable(op.Input.Shape), m.variable(op.Output.Shape), op.Idempotent, strings.Join(codes, ", "))
		}
	}
	b.WriteString(")\n\n// Operations lists all operations of all services, in the models' order.\nfunc Operations() []*Op {\nreturn []*Op{\n")
	for _, name := range all {
		fmt.Fprintf(&b, "&%s.Op,\n", name)
	}
	b.WriteString("}\n}\n")
	return format.Source(b.Bytes())
}

// writeErrorCodes writes one constant per exception, and for those that are not HTTP 400 their status.
func writeErrorCodes(b *bytes.Buffer, models []*model) {
	statuses := map[string]int{}
	seen := map[string]bool{}
	b.WriteString("// The exceptions of the models.\nconst (\n")
	for i, m := range models {
		for _, name := range m.Shapes.names {
			s := m.Shapes.values[name]
			if !s.Exception {
				continue
			}
			if !seen[name] {
				fmt.Fprintf(b, "%s ErrorCode = %q\n", name, name)
				seen[name] = true
			}
			if s.Error.Status != 0 {
				statuses[fmt.Sprintf("service == %s && code == %s", services[i], name)] = s.Error.Status
			}
		}
	}
	b.WriteString(")\n\n// modelledStatus is the HTTP status of an exception: 400 unless its model says otherwise.\n")
	b.WriteString("func modelledStatus(service Service, code ErrorCode) int {\nswitch {\n")
	for _, which := range slices.Sorted(maps.Keys(statuses)) {
		fmt.Fprintf(b, "case %s:\nreturn %d\n", which, statuses[which])
	}
	b.WriteString("default:\nreturn 400\n}\n}\n\n")
}
