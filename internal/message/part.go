package message

// The limits of Scan and ParseEnvelope. What lies beyond is not looked at: the message stays whole and readable, only less
// of it has a structure.
const (
	// MaxDepth is how many parts may lie inside each other, the message itself being the first.
	MaxDepth = 100
	// MaxParts is how many parts of a message are told apart.
	MaxParts = 10_000
	// MaxHeader is how many bytes of one header are read for its fields.
	MaxHeader = 1 << 20
	// MaxValue is how many bytes of one unfolded field value go into a Structure or an Envelope.
	MaxValue = 16 << 10
	// MaxEntries is how many entries of one address list go into an Envelope.
	MaxEntries = 10_000
)

// Structure is the table of the parts of one message. It has at least one part, Parts[0], which is the message itself.
type Structure struct {
	// Size is the number of bytes scanned.
	Size int
	// Parts are in the order of their headers; a part stands before its children.
	Parts []Part
	// Truncated says that a limit was met, so that parts may be missing from the table.
	Truncated bool
}

// Part is one body part (RFC 2045 section 2.4): the message itself, a part of a multipart, or the message inside a
// message/rfc822 or message/global part, which is that part's only child.
//
// Its header is [HeaderStart,BodyStart), with the empty line that ends it, and its body [BodyStart,End). The line break
// before a delimiter line belongs to the delimiter (RFC 2046 section 5.1.1).
type Part struct {
	// Parent is the index of the part around this one, -1 for the message itself.
	Parent int
	// Children are the indexes of the parts inside, in order. A multipart always has one: where no delimiter was found (or
	// it names no boundary, or lies too deep), its only child is a text/plain part without header that holds its whole body.
	Children []int

	HeaderStart, BodyStart, End int
	// Lines is the number of line feeds in the body.
	Lines int

	// Type and Subtype are in lower case; text/plain (in a multipart/digest message/rfc822) where the header does not say.
	Type, Subtype string
	// Params are the parameters of Content-Type as written: names in lower case, RFC 2231 forms not yet joined or decoded.
	Params []Param
	// Encoding is the Content-Transfer-Encoding in lower case, "7bit" where the header does not say.
	Encoding string
	// ID, Description, MD5 and Location are the values of Content-ID, -Description, -MD5 and -Location, unfolded.
	ID, Description, MD5, Location string
	// Disposition is the type of Content-Disposition in lower case, "" where there is none.
	Disposition       string
	DispositionParams []Param
	// Language holds the tags of Content-Language.
	Language []string
	// Envelope is that of the message inside a message/rfc822 or message/global part, and nil for all others.
	Envelope *Envelope
}

// Attachments counts the parts that are attachments; a message that is attached is one, whatever it holds.
func (s *Structure) Attachments() (n int) {
	inside := make([]bool, len(s.Parts)) // in an attached message
	for i := range s.Parts {
		p := &s.Parts[i]
		if p.Parent >= 0 {
			inside[i] = inside[p.Parent] || s.Parts[p.Parent].IsMessage()
		}
		if !inside[i] && p.IsAttachment() {
			n++
		}
	}
	return n
}

// Param is a parameter of a Content-Type or Content-Disposition field.
type Param struct{ Name, Value string }

// IsMultipart reports whether p's body is a sequence of parts.
func (p *Part) IsMultipart() bool { return p.Type == "multipart" }

// IsMessage reports whether p's body is a message of its own, which then is its only child.
func (p *Part) IsMessage() bool { return isMessageType(p.Type, p.Subtype) }

func isMessageType(typ, subtype string) bool {
	return typ == "message" && (subtype == "rfc822" || subtype == "global")
}

// IsAttachment reports whether p is what readers of mail show as an attachment: all that is no text, and text that has a file's name or is
// meant as one.
func (p *Part) IsAttachment() bool {
	return !p.IsMultipart() && (p.Type != "text" || p.Disposition == "attachment" || p.FileName() != "")
}

// Param returns the value of the parameter of Content-Type with the name (lower case), joined and decoded by RFC 2231,
// or "".
func (p *Part) Param(name string) string { return DecodeParam(p.Params, name) }

// FileName returns the name that the part suggests for a file, decoded, or "". It may hold any character: it is no path.
func (p *Part) FileName() string {
	if name := DecodeParam(p.DispositionParams, "filename"); name != "" {
		return DecodeWords(name)
	}
	return DecodeWords(p.Param("name"))
}
