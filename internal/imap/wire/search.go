package wire

import (
	"strconv"
	"time"
)

// SearchReturn is a set of results that a SEARCH asks for (RFC 4731, RFC 5182).
type SearchReturn uint8

// The results of an extended SEARCH.
const (
	ReturnMin SearchReturn = 1 << iota
	ReturnMax
	ReturnAll
	ReturnCount
	ReturnSave
)

// Search is SEARCH or UID SEARCH (RFC 3501 section 6.4.4).
type Search struct {
	UID bool
	// Extended says that RETURN was given, so that ESEARCH answers; Return is what it names, ReturnAll where it is empty.
	Extended bool
	Return   SearchReturn
	// Charset is the one named, in capitals, "" for none.
	Charset string
	// Key is the root of the tree.
	Key SearchKey
}

func (Search) args() {}

// SearchOp says what a search key tests.
type SearchOp uint8

// The keys. What stands beside each is the field of SearchKey that it uses.
const (
	SearchAnd               SearchOp = iota // Keys: all of them; ALL has none
	SearchOr                                // Keys: two
	SearchNot                               // Keys: one
	SearchSeq                               // Set, of sequence numbers
	SearchUID                               // Set, of UIDs
	SearchFlag                              // Text: a system flag in the spelling of RFC 3501
	SearchKeyword                           // Text: a keyword
	SearchRecent                            // \Recent
	SearchBefore                            // Date: the internal date
	SearchOn                                // Date
	SearchSince                             // Date
	SearchSentBefore                        // Date: that of the header
	SearchSentOn                            // Date
	SearchSentSince                         // Date
	SearchSavedBefore                       // Date: when it came into the folder (RFC 8514)
	SearchSavedOn                           // Date
	SearchSavedSince                        // Date
	SearchSaveDateSupported                 // whether the folder keeps that date
	SearchLarger                            // Number: bytes
	SearchSmaller                           // Number
	SearchYounger                           // Number: seconds (RFC 5032)
	SearchOlder                             // Number
	SearchModSeq                            // Number: at least (RFC 7162)
	SearchHeader                            // Field and Text, which may be empty
	SearchBody                              // Text
	SearchText                              // Text
	SearchEmailID                           // Text (RFC 8474)
	SearchThreadID                          // Text (RFC 8474)
)

// SearchKey is one key of a search.
type SearchKey struct {
	Op     SearchOp
	Keys   []SearchKey
	Set    NumSet
	Field  string // of HEADER; "BCC", "CC", "FROM", "SUBJECT" and "TO" for the keys of these names
	Text   string // the bytes in the search's charset
	Date   time.Time
	Number uint64
}

func (r *Reader) search(uid bool) Args {
	s := Search{UID: uid}
	r.space()
	start := r.pos
	if word := r.peekWord(); word == "RETURN" {
		r.word("RETURN")
		r.space()
		s.Extended = true
		r.list(true, func() { r.searchReturn(&s) })
		if s.Return == 0 {
			s.Return = ReturnAll
		}
		r.space()
		start = r.pos
	}
	if r.peekWord() == "CHARSET" {
		r.word("CHARSET")
		r.space()
		s.Charset = upper([]byte(r.astring()))
		r.space()
		start = r.pos
	}
	r.pos = start
	s.Key = SearchKey{Op: SearchAnd}
	for r.err == nil {
		s.Key.Keys = append(s.Key.Keys, r.searchKey())
		if !r.accept(' ') || r.pos == len(r.line) {
			break
		}
	}
	return s
}

func (r *Reader) peekWord() string {
	if r.err != nil {
		return ""
	}
	end := r.pos
	for end < len(r.line) && ('a' <= r.line[end] && r.line[end] <= 'z' || 'A' <= r.line[end] && r.line[end] <= 'Z') {
		end++
	}
	return upper(r.line[r.pos:end])
}

func (r *Reader) searchReturn(s *Search) {
	switch r.atom("a result of SEARCH") {
	case "MIN":
		s.Return |= ReturnMin
	case "MAX":
		s.Return |= ReturnMax
	case "ALL":
		s.Return |= ReturnAll
	case "COUNT":
		s.Return |= ReturnCount
	case "SAVE":
		s.Return |= ReturnSave
	default:
		r.fail("SEARCH has no such result")
	}
}

// searchKey takes one key, with those inside it.
func (r *Reader) searchKey() SearchKey {
	if r.keys++; r.keys > r.limits.Keys {
		r.refuse("LIMIT", "a SEARCH may have "+strconv.Itoa(r.limits.Keys)+" keys")
	}
	switch c := r.peek(); {
	case c == '(':
		k := SearchKey{Op: SearchAnd}
		r.pos++
		if !r.enter() {
			return k
		}
		defer r.leave()
		for r.err == nil {
			k.Keys = append(k.Keys, r.searchKey())
			if r.accept(')') {
				break
			}
			r.space()
		}
		return k
	case '0' <= c && c <= '9' || c == '*' || c == '$':
		return SearchKey{Op: SearchSeq, Set: r.numSet()}
	}
	switch name := r.atom("a key of SEARCH"); name {
	case "NOT", "OR":
		return r.searchOperator(name)
	case "UID":
		r.space()
		return SearchKey{Op: SearchUID, Set: r.numSet()}
	default:
		if k, ok := simpleSearchKey(name); ok {
			return k
		}
		return r.searchKeyWithArgument(name)
	}
}

func (r *Reader) searchOperator(name string) SearchKey {
	k := SearchKey{Op: SearchNot}
	if !r.enter() {
		return k
	}
	defer r.leave()
	r.space()
	k.Keys = append(k.Keys, r.searchKey())
	if name == "OR" {
		k.Op = SearchOr
		r.space()
		k.Keys = append(k.Keys, r.searchKey())
	}
	return k
}

// simpleSearchKey returns the key of a name that takes no argument.
func simpleSearchKey(name string) (SearchKey, bool) {
	not := func(k SearchKey) SearchKey { return SearchKey{Op: SearchNot, Keys: []SearchKey{k}} }
	flag := func(name string) SearchKey { return SearchKey{Op: SearchFlag, Text: name} }
	switch name {
	case "ALL":
		return SearchKey{Op: SearchAnd}, true
	case "ANSWERED":
		return flag(`\Answered`), true
	case "DELETED":
		return flag(`\Deleted`), true
	case "DRAFT":
		return flag(`\Draft`), true
	case "FLAGGED":
		return flag(`\Flagged`), true
	case "SEEN":
		return flag(`\Seen`), true
	case "UNANSWERED":
		return not(flag(`\Answered`)), true
	case "UNDELETED":
		return not(flag(`\Deleted`)), true
	case "UNDRAFT":
		return not(flag(`\Draft`)), true
	case "UNFLAGGED":
		return not(flag(`\Flagged`)), true
	case "UNSEEN":
		return not(flag(`\Seen`)), true
	case "RECENT":
		return SearchKey{Op: SearchRecent}, true
	case "OLD":
		return not(SearchKey{Op: SearchRecent}), true
	case "NEW":
		return SearchKey{Op: SearchAnd, Keys: []SearchKey{{Op: SearchRecent}, not(flag(`\Seen`))}}, true
	case "SAVEDATESUPPORTED":
		return SearchKey{Op: SearchSaveDateSupported}, true
	}
	return SearchKey{}, false
}

func (r *Reader) searchKeyWithArgument(name string) SearchKey {
	known := SearchOp(0)
	switch name {
	case "BEFORE":
		known = SearchBefore
	case "ON":
		known = SearchOn
	case "SINCE":
		known = SearchSince
	case "SENTBEFORE":
		known = SearchSentBefore
	case "SENTON":
		known = SearchSentOn
	case "SENTSINCE":
		known = SearchSentSince
	case "SAVEDBEFORE":
		known = SearchSavedBefore
	case "SAVEDON":
		known = SearchSavedOn
	case "SAVEDSINCE":
		known = SearchSavedSince
	}
	if known != 0 {
		r.space()
		return SearchKey{Op: known, Date: r.date()}
	}
	switch name {
	case "LARGER", "SMALLER", "YOUNGER", "OLDER":
		r.space()
		k := SearchKey{Op: map[string]SearchOp{"LARGER": SearchLarger, "SMALLER": SearchSmaller, "YOUNGER": SearchYounger, "OLDER": SearchOlder}[name]}
		k.Number = r.number64()
		if k.Number == 0 && (name == "YOUNGER" || name == "OLDER") {
			r.fail("an interval is not 0")
		}
		return k
	case "KEYWORD", "UNKEYWORD":
		r.space()
		b := r.run(classAtom)
		if len(b) == 0 {
			r.fail("a keyword is expected " + r.where())
		}
		k := SearchKey{Op: SearchKeyword, Text: string(b)}
		if name == "UNKEYWORD" {
			return SearchKey{Op: SearchNot, Keys: []SearchKey{k}}
		}
		return k
	case "BCC", "CC", "FROM", "SUBJECT", "TO":
		r.space()
		return SearchKey{Op: SearchHeader, Field: name, Text: r.astring()}
	case "HEADER":
		r.space()
		field := r.fieldName()
		r.space()
		return SearchKey{Op: SearchHeader, Field: field, Text: r.astring()}
	case "BODY":
		r.space()
		return SearchKey{Op: SearchBody, Text: r.astring()}
	case "TEXT":
		r.space()
		return SearchKey{Op: SearchText, Text: r.astring()}
	case "EMAILID", "THREADID":
		r.space()
		op := SearchEmailID
		if name == "THREADID" {
			op = SearchThreadID
		}
		return SearchKey{Op: op, Text: r.astring()}
	case "MODSEQ":
		return r.searchModSeq()
	}
	r.fail("SEARCH has no such key")
	return SearchKey{}
}

// searchModSeq takes the argument of MODSEQ. The entry that may stand before the number (RFC 7162 section 3.1.5) is read
// and means nothing here: a message has one mod-sequence, not one per flag.
func (r *Reader) searchModSeq() SearchKey {
	r.space()
	if r.peek() == '"' {
		r.quoted()
		r.space()
		switch r.atom("all, priv or shared") {
		case "ALL", "PRIV", "SHARED":
		default:
			r.fail("an entry is all, priv or shared")
		}
		r.space()
	}
	return SearchKey{Op: SearchModSeq, Number: r.number64()}
}
