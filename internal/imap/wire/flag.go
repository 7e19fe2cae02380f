package wire

import "strings"

// FlagList is flags and keywords as a client named them.
type FlagList struct {
	// System holds the system flags in the spelling of RFC 3501, backslash included, each once; an unknown one is refused.
	System []string
	// Keywords holds the keywords as written, each once without regard to case.
	Keywords []string
	// Recent says that \Recent was named: a client can't set it (RFC 3501 section 2.3.2).
	Recent bool
}

// MaxFlags is how many flags and keywords one command may name.
const MaxFlags = 100

// flagList takes flags in parentheses.
func (r *Reader) flagList() FlagList {
	var l FlagList
	r.list(true, func() { r.flag(&l) })
	return l
}

// flag takes one flag or keyword.
func (r *Reader) flag(l *FlagList) {
	if len(l.System)+len(l.Keywords) >= MaxFlags {
		r.refuse("LIMIT", "a command may name 100 flags")
		return
	}
	if r.peek() == '\\' {
		name := r.systemFlag()
		if strings.EqualFold(name, `\Recent`) {
			l.Recent = true
			return
		}
		for _, known := range [...]string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`} {
			if strings.EqualFold(name, known) {
				l.System = addOnce(l.System, known)
				return
			}
		}
		r.refuse("CANNOT", "there is no such system flag")
		return
	}
	b := r.run(classAtom)
	if len(b) == 0 {
		r.fail("a flag is expected " + r.where())
		return
	}
	l.Keywords = addOnce(l.Keywords, string(b))
}

// systemFlag takes a backslash and an atom.
func (r *Reader) systemFlag() string {
	r.expect('\\')
	b := r.run(classAtom)
	if len(b) == 0 {
		r.fail("a name is expected behind the backslash")
	}
	return `\` + string(b)
}

func addOnce(list []string, s string) []string {
	for _, has := range list {
		if strings.EqualFold(has, s) {
			return list
		}
	}
	return append(list, s)
}
