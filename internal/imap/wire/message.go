package wire

import "time"

// Append is APPEND of one message (RFC 3501 section 6.3.11). Its literal is streamed.
type Append struct {
	Mailbox string
	Flags   FlagList
	// Date is the internal date, zero where none is given.
	Date    time.Time
	Literal *Literal
}

// Expunge is EXPUNGE (RFC 3501 section 6.4.3), or UID EXPUNGE (RFC 4315 section 2.1) with a set.
type Expunge struct {
	UID bool
	Set NumSet
}

// Copy is COPY or UID COPY (RFC 3501 section 6.4.7).
type Copy struct {
	UID     bool
	Set     NumSet
	Mailbox string
}

// Move is MOVE or UID MOVE (RFC 6851).
type Move struct {
	UID     bool
	Set     NumSet
	Mailbox string
}

// StoreMode is what STORE does with the flags it names.
type StoreMode uint8

// The modes of STORE.
const (
	ReplaceFlags StoreMode = iota // FLAGS
	AddFlags                      // +FLAGS
	RemoveFlags                   // -FLAGS
)

// Store is STORE or UID STORE (RFC 3501 section 6.4.6).
type Store struct {
	UID    bool
	Set    NumSet
	Mode   StoreMode
	Silent bool
	Flags  FlagList
	// UnchangedSince is the modifier of RFC 7162 section 3.1.3; HasUnchangedSince tells 0 from none.
	UnchangedSince    uint64
	HasUnchangedSince bool
}

func (Append) args()  {}
func (Expunge) args() {}
func (Copy) args()    {}
func (Move) args()    {}
func (Store) args()   {}

func (r *Reader) appendArgs() Args {
	a := Append{Mailbox: r.oneMailbox()}
	r.space()
	if r.peek() == '(' {
		a.Flags = r.flagList()
		r.space()
	}
	if r.peek() == '"' {
		a.Date = r.dateTime()
		r.space()
	}
	a.Literal = r.stream()
	return a
}

func (r *Reader) uidExpunge() Args {
	r.space()
	return Expunge{UID: true, Set: r.numSet()}
}

func (r *Reader) setAndMailbox() (NumSet, string) {
	r.space()
	set := r.numSet()
	return set, r.oneMailbox()
}

func (r *Reader) store(uid bool) Args {
	r.space()
	s := Store{UID: uid, Set: r.numSet()}
	r.space()
	if r.peek() == '(' {
		r.list(false, func() {
			if r.atom("a modifier of STORE") != "UNCHANGEDSINCE" {
				r.fail("STORE has no such modifier")
			}
			r.space()
			s.UnchangedSince, s.HasUnchangedSince = r.number64(), true
		})
		r.space()
	}
	if r.accept('+') {
		s.Mode = AddFlags
	} else if r.accept('-') {
		s.Mode = RemoveFlags
	}
	switch r.word("FLAGS") {
	case "FLAGS":
	case "FLAGS.SILENT":
		s.Silent = true
	default:
		r.fail("STORE changes FLAGS or FLAGS.SILENT only")
	}
	r.space()
	if r.peek() == '(' {
		s.Flags = r.flagList()
		return s
	}
	for r.flag(&s.Flags); r.accept(' ') && r.pos < len(r.line); {
		r.flag(&s.Flags)
	}
	return s
}
