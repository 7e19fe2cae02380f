package wire

// Select is SELECT, or with ReadOnly EXAMINE (RFC 3501 section 6.3.1).
type Select struct {
	Mailbox  string
	ReadOnly bool
	// CondStore is the parameter CONDSTORE (RFC 7162 section 3.1.8).
	CondStore bool
	// QResync is the parameter QRESYNC (RFC 7162 section 3.2.5), nil where it is absent.
	QResync *QResync
}

// QResync is what a client remembers of a mailbox.
type QResync struct {
	UIDValidity uint32
	ModSeq      uint64
	// Known are the UIDs the client knows; none means all.
	Known NumSet
	// MatchSeq and MatchUID pair sequence numbers with UIDs as the client last knew them.
	MatchSeq, MatchUID NumSet
}

// Create is CREATE (RFC 3501 section 6.3.3).
type Create struct {
	Mailbox string
	// Use holds the special uses asked for (RFC 6154 section 3), with the backslash, as written.
	Use []string
}

// Delete is DELETE (RFC 3501 section 6.3.4).
type Delete struct{ Mailbox string }

// Rename is RENAME (RFC 3501 section 6.3.5).
type Rename struct{ From, To string }

// Subscribe is SUBSCRIBE (RFC 3501 section 6.3.6).
type Subscribe struct{ Mailbox string }

// Unsubscribe is UNSUBSCRIBE (RFC 3501 section 6.3.7).
type Unsubscribe struct{ Mailbox string }

// GetQuota is GETQUOTA (RFC 9208 section 4.1.2).
type GetQuota struct{ Root string }

// GetQuotaRoot is GETQUOTAROOT (RFC 9208 section 4.1.3).
type GetQuotaRoot struct{ Mailbox string }

// SetQuota is SETQUOTA (RFC 9208 section 4.1.4). Its limits are read and not kept.
type SetQuota struct{ Root string }

func (Select) args()       {}
func (Create) args()       {}
func (Delete) args()       {}
func (Rename) args()       {}
func (Subscribe) args()    {}
func (Unsubscribe) args()  {}
func (GetQuota) args()     {}
func (GetQuotaRoot) args() {}
func (SetQuota) args()     {}

func (r *Reader) oneMailbox() string {
	r.space()
	return r.mailbox()
}

func (r *Reader) selectArgs(readOnly bool) Args {
	s := Select{Mailbox: r.oneMailbox(), ReadOnly: readOnly}
	if !r.accept(' ') {
		return s
	}
	r.list(false, func() {
		switch name := r.atom("a parameter of SELECT"); name {
		case "CONDSTORE":
			s.CondStore = true
		case "QRESYNC":
			r.space()
			s.QResync = r.qresync()
		default:
			r.fail("SELECT has no such parameter")
		}
	})
	return s
}

func (r *Reader) qresync() *QResync {
	r.expect('(')
	var q QResync
	if q.UIDValidity = r.number(); q.UIDValidity == 0 {
		r.fail("a UIDVALIDITY is not 0")
	}
	r.space()
	if q.ModSeq = r.number64(); q.ModSeq == 0 {
		r.fail("a mod-sequence here is not 0")
	}
	if r.accept(' ') {
		if r.peek() != '(' {
			q.Known = r.knownSet()
			if r.accept(' ') {
				r.matchData(&q)
			}
		} else {
			r.matchData(&q)
		}
	}
	r.expect(')')
	return &q
}

func (r *Reader) matchData(q *QResync) {
	r.expect('(')
	q.MatchSeq = r.knownSet()
	r.space()
	q.MatchUID = r.knownSet()
	r.expect(')')
}

// knownSet takes a set of numbers that are known: without "*" and "$".
func (r *Reader) knownSet() NumSet {
	set := r.numSet()
	for _, g := range set.Ranges {
		if g.First == 0 || g.Last == 0 {
			r.fail("a set of known numbers has no *")
		}
	}
	if set.Saved {
		r.fail("a set of known numbers is not $")
	}
	return set
}

func (r *Reader) create() Args {
	c := Create{Mailbox: r.oneMailbox()}
	if !r.accept(' ') {
		return c
	}
	r.list(false, func() {
		if r.atom("a parameter of CREATE") != "USE" {
			r.fail("CREATE has no such parameter")
		}
		r.space()
		r.list(true, func() { c.Use = append(c.Use, r.systemFlag()) })
	})
	return c
}

func (r *Reader) rename() Args {
	from := r.oneMailbox()
	return Rename{From: from, To: r.oneMailbox()}
}

func (r *Reader) getQuota() Args {
	r.space()
	return GetQuota{Root: r.astring()}
}

func (r *Reader) setQuota() Args {
	r.space()
	s := SetQuota{Root: r.astring()}
	r.space()
	r.list(true, func() {
		r.atom("a resource")
		r.space()
		r.number64()
	})
	return s
}
