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
// they are more than are read, or another such field is there to some readers alone. Also what stands in brackets where the field's grammar has no address is taken for one, and what does once
// square brackets in names, and quotes behind a backslash, mean nothing, as to many readers.
func authors(header []byte) (domains []string, complete bool) {
	complete = !message.Hides(header, "from")
	read := 0
	add := func(domain string) {
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
		value := f.Value()
		for _, reading := range readings(value) {
			list := message.ParseAddressList(reading)
			for _, e := range list {
				add(e.Domain)
				complete = complete && (e.Domain != "" || len(e.Local) <= message.MaxWords)
			}
			complete = complete && len(list) < message.MaxEntries // which is where it stops
		}
		for _, domain := range bracketed(value) {
			add(domain)
		}
	}
	return domains, complete
}

// readings are a list of addresses as it is and, where that may be another, as one in which square brackets are none but in address literals,
// and quotes behind a backslash none anywhere.
func readings(list string) []string {
	if strings.Count(list, "[") == strings.Count(list, "@[") && !strings.Contains(list, `\"`) {
		return []string{list}
	}
	return []string{list, strings.NewReplacer("@[", "@[", "[", " ", "]", " ", `\\`, "", `\"`, "").Replace(list)}
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

// bracketed returns the domains of addresses in angle brackets outside of quoted strings and comments. A quote or a parenthesis that
// is never closed hides nothing.
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
		case '\\':
			i++
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
