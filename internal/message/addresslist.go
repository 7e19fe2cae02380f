package message

import "strings"

// ParseAddressList reads an address list as header fields hold it (RFC 5322 section 3.4), unfolded: mailboxes, groups,
// comments, quoted strings, routes and the obsolete forms. It reads everything: what is no address becomes an entry without
// Domain, and so does what has more than MaxWords words, whose Local is the text itself. A name in a comment behind the address
// ("ann@example.com (Ann)") counts where there is none before it.
func ParseAddressList(s string) []Entry {
	p := listParser{s: s}
	for p.pos < len(p.s) && len(p.out) < MaxEntries {
		p.step()
	}
	p.endMailbox()
	if p.inGroup {
		p.out = append(p.out, Entry{Kind: GroupEnd})
	}
	return p.out
}

// listParser collects the words of one entry until the character that says what they were.
type listParser struct {
	s       string
	pos     int
	out     []Entry
	words   []listWord
	first   int    // where the words begin
	over    bool   // there were more than MaxWords
	comment string // the last one of the entry
	angle   *Entry // the address in angle brackets
	inGroup bool
}

// MaxWords is how many words of a name or an address are read.
const MaxWords = 1000

// listWord is one word of a phrase or of an address.
type listWord struct {
	text   string
	quoted bool // text is the content of a quoted string
	spaced bool // white space or a comment stood before it
}

func (p *listParser) step() {
	switch c := p.s[p.pos]; {
	case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		p.pos++
	case c == '>' || c == ')': // closes nothing
		p.pos++
	case c == ',':
		p.pos++
		p.endMailbox()
	case c == ';':
		p.pos++
		p.endMailbox()
		if p.inGroup {
			p.out = append(p.out, Entry{Kind: GroupEnd})
			p.inGroup = false
		}
	case c == ':' && !p.inGroup && p.angle == nil && len(p.words) > 0:
		p.pos++
		p.out = append(p.out, Entry{Kind: GroupStart, Name: phrase(p.words)})
		p.inGroup = true
		p.reset()
	case c == '<' && p.angle == nil:
		p.angleAddress()
	case c == '(':
		p.comment = p.readComment()
	default:
		p.word(c)
	}
}

// word reads a quoted string, a domain literal or an atom; any other character is a word by itself.
func (p *listParser) word(c byte) {
	w := listWord{spaced: p.pos > 0 && strings.IndexByte(" \t\r\n)", p.s[p.pos-1]) >= 0}
	// Words behind the brackets belong to nothing.
	counts := p.angle == nil && len(p.words) < MaxWords
	if len(p.words) == 0 {
		p.first = p.pos
	}
	switch {
	case c == '"':
		end := quotedEnd(p.s, p.pos)
		if end < 0 { // never closed: what is left is the text
			end = len(p.s)
		}
		if counts {
			w.text, w.quoted = unquote(p.s[p.pos+1:end]), true
		}
		p.pos = end
	case c == '[':
		end := strings.IndexByte(p.s[p.pos:], ']')
		if end < 0 {
			end = len(p.s) - p.pos - 1
		}
		w.text = p.s[p.pos : p.pos+end+1]
		p.pos += end + 1
	default:
		end := p.pos + 1
		for end < len(p.s) && strings.IndexByte(" \t\r\n,;:<>()\"[@", p.s[end]) < 0 {
			end++
		}
		w.text = p.s[p.pos:end]
		p.pos = end
	}
	if counts {
		p.words = append(p.words, w)
	} else {
		p.over = true
	}
}

// readComment reads a comment, which may hold others, and returns its content.
func (p *listParser) readComment() string {
	var out []byte
	depth := 0
	for ; p.pos < len(p.s); p.pos++ {
		c := p.s[p.pos]
		switch {
		case c == '\\' && p.pos+1 < len(p.s):
			p.pos++
			c = p.s[p.pos]
		case c == '(':
			if depth++; depth == 1 {
				continue
			}
		case c == ')':
			if depth--; depth == 0 {
				p.pos++
				return strings.TrimSpace(string(out))
			}
		}
		out = append(out, c)
	}
	return strings.TrimSpace(string(out))
}

// angleAddress reads "<…>", with a route before the address (RFC 5322 section 4.4).
func (p *listParser) angleAddress() {
	name, route := p.words, ""
	p.words, p.over = nil, false
	p.pos++
	for p.pos < len(p.s) {
		switch c := p.s[p.pos]; c {
		case '>', ',', ';':
			if c != '>' && !isRoute(p.words) { // a bracket that never closes: the entry ends where the next begins
				p.setAngle(name, route)
				return
			}
			p.pos++
			if c == '>' {
				p.setAngle(name, route)
				return
			}
		case ':':
			p.pos++
			if isRoute(p.words) {
				route, p.words, p.over = joinRoute(p.words), nil, false
			}
		case ' ', '\t', '\r', '\n', '<':
			p.pos++
		case '(':
			p.readComment()
		default:
			p.word(c)
		}
	}
	p.setAngle(name, route)
}

// isRoute reports whether the words so far are a source route: they begin with an "@".
func isRoute(words []listWord) bool {
	return len(words) > 0 && !words[0].quoted && strings.HasPrefix(words[0].text, "@")
}

func joinRoute(words []listWord) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 && strings.HasPrefix(w.text, "@") {
			b.WriteByte(',')
		}
		b.WriteString(w.text)
	}
	return b.String()
}

func (p *listParser) setAngle(name []listWord, route string) {
	local, domain := p.addrSpec()
	p.angle = &Entry{Name: phrase(name), Local: local, Domain: domain, Route: route}
	p.words = nil
}

// endMailbox makes an entry of what was collected.
func (p *listParser) endMailbox() {
	switch {
	case p.angle != nil:
		if p.angle.Name == "" {
			p.angle.Name = p.comment
		}
		p.out = append(p.out, *p.angle)
	case len(p.words) > 0:
		e := Entry{Name: p.comment}
		e.Local, e.Domain = p.addrSpec()
		p.out = append(p.out, e)
	}
	p.reset()
}

func (p *listParser) reset() { p.words, p.over, p.comment, p.angle = nil, false, "", nil }

// phrase joins the words of a display name, keeping white space between words as one space.
func phrase(words []listWord) string {
	if len(words) == 1 {
		return words[0].text
	}
	var b strings.Builder
	for i, w := range words {
		if i > 0 && w.spaced {
			b.WriteByte(' ')
		}
		b.WriteString(w.text)
	}
	return b.String()
}

// addrSpec joins the words of an address and parts it at the last "@" outside quotes. White space in an address is obsolete
// and goes; in words without "@", which are no address, it stays.
func (p *listParser) addrSpec() (local, domain string) {
	at, words := -1, p.words
	for i, w := range words {
		if !w.quoted && strings.HasPrefix(w.text, "@") {
			at = i
		}
	}
	switch {
	case p.over:
		return p.s[p.first:p.pos], ""
	case at < 0:
		return phrase(words), ""
	}
	var l, d strings.Builder
	for _, w := range words[:at] {
		l.WriteString(w.text)
	}
	d.WriteString(words[at].text[1:])
	for _, w := range words[at+1:] {
		d.WriteString(w.text)
	}
	return l.String(), d.String()
}

// Closing returns where the quoted string or the comment that begins at i ends, -1 where it does not (RFC 5322 sections
// 3.2.2 and 3.2.4: comments can hold comments).
func Closing(s string, i int) int {
	quoted, depth := s[i] == '"', 1
	for i++; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case quoted && c == '"', !quoted && c == ')':
			if depth--; depth == 0 {
				return i
			}
		case !quoted && c == '(':
			depth++
		}
	}
	return -1
}
