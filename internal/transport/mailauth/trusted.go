package mailauth

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/arc"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

// vouched returns the trusted sealer whose results say that the message passed DMARC before it was passed on: the one of the lowest
// instance from which on all sealers are trusted, because each may have changed the message. Empty where there is none, or the chain
// does not hold (RFC 8617 section 7.2).
func (k *Checker) vouched(chain *arc.Chain, header []byte) string {
	if chain.Result != dkim.Pass || len(k.Trusted) == 0 {
		return ""
	}
	first := len(chain.Domains)
	for first > 0 && slices.Contains(k.Trusted, strings.ToLower(chain.Domains[first-1])) {
		first--
	}
	if first == len(chain.Domains) {
		return ""
	}
	for f := range message.Fields(header) {
		if !f.Is("arc-authentication-results") {
			continue
		}
		instance, results, _ := strings.Cut(f.Value(), ";")
		if name, value, ok := tag(instance); !ok || name != "i" || value != strconv.Itoa(first+1) {
			continue
		}
		if passesDMARC(results) {
			return strings.ToLower(chain.Domains[first])
		}
		return ""
	}
	return ""
}

// sealOf names a seal in the words of RFC 8617 section 7.2.2.
func sealOf(instance int, domain string) string {
	return "as[" + strconv.Itoa(instance) + "].d=" + printable(domain)
}

// passesDMARC reports whether authentication results, behind their authserv-id or with it, say that DMARC passed, and nothing else of
// it (RFC 8601 section 2.2).
func passesDMARC(results string) bool {
	passes := false
	for part := range strings.SplitSeq(uncommented(results), ";") {
		method, rest, ok := strings.Cut(part, "=")
		method, _, _ = strings.Cut(strings.TrimSpace(method), "/") // its version
		if !ok || !strings.EqualFold(strings.TrimSpace(method), "dmarc") {
			continue
		}
		words := strings.Fields(rest)
		if len(words) == 0 || !strings.EqualFold(words[0], "pass") {
			return false
		}
		passes = true
	}
	return passes
}

// uncommented returns a structured value without its comments, and without what stands in quotes, in which nothing is looked for.
func uncommented(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '(' || c == '"' {
			end := message.Closing(s, i)
			if end < 0 { // never closed: nothing behind it can be read
				break
			}
			b.WriteByte(' ')
			i = end
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
