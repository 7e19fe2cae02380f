// Package schema reads and writes the JSON of an AWS service from a table of shapes: names, types and constraints. It
// decodes into plain Go structs strictly, collects every constraint a request breaches, and words the breaches as AWS
// services do. It knows no service; the tables are generated beside it, in package contract.
//
// A structure's Go type has one exported field per member, in the order of Shape.Members and with the member's name (first
// letter in upper case). The type of a field follows from the member:
//
//	string        required: string; optional: *string; with an enum: a named string type, "" for absent
//	boolean       bool; optional and Nullable: *bool
//	integer, long int32, int64; optional and Nullable: *int32, *int64
//	double        float64; optional and Nullable: *float64
//	timestamp     *time.Time
//	blob          []byte
//	list          []T, nil for absent
//	structure     *T, or T inside a list
package schema

// Type is the JSON and Go type of a shape.
type Type uint8

// The types that occur in the services' models.
const (
	Structure Type = iota
	List
	String
	Boolean
	Integer // 32 bits
	Long    // 64 bits
	Double
	Timestamp // a JSON number: seconds since 1970, with milliseconds behind the point
	Blob
)

var typeNames = [...]string{"structure", "list", "string", "boolean", "integer", "long", "double", "timestamp", "blob"}

// String returns the type's name as service models spell it.
func (t Type) String() string { return typeNames[t] }

// Shape is one named type of a service with its constraints.
type Shape struct {
	Name string
	Type Type
	// Members of a structure, in the model's order; at most 64.
	Members []Member
	// Element of a list.
	Element *Shape
	// Min and Max bound a string's characters, a list's elements or a number's value; nil is unbounded.
	Min, Max *int64
	// Pattern must match a string as a whole; nil lets everything pass.
	Pattern *Pattern
	// Enum lists the only values a string may have; empty lets every value pass.
	Enum []string
	// Sensitive values appear in no log and no error message.
	Sensitive bool
	// Nullable booleans and numbers differ when absent from false and 0.
	Nullable bool
}

// Member is one member of a structure.
type Member struct {
	Name     string
	Shape    *Shape
	Required bool
	// IdempotencyToken marks the member that makes a repeated request answer as the first one did.
	IdempotencyToken bool
	// InPath members stand in the URL's path rather than in the body.
	InPath bool
}

// Member returns the index of the named member, -1 when there is none.
func (s *Shape) Member(name string) int {
	for i := range s.Members {
		if s.Members[i].Name == name {
			return i
		}
	}
	return -1
}
