package wire

import (
	"encoding/base64"
	"strconv"
)

// ID is ID (RFC 2971): what the client says of itself, in its order. A value that was NIL is "".
type ID struct{ Params []IDParam }

// IDParam is one field of ID.
type IDParam struct{ Name, Value string }

// Enable is ENABLE (RFC 5161), with the capabilities in capitals.
type Enable struct{ Capabilities []string }

// Login is LOGIN (RFC 3501 section 6.2.3).
type Login struct{ Username, Password string }

// Authenticate is AUTHENTICATE (RFC 3501 section 6.2.2).
type Authenticate struct {
	// Mechanism is in capitals.
	Mechanism string
	// Initial is the decoded initial response (RFC 4959); HasInitial tells an empty one from none.
	Initial    []byte
	HasInitial bool
}

func (ID) args()           {}
func (Enable) args()       {}
func (Login) args()        {}
func (Authenticate) args() {}

// The bounds of ID (RFC 2971 section 3.3).
const (
	maxIDParams = 30
	maxIDName   = 30
	maxIDValue  = 1024
)

func (r *Reader) id() Args {
	r.space()
	var id ID
	if r.peek() != '(' {
		if _, ok := r.nstring(); ok {
			r.fail("ID takes NIL or a list of fields")
		}
		return id
	}
	r.list(true, func() {
		name := r.str()
		r.space()
		value, _ := r.nstring()
		if len(id.Params) == maxIDParams || len(name) > maxIDName || len(value) > maxIDValue {
			r.fail("ID takes at most 30 fields, of names of 30 and values of 1024 bytes (RFC 2971 section 3.3)")
		}
		id.Params = append(id.Params, IDParam{name, value})
	})
	return id
}

func (r *Reader) enable() Args {
	var e Enable
	for r.space(); r.err == nil; {
		if e.Capabilities = append(e.Capabilities, r.atom("a capability")); len(e.Capabilities) > r.limits.Items {
			r.fail("ENABLE names too many capabilities")
		}
		if !r.accept(' ') {
			break
		}
	}
	return e
}

func (r *Reader) login() Args {
	r.space()
	user := r.astring()
	r.space()
	return Login{Username: user, Password: r.astring()}
}

func (r *Reader) authenticate() Args {
	r.space()
	a := Authenticate{Mechanism: r.atom("a mechanism")}
	if !r.accept(' ') {
		return a
	}
	a.HasInitial = true
	if r.accept('=') {
		return a
	}
	b, err := DecodeSASL(r.line[r.pos:])
	if err != nil {
		r.fail(err.Error())
	}
	r.pos, a.Initial = len(r.line), b
	return a
}

// MaxSASL is how many bytes a line of a SASL exchange may have.
const MaxSASL = 8 << 10

// DecodeSASL decodes one line of a SASL exchange.
func DecodeSASL(line []byte) ([]byte, error) {
	out := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Strict().Decode(out, line)
	if err != nil {
		return nil, &SyntaxError{Tag: "*", Message: "a SASL response of " + strconv.Itoa(len(line)) + " bytes is not base64"}
	}
	return out[:n], nil
}
