package wire

import "strconv"

// List is LIST, with the options of RFC 5258, RFC 5819 and RFC 6154, or LSUB (RFC 3501 sections 6.3.8 and 6.3.9).
type List struct {
	LSub bool
	// Extended says that an option or several patterns were given: RFC 5258's rules hold then.
	Extended  bool
	Reference string
	Patterns  []string // in UTF-8

	// The selection options.
	Subscribed, Remote, RecursiveMatch, SpecialUse bool
	// The return options.
	ReturnSubscribed, ReturnChildren, ReturnSpecialUse bool
	// ReturnStatus is STATUS in the return options, 0 where it is absent.
	ReturnStatus StatusItems
}

func (List) args() {}

func (r *Reader) lsub() Args {
	r.space()
	l := List{LSub: true, Reference: r.mailbox0()}
	r.space()
	l.Patterns = []string{r.listPattern()}
	return l
}

func (r *Reader) listArgs() Args {
	r.space()
	var l List
	if r.peek() == '(' {
		l.Extended = true
		r.list(true, func() { r.selectionOption(&l) })
		if l.RecursiveMatch && !l.Subscribed {
			r.fail("RECURSIVEMATCH needs another selection option than REMOTE and SPECIAL-USE beside it (RFC 5258 section 3)")
		}
		r.space()
	}
	l.Reference = r.mailbox0()
	r.space()
	if r.peek() == '(' {
		l.Extended = true
		bytes := 0 // of all patterns, each behind the reference: each is held against each name
		r.list(false, func() {
			l.Patterns = append(l.Patterns, r.listPattern())
			if bytes += len(l.Reference) + len(l.Patterns[len(l.Patterns)-1]); bytes > MaxName {
				r.refuse("LIMIT", "the patterns of a LIST, each behind the reference, may have "+strconv.Itoa(MaxName)+" bytes together")
			}
		})
	} else {
		l.Patterns = []string{r.listPattern()}
	}
	if !r.accept(' ') {
		return l
	}
	l.Extended = true
	if r.atom("RETURN") != "RETURN" {
		r.fail("RETURN is expected behind the pattern")
	}
	r.space()
	r.list(true, func() { r.returnOption(&l) })
	return l
}

func (r *Reader) selectionOption(l *List) {
	switch r.atom("a selection option") {
	case "SUBSCRIBED":
		l.Subscribed = true
	case "REMOTE":
		l.Remote = true
	case "RECURSIVEMATCH":
		l.RecursiveMatch = true
	case "SPECIAL-USE":
		l.SpecialUse = true
	default:
		r.fail("LIST has no such selection option")
	}
}

func (r *Reader) returnOption(l *List) {
	switch r.atom("a return option") {
	case "SUBSCRIBED":
		l.ReturnSubscribed = true
	case "CHILDREN":
		l.ReturnChildren = true
	case "SPECIAL-USE":
		l.ReturnSpecialUse = true
	case "STATUS":
		r.space()
		l.ReturnStatus |= r.statusItems()
	default:
		r.fail("LIST has no such return option")
	}
}

// mailbox0 takes the reference of LIST, which may be empty.
func (r *Reader) mailbox0() string {
	return r.decodeListName(r.astring())
}

// listPattern takes list-mailbox: a string, or a word in which wildcards may stand.
func (r *Reader) listPattern() string {
	if c := r.peek(); c == '"' || c == '{' {
		return r.decodeListName(r.str())
	}
	b := r.run(classList)
	if len(b) == 0 {
		r.fail("a pattern is expected " + r.where())
	}
	return r.decodeListName(string(b))
}

func (r *Reader) decodeListName(raw string) string {
	if r.err != nil {
		return ""
	}
	if len(raw) > MaxName {
		r.refuse("LIMIT", "a mailbox name or pattern may have "+strconv.Itoa(MaxName)+" bytes")
		return ""
	}
	if name, ok := decodeName(raw); ok {
		return name
	}
	return raw // no mailbox has such a name, so that nothing matches, which is LIST's way to say so
}
