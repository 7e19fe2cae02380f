package flow

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/scan"
)

// maxLine is how many bytes a line may have, with its CRLF (RFC 5321 section 4.5.3.1.6).
const maxLine = 1000

// maxBoundary is how many characters a boundary may have (RFC 2046 section 5.1.1).
const maxBoundary = 70

var (
	// immutable are the fields that must stay as they are: by them it was found out who the message is from, how it came here and what it
	// is. WorkMail has such fields and publishes no list.
	immutable = []string{
		"from", "sender", "resent-from", "resent-sender", "return-path", "received", "delivered-to", "authentication-results",
		"arc-seal", "arc-message-signature", "arc-authentication-results", "date", "message-id", "bcc", "resent-bcc",
	}
	// addable are those of immutable that may be added where there is none.
	addable = []string{"date", "message-id"}
	// required are those without which a message is none (RFC 5322 section 3.6).
	required = []string{"from", "date"}
	// single are those that a header has once (RFC 5322 section 3.6, RFC 2045 section 3).
	single = []string{
		"from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "references", "subject", "date", "return-path",
		"mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id", "content-description",
	}
)

// rejected says that a new content can't be that of a message.
func rejected(format string, args ...any) error {
	return fault.New(fault.Invalid, fault.Message, "the new content of the message is rejected: "+format, args...)
}

// check holds the new content of a message to what WorkMail asks for, and returns it with CRLF at the ends of lines and without the
// server's own lines. old is the beginning of the content so far, with its whole header, of which own bytes are those lines. Faults:
// Invalid Message, which names what is wrong; it quotes only what has the header of this message, as who put it may name what others wrote.
func check(old []byte, own int, text []byte, most int64, attachments int) ([]byte, error) {
	text, err := checkLines(text)
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > most+int64(own) {
		return nil, rejected("it has more than %d bytes", most)
	}
	end := message.HeaderEnd(text)
	if end > message.MaxHeader+own {
		return nil, rejected("its header has more than %d bytes", message.MaxHeader)
	}
	if !bytes.HasSuffix(text[:end], []byte("\r\n\r\n")) {
		return nil, rejected("no empty line ends its header")
	}
	before, _ := readFields(old[:message.HeaderEnd(old)])
	after, noField := readFields(text[:end])
	if wrong := cmp.Or(checkHeader(before, after), noField); wrong != "" {
		return nil, rejected("%s", wrong)
	}
	text = withoutOwn(old[:own], text, end)
	return text, checkParts(text, attachments)
}

// checkLines makes every end of a line CRLF, as programs that make messages leave that to who sends them.
func checkLines(text []byte) ([]byte, error) {
	bare := bytes.Count(text, []byte("\n")) - bytes.Count(text, []byte("\r\n"))
	if bare > 0 {
		out := make([]byte, 0, len(text)+bare)
		for i, c := range text {
			if c == '\n' && (i == 0 || text[i-1] != '\r') {
				out = append(out, '\r')
			}
			out = append(out, c)
		}
		text = out
	}
	for n, rest := 1, text; len(rest) > 0; n++ {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line = rest[:i+1]
		}
		rest = rest[len(line):]
		content := bytes.TrimSuffix(line, []byte("\r\n"))
		switch {
		case len(content)+2 > maxLine:
			return nil, rejected("line %d has %d bytes with its CRLF; %d are the most", n, len(content)+2, maxLine)
		case bytes.IndexByte(content, '\r') >= 0:
			return nil, rejected("line %d has a CR that ends no line", n)
		case bytes.IndexByte(content, 0) >= 0:
			return nil, rejected("line %d has a NUL", n)
		}
	}
	return text, nil
}

// fields are those of a header by name, in lower case.
type fields map[string][]message.Field

type named struct{ name, value string }

// raw are those with characters beyond ASCII.
func (f fields) raw() map[named]struct{} {
	all := map[named]struct{}{}
	for name, list := range f {
		for _, field := range list {
			if !isASCII(field.Raw) {
				all[named{name, value(field)}] = struct{}{}
			}
		}
	}
	return all
}

// readFields reads a header, and says which line of it is no field; empty where all are.
func readFields(header []byte) (f fields, wrong string) {
	f = fields{}
	pos := 0
	no := func(end int) {
		if line, _, _ := bytes.Cut(header[pos:end], []byte("\r\n")); wrong == "" && len(line) > 0 {
			wrong = fmt.Sprintf("the line %.60q of the header is no field", line)
		}
	}
	for field := range message.Fields(header) {
		no(field.Start)
		pos = field.End
		name := strings.ToLower(string(field.Name))
		f[name] = append(f[name], field)
	}
	no(len(header))
	return f, wrong
}

// value is a field's without what changes where it is folded anew.
func value(f message.Field) string { return strings.Join(strings.Fields(f.Value()), " ") }

func values(list []message.Field) (all []string) {
	for _, f := range list {
		all = append(all, value(f))
	}
	return all
}

// checkHeader says what is wrong with a header in place of another; empty for nothing.
func checkHeader(before, after fields) string {
	for _, name := range required {
		if len(after[name]) == 0 {
			return fmt.Sprintf("the header %s is missing", titled(name))
		}
	}
	if wrong := once(after); wrong != "" {
		return wrong
	}
	for _, name := range immutable {
		was, is := values(before[name]), values(after[name])
		if !slices.Equal(was, is) && (len(was) > 0 || !slices.Contains(addable, name)) {
			return fmt.Sprintf("the header %s must stay as it is", titled(name))
		}
	}
	raw := before.raw()
	for of := range after.raw() {
		if _, same := raw[of]; !same {
			return fmt.Sprintf("the header %.60s has characters beyond ASCII; they must be encoded", titled(of.name))
		}
	}
	return ""
}

// once says which field of a header is there again that can't be; empty for none.
func once(f fields) string {
	for _, name := range single {
		if n := len(f[name]); n > 1 {
			return fmt.Sprintf("the header %s is there %d times; once is allowed", titled(name), n)
		}
	}
	return ""
}

// encodings are those of RFC 2045 section 6.1 that SMTP can carry without BINARYMIME.
var encodings = []string{"7bit", "8bit", "quoted-printable", "base64"}

// checkParts holds every part to its form, and attachments to the types that WorkMail sends and to their number; 0 is any.
func checkParts(text []byte, attachments int) error {
	s := message.Scan(text)
	if s.Truncated {
		return rejected("it has more than %d parts, or parts more than %d deep", message.MaxParts, message.MaxDepth)
	}
	if n := s.Attachments(); attachments > 0 && n > attachments {
		return rejected("it has %d attachments; at most %d are allowed", n, attachments)
	}
	if name, is, _ := scan.NewTypes([]string{scan.WorkMail}).Blocked(text); is != "" {
		return rejected("the attachment %.100q is of type .%.20s, which is not let through", name, is)
	}
	for i := range s.Parts {
		p := &s.Parts[i]
		if attached(s, p) {
			continue // as it was sent by somebody else
		}
		if wrong := checkPart(text, s, p); wrong != "" && p.Parent >= 0 {
			return rejected("%s in part %s", wrong, number(s, i))
		} else if wrong != "" {
			return rejected("%s", wrong)
		}
	}
	return nil
}

// attached reports whether a part lies in a message that is attached.
func attached(s *message.Structure, p *message.Part) bool {
	for p.Parent >= 0 {
		if p = &s.Parts[p.Parent]; p.IsMessage() {
			return true
		}
	}
	return false
}

// checkPart says what is wrong with a part; empty for nothing.
func checkPart(text []byte, s *message.Structure, p *message.Part) string {
	if p.Parent >= 0 { // the message's own header was looked at
		if f, wrong := readFields(text[p.HeaderStart:p.BodyStart]); wrong != "" {
			return wrong
		} else if wrong = once(f); wrong != "" {
			return wrong
		}
	}
	if !p.IsMultipart() {
		switch {
		case !slices.Contains(encodings, p.Encoding):
			return fmt.Sprintf("the Content-Transfer-Encoding %.40q is none of %s", p.Encoding, strings.Join(encodings, ", "))
		case p.Encoding != "8bit" && !isASCII(text[p.BodyStart:p.End]):
			return fmt.Sprintf("there are bytes beyond ASCII, but the Content-Transfer-Encoding is %s; they must be encoded", p.Encoding)
		}
		return ""
	}
	what := fmt.Sprintf("the %.40s/%.40s", p.Type, p.Subtype)
	boundary, first, last := p.Param("boundary"), &s.Parts[p.Children[0]], &s.Parts[p.Children[len(p.Children)-1]]
	rest := bytes.TrimPrefix(text[min(last.End, p.End):p.End], []byte("\r\n"))
	switch {
	case boundary == "" || len(boundary) > maxBoundary:
		return fmt.Sprintf("%s has no boundary of 1 to %d characters", what, maxBoundary)
	case p.Encoding != "7bit" && p.Encoding != "8bit":
		return fmt.Sprintf("%s has the Content-Transfer-Encoding %.40q, which a multipart can't have", what, p.Encoding)
	case first.HeaderStart == p.BodyStart: // stands for parts that were not found
		return fmt.Sprintf("the boundary %.70q of %s begins no part", boundary, what)
	case !bytes.HasPrefix(rest, []byte("--"+strings.TrimRight(boundary, " \t")+"--")):
		return fmt.Sprintf("the boundary %.70q of %s does not end it", boundary, what)
	}
	return ""
}

// number is a part's as IMAP counts them.
func number(s *message.Structure, i int) string {
	var list []string
	for ; s.Parts[i].Parent >= 0; i = s.Parts[i].Parent {
		list = append(list, strconv.Itoa(slices.Index(s.Parts[s.Parts[i].Parent].Children, i)+1))
	}
	slices.Reverse(list)
	return strings.Join(list, ".")
}

// withoutOwn returns a message without the server's own lines, which stay where they are. They are the first of their names: the header
// was held to have them all.
func withoutOwn(own, text []byte, end int) []byte {
	left := map[string]int{}
	for f := range message.Fields(own) {
		left[strings.ToLower(string(f.Name))]++
	}
	out := make([]byte, 0, len(text))
	pos := 0
	for f := range message.Fields(text[:end]) {
		if name := strings.ToLower(string(f.Name)); left[name] > 0 {
			left[name]--
			out = append(out, text[pos:f.Start]...)
			pos = f.End
		}
	}
	return append(out, text[pos:]...)
}

func isASCII(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c > 127 })
}

// titled writes a field's name as people know it.
func titled(name string) string {
	if name == "message-id" || name == "mime-version" || name == "content-id" {
		return strings.NewReplacer("message-id", "Message-ID", "mime-version", "MIME-Version", "content-id", "Content-ID").Replace(name)
	}
	parts := strings.Split(name, "-")
	for i, p := range parts {
		if p != "" {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "-")
}
