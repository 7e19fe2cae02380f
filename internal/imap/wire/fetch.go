package wire

import "strconv"

// Fetch is FETCH or UID FETCH (RFC 3501 section 6.4.5).
type Fetch struct {
	UID   bool
	Set   NumSet
	Items []FetchItem
	// ChangedSince is the modifier of RFC 7162 section 3.1.4, HasChangedSince tells 0 from none, and Vanished is the
	// modifier of section 3.2.6.
	ChangedSince    uint64
	HasChangedSince bool
	Vanished        bool
}

func (Fetch) args() {}

// FetchKind says what an item of FETCH is.
type FetchKind uint8

// The kinds of items. A Section item has its Section, the others nothing.
const (
	FetchFlags FetchKind = iota
	FetchUID
	FetchInternalDate
	FetchRFC822Size
	FetchEnvelope
	FetchBodyStructure // BODYSTRUCTURE
	FetchBody          // BODY without a section: BODYSTRUCTURE without extension data
	FetchModSeq        // RFC 7162
	FetchEmailID       // RFC 8474
	FetchThreadID      // RFC 8474
	FetchSaveDate      // RFC 8514
	FetchRFC822        // as BODY[], answered by this name
	FetchRFC822Header  // as BODY.PEEK[HEADER], answered by this name
	FetchRFC822Text    // as BODY[TEXT], answered by this name
	FetchSection       // BODY[…]
	FetchBinary        // BINARY[…] (RFC 3516)
	FetchBinarySize    // BINARY.SIZE[…]
)

// FetchItem is one item of FETCH.
type FetchItem struct {
	Kind FetchKind
	// Peek says that reading does not set \Seen.
	Peek    bool
	Section Section
	// Partial is the bytes asked for: HasPartial tells <0.n> from all.
	Offset, Count int64
	HasPartial    bool
}

// SectionKind says which bytes of a part a section means.
type SectionKind uint8

// The kinds of sections.
const (
	SectionWhole        SectionKind = iota // BODY[] and BODY[1]
	SectionHeader                          // HEADER
	SectionHeaderFields                    // HEADER.FIELDS
	SectionHeaderNot                       // HEADER.FIELDS.NOT
	SectionText                            // TEXT
	SectionMIME                            // MIME
)

// Section is the part of a message in brackets.
type Section struct {
	Part   []int
	Kind   SectionKind
	Fields []string // of HEADER.FIELDS and HEADER.FIELDS.NOT, as written
}

// maxPartDepth is how many numbers a section may have.
const maxPartDepth = 100

func (r *Reader) fetch(uid bool) Args {
	r.space()
	f := Fetch{UID: uid, Set: r.numSet()}
	r.space()
	if r.peek() == '(' {
		r.list(false, func() { f.Items = append(f.Items, r.fetchItem()) })
	} else {
		f.Items = r.fetchMacro()
	}
	if r.accept(' ') && r.peek() == '(' {
		r.list(false, func() { r.fetchModifier(&f) })
	}
	if f.Vanished && (!uid || !f.HasChangedSince) {
		r.fail("VANISHED goes with UID FETCH and CHANGEDSINCE only (RFC 7162 section 3.2.6)")
	}
	return f
}

func (r *Reader) fetchModifier(f *Fetch) {
	switch r.atom("a modifier of FETCH") {
	case "CHANGEDSINCE":
		r.space()
		if f.ChangedSince, f.HasChangedSince = r.number64(), true; f.ChangedSince == 0 {
			r.fail("a mod-sequence here is not 0")
		}
	case "VANISHED":
		f.Vanished = true
	default:
		r.fail("FETCH has no such modifier")
	}
}

// fetchMacro takes ALL, FAST, FULL or one item.
func (r *Reader) fetchMacro() []FetchItem {
	start := r.pos
	fast := []FetchItem{{Kind: FetchFlags}, {Kind: FetchInternalDate}, {Kind: FetchRFC822Size}}
	switch r.word("an item of FETCH") {
	case "FAST":
		return fast
	case "ALL":
		return append(fast, FetchItem{Kind: FetchEnvelope})
	case "FULL":
		return append(fast, FetchItem{Kind: FetchEnvelope}, FetchItem{Kind: FetchBody})
	}
	if r.err == nil {
		r.pos = start
	}
	return []FetchItem{r.fetchItem()}
}

func (r *Reader) fetchItem() FetchItem {
	switch name := r.word("an item of FETCH"); name {
	case "FLAGS":
		return FetchItem{Kind: FetchFlags}
	case "UID":
		return FetchItem{Kind: FetchUID}
	case "INTERNALDATE":
		return FetchItem{Kind: FetchInternalDate}
	case "RFC822.SIZE":
		return FetchItem{Kind: FetchRFC822Size}
	case "ENVELOPE":
		return FetchItem{Kind: FetchEnvelope}
	case "BODYSTRUCTURE":
		return FetchItem{Kind: FetchBodyStructure}
	case "MODSEQ":
		return FetchItem{Kind: FetchModSeq}
	case "EMAILID":
		return FetchItem{Kind: FetchEmailID}
	case "THREADID":
		return FetchItem{Kind: FetchThreadID}
	case "SAVEDATE":
		return FetchItem{Kind: FetchSaveDate}
	case "RFC822":
		return FetchItem{Kind: FetchRFC822}
	case "RFC822.HEADER":
		return FetchItem{Kind: FetchRFC822Header, Peek: true, Section: Section{Kind: SectionHeader}}
	case "RFC822.TEXT":
		return FetchItem{Kind: FetchRFC822Text, Section: Section{Kind: SectionText}}
	case "BODY", "BODY.PEEK":
		if name == "BODY" && r.peek() != '[' {
			return FetchItem{Kind: FetchBody}
		}
		it := FetchItem{Kind: FetchSection, Peek: name == "BODY.PEEK", Section: r.section()}
		r.partial(&it)
		return it
	case "BINARY", "BINARY.PEEK":
		it := FetchItem{Kind: FetchBinary, Peek: name == "BINARY.PEEK", Section: r.binarySection()}
		r.partial(&it)
		return it
	case "BINARY.SIZE":
		return FetchItem{Kind: FetchBinarySize, Peek: true, Section: r.binarySection()}
	}
	r.fail("FETCH has no such item")
	return FetchItem{}
}

// section takes a section in brackets.
func (r *Reader) section() Section {
	var s Section
	r.expect('[')
	if r.accept(']') {
		return s
	}
	if c := r.peek(); '0' <= c && c <= '9' {
		if s.Part = r.partNumber(); r.accept(']') {
			return s
		}
		r.expect('.')
	}
	switch r.word("a section") {
	case "HEADER":
		s.Kind = SectionHeader
	case "TEXT":
		s.Kind = SectionText
	case "MIME":
		if s.Kind = SectionMIME; len(s.Part) == 0 {
			r.fail("MIME needs the number of a part before it")
		}
	case "HEADER.FIELDS":
		s.Kind = SectionHeaderFields
	case "HEADER.FIELDS.NOT":
		s.Kind = SectionHeaderNot
	default:
		r.fail("there is no such section")
	}
	if s.Kind == SectionHeaderFields || s.Kind == SectionHeaderNot {
		r.space()
		r.list(false, func() { s.Fields = append(s.Fields, r.fieldName()) })
	}
	r.expect(']')
	return s
}

func (r *Reader) fieldName() string {
	name := r.astring()
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 127 || c == ':' {
			r.fail("a header field name has printable ASCII without a colon only (RFC 5322 section 2.2)")
			break
		}
	}
	if name == "" || len(name) > 998 {
		r.fail("a header field name has 1 to 998 characters")
	}
	return name
}

func (r *Reader) binarySection() Section {
	var s Section
	r.expect('[')
	if c := r.peek(); '0' <= c && c <= '9' {
		s.Part = r.partNumber()
	}
	r.expect(']')
	return s
}

// partNumber takes the numbers of a part, up to the dot that a word follows.
func (r *Reader) partNumber() []int {
	var part []int
	for r.err == nil {
		n := r.number()
		if n == 0 || len(part) == maxPartDepth {
			r.fail("a part has at most 100 numbers, none of them 0")
		}
		part = append(part, int(n))
		if r.peek() != '.' || r.pos+1 >= len(r.line) || r.line[r.pos+1] < '0' || r.line[r.pos+1] > '9' {
			break
		}
		r.pos++
	}
	return part
}

func (r *Reader) partial(it *FetchItem) {
	if !r.accept('<') {
		return
	}
	it.HasPartial = true
	it.Offset = int64(r.number64())
	r.expect('.')
	if it.Count = int64(r.number64()); it.Count == 0 {
		r.fail("a partial fetch asks for at least one byte")
	}
	r.expect('>')
}

// AppendName appends the name under which an item is answered: BODY[HEADER.FIELDS (From)]<0>.
func (it *FetchItem) AppendName(dst []byte) []byte {
	switch it.Kind {
	case FetchRFC822:
		return append(dst, "RFC822"...)
	case FetchRFC822Header:
		return append(dst, "RFC822.HEADER"...)
	case FetchRFC822Text:
		return append(dst, "RFC822.TEXT"...)
	case FetchBinary:
		dst = append(dst, "BINARY["...)
	case FetchBinarySize:
		dst = append(dst, "BINARY.SIZE["...)
	default:
		dst = append(dst, "BODY["...)
	}
	for i, n := range it.Section.Part {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = strconv.AppendInt(dst, int64(n), 10)
	}
	if len(it.Section.Part) > 0 && it.Section.Kind != SectionWhole {
		dst = append(dst, '.')
	}
	dst = append(dst, [...]string{"", "HEADER", "HEADER.FIELDS (", "HEADER.FIELDS.NOT (", "TEXT", "MIME"}[it.Section.Kind]...)
	for i, name := range it.Section.Fields {
		if i > 0 {
			dst = append(dst, ' ')
		}
		if isAString(name) { // as the client wrote it, since some look for that
			dst = append(dst, name...)
		} else {
			dst = AppendString(dst, name)
		}
	}
	if len(it.Section.Fields) > 0 {
		dst = append(dst, ')')
	}
	dst = append(dst, ']')
	if it.HasPartial {
		dst = append(dst, '<')
		dst = strconv.AppendInt(dst, it.Offset, 10)
		dst = append(dst, '>')
	}
	return dst
}
