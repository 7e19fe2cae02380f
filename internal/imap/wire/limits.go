package wire

// Limits bound what one command may cost.
type Limits struct {
	// Line is how many bytes the lines of one command may have together, literals not counted.
	Line int
	// Literal is how many bytes one literal held in memory may have, and Literals all those of a command together. The
	// literal of APPEND is streamed, and not bound by these.
	Literal, Literals int
	// Nesting is how many parentheses, NOTs and ORs may lie inside each other.
	Nesting int
	// Keys is how many keys one SEARCH may have.
	Keys int
	// Items is how many items one FETCH may ask for, how many patterns a LIST, how many flags a STORE.
	Items int
	// NoSecrets refuses LOGIN and AUTHENTICATE before anything behind their name is looked at or invited: the connection
	// is not protected yet.
	NoSecrets bool
	// Skip is how many bytes of a refused command are read and thrown away before the connection is given up.
	Skip int64
}

// BeforeSignIn are the limits of a client that nobody knows yet. The longest ID has 31,800 bytes (RFC 2971 section 3.3).
func BeforeSignIn() Limits {
	return Limits{Line: 32 << 10, Literal: 8 << 10, Literals: 8 << 10, Nesting: 8, Keys: 16, Items: 32, Skip: 64 << 10}
}

// AfterSignIn are the limits of a user. Clients send sets of thousands of UIDs in a line; RFC 7162 section 4 asks for
// 8,192 bytes at least.
func AfterSignIn() Limits {
	return Limits{Line: 256 << 10, Literal: 64 << 10, Literals: 256 << 10, Nesting: 32, Keys: 1000, Items: 256, Skip: 64 << 20}
}

// MaxName is how many bytes a mailbox name, or the patterns of a LIST together, may have on the wire.
const MaxName = 4096
