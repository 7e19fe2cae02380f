package mailauth

import (
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
)

// maxAuthors is how many domains From may name. No honest message has more; one that has is treated as its worst author would want.
const maxAuthors = 10

// maxFrom is how many bytes of From fields are read.
const maxFrom = 64 << 10

// authors returns the domains that a header's From names, each once, A-labels in lower case: of all addresses of all such fields,
// without dots at the end, since readers differ in which of several they show, and in what they make of dots. complete is false where
// they are more than are read, or another such field is there to some readers alone. Also what stands in brackets where the field's grammar has
// no address is taken for one, and so is what is one by any of the readings.
func authors(header []byte) (domains []string, complete bool) {
	complete = !message.Hides(header, "from")
	read := 0
	var add func(domain string)
	add = func(domain string) {
		if i := strings.IndexAny(domain, `\"()<>[]`); i > 0 { // where it ends for many
			add(domain[:i])
		}
		domain = strings.TrimRight(message.FoldDomain(strings.TrimRight(strings.TrimSpace(domain), " \t.")), ".")
		switch {
		case domain == "" || slices.Contains(domains, domain):
		case len(domains) == maxAuthors:
			complete = false
		default:
			domains = append(domains, domain)
		}
	}
	for f := range message.Fields(header) {
		if !f.Is("from") {
			continue
		}
		if read += len(f.Raw); read > maxFrom {
			return domains, false
		}
		for _, reading := range readings(f.Value()) {
			list := message.ParseAddressList(reading)
			for _, e := range list {
				add(e.Domain)
				complete = complete && (e.Domain != "" || len(e.Local) <= message.MaxWords)
			}
			complete = complete && len(list) < message.MaxEntries // which is where it stops
			for _, domain := range bracketed(reading) {
				add(domain)
			}
		}
	}
	return domains, complete
}

// readings are a list of addresses as it is and, where they differ, as it is to readers to whom one or more of these mean nothing: square
// brackets that are around no address literal, marks behind a backslash, even outside of quotes, and what is opened and never closed; or as to
// those to whom an address without angle brackets ends with its last atom.
func readings(list string) []string {
	all := []string{list}
	for _, without := range []func(string) string{withoutBrackets, withoutEscapes, withoutOpen, apart} {
		for _, reading := range all {
			if other := without(reading); other != reading {
				all = append(all, other)
			}
		}
	}
	return all
}

func withoutEscapes(list string) string {
	if !strings.Contains(list, `\`) {
		return list
	}
	return strings.NewReplacer(`\\`, "", `\"`, "", `\(`, "", `\)`, "", `\<`, "", `\>`, "", `\[`, "", `\]`, "").Replace(list)
}

// maxLiteral is more than an address literal has.
const maxLiteral = 60

func withoutBrackets(list string) string {
	b := []byte(list)
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '[':
			rest := list[i:min(i+maxLiteral, len(list))]
			if end := strings.IndexByte(rest, ']'); end > 0 && i > 0 && b[i-1] == '@' {
				if _, err := message.ParseAddress("x@" + rest[:end+1]); err == nil {
					i += end
					continue
				}
			}
			b[i] = ' '
		case ']':
			b[i] = ' '
		}
	}
	return string(b)
}

func withoutOpen(list string) string {
	b, open := []byte(list), map[byte]bool{}
	for i := 0; i < len(b); i++ {
		switch c := b[i]; c {
		case '"', '(':
			end := -1
			if !open[c] {
				end = message.Closing(list, i)
			}
			if end > 0 {
				i = end
			} else {
				open[c], b[i] = true, ' '
			}
		case '<':
			if end := strings.IndexAny(list[i+1:], "<>"); end >= 0 && list[i+1+end] == '>' {
				i += end
			} else {
				b[i] = ' '
			}
		}
	}
	return string(b)
}

// apart parts by commas what follows the first address of an entry that has none in angle brackets.
func apart(list string) string {
	var all, entry strings.Builder
	open := map[byte]bool{} // see bracketed
	const joins = ".@,;:"
	angle, at, before := false, false, byte(',') // before is the last that counts
	start := 0
	end := func(i int) {
		if angle {
			all.WriteString(list[start:i])
		} else {
			all.WriteString(entry.String())
		}
		entry.Reset()
		start, angle, at = i, false, false
	}
	for i := 0; i < len(list); i++ {
		c, from := list[i], i
		switch c {
		case '"', '(':
			if open[c] {
				break
			}
			if e := message.Closing(list, i); e > 0 {
				i = e
			} else {
				open[c] = true
			}
		case ',', ';', ':':
			end(i)
		case '<':
			if e := strings.IndexAny(list[i+1:], "<>"); e >= 0 && list[i+1+e] == '>' {
				i += 1 + e
				angle = angle || strings.Contains(list[from:i], "@")
			}
		}
		if c != ' ' && c != '\t' && c != '(' {
			spaced := from > 0 && strings.IndexByte(" \t)", list[from-1]) >= 0
			if strings.IndexByte(joins, before) < 0 && (spaced && strings.IndexByte(joins, c) < 0 || strings.IndexByte(`"<>)\`, c) >= 0 || c == '@' && at) {
				entry.WriteByte(',')
			}
			at, before = at || c == '@', list[i]
		}
		entry.WriteString(list[from : i+1])
	}
	end(len(list))
	return all.String()
}

// proofs reports whether a header has DKIM signatures, and whether it has parts of ARC sets.
func proofs(header []byte) (signed, sealed bool) {
	for f := range message.Fields(header) {
		switch len(f.Name) {
		case len("dkim-signature"):
			signed = signed || f.Is("dkim-signature")
		case len("arc-seal"), len("arc-message-signature"), len("arc-authentication-results"):
			sealed = sealed || f.Is("arc-seal") || f.Is("arc-message-signature") || f.Is("arc-authentication-results")
		}
	}
	return signed, sealed
}

// bracketed returns the domains of addresses in angle brackets outside of quoted strings, comments and square brackets. What of these is
// never closed hides nothing.
func bracketed(s string) (domains []string) {
	open := map[byte]bool{} // was begun and never ends; what looks like another is text
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '(':
			if open[c] {
				continue
			}
			if end := message.Closing(s, i); end > 0 {
				i = end
			} else {
				open[c] = true
			}
		case '[':
			if open[c] {
				continue
			}
			if end := strings.IndexByte(s[i:], ']'); end > 0 {
				i += end
			} else {
				open[c] = true
			}
		case '<':
			end := strings.IndexAny(s[i+1:], "<>")
			if end < 0 || s[i+1+end] == '<' {
				continue
			}
			if _, domain, ok := cutLast(s[i+1:i+1+end], "@"); ok {
				domains = append(domains, domain)
			}
			i += end
		}
	}
	return domains
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
