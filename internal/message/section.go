package message

// SectionKind says which bytes of a part a section specifier of IMAP means (RFC 3501 section 6.4.5).
type SectionKind uint8

// The kinds of section.
const (
	// Body is BODY[] and BODY[1.2]: the whole message, or the body of a part.
	Body SectionKind = iota
	// Header is BODY[HEADER] and BODY[1.2.HEADER]: the header of the message, or of the message in a message/rfc822 part,
	// with the empty line that ends it.
	Header
	// Text is BODY[TEXT] and BODY[1.2.TEXT]: the body of the message, or of the message in a message/rfc822 part.
	Text
	// MIME is BODY[1.2.MIME]: the part's own header. It needs a path.
	MIME
)

// Section returns the offsets of the bytes that a section specifier means; ok is false where the message has no such
// section. Body and Header with an empty path, and no others, begin with the prefix of a store (see the package comment).
func (s *Structure) Section(path []int, kind SectionKind) (start, end int, ok bool) {
	if len(path) == 0 {
		switch top := &s.Parts[0]; kind {
		case Body:
			return 0, s.Size, true
		case Header:
			return top.HeaderStart, top.BodyStart, true
		case Text:
			return top.BodyStart, top.End, true
		}
		return 0, 0, false
	}
	i, ok := s.Find(path)
	if !ok {
		return 0, 0, false
	}
	p := &s.Parts[i]
	switch kind {
	case Body:
		return p.BodyStart, p.End, true
	case MIME:
		return p.HeaderStart, p.BodyStart, true
	}
	if !p.IsMessage() {
		return 0, 0, false
	}
	inner := &s.Parts[p.Children[0]]
	if kind == Header {
		return inner.HeaderStart, inner.BodyStart, true
	}
	return inner.BodyStart, inner.End, true
}

// Find returns the index of the part with the number path, as IMAP counts: the parts of a multipart from 1, and 1 for the
// only part of a message that is no multipart.
func (s *Structure) Find(path []int) (index int, ok bool) {
	at, inMessage := 0, true // inMessage: at is the top part of a message, and the next number is one of that message
	for _, n := range path {
		p := &s.Parts[at]
		if !inMessage && p.IsMessage() {
			at, inMessage = p.Children[0], true
			p = &s.Parts[at]
		}
		switch {
		case p.IsMultipart():
			if n < 1 || n > len(p.Children) {
				return 0, false
			}
			at = p.Children[n-1]
		case !inMessage || n != 1:
			return 0, false
		}
		inMessage = false
	}
	return at, len(path) > 0
}
