package mailauth

import (
	"net/netip"
	"strings"

	"github.com/pennypost/pennypost/internal/lazyregexp"
)

// The grammar of RFC 7208 section 12, in lower case.
const (
	spfMacro  = `(?:%\{[slodiphv]` + spfPart + `|%[%_-])`
	spfPart   = `(?:0*[1-9][0-9]*)?r?[-.+,/_=]*\}`
	spfText   = `(?:` + spfMacro + `|[!-$&-~])*`
	spfAny    = `(?:` + spfMacro + `|%\{[crt]` + spfPart + `|[!-$&-~])*` // of what nobody expands
	spfLabel  = `(?:[a-z0-9]*[a-z][a-z0-9]*|[a-z0-9]+-[a-z0-9-]*[a-z0-9])`
	spfDomain = spfText + `(?:\.` + spfLabel + `\.?|` + spfMacro + `)`
	spfFour   = `/(?:[0-9]|[12][0-9]|3[0-2])`
	spfSix    = `/(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])`
)

var (
	spfDirective = lazyregexp.New(`\A[-+?~]?(?:all|(?:include|exists):` + spfDomain + `|(?:a|mx)(?::` + spfDomain + `)?(?:` + spfFour + `)?(?:/` + spfSix + `)?` +
		`|ptr(?::` + spfDomain + `)?|ip4:([0-9.]+)(?:` + spfFour + `)?|ip6:([0-9a-f:.]+)(?:` + spfSix + `)?)\z`)
	spfModifier = lazyregexp.New(`\A(?:(redirect|exp)=` + spfDomain + `|[a-z][a-z0-9_.-]*=` + spfAny + `)\z`)
)

// isSPF reports whether a TXT record is one of SPF (RFC 7208 section 4.5).
func isSPF(record string) bool {
	version, _, _ := strings.Cut(record, " ")
	return strings.EqualFold(version, "v=spf1")
}

// isWellFormedSPF reports whether all of a record is as the grammar has it.
func isWellFormedSPF(record string) bool {
	seen := map[string]bool{}
	for _, term := range strings.Split(strings.ToLower(record), " ")[1:] {
		if term == "" {
			continue
		}
		if m := spfDirective.FindStringSubmatch(term); m != nil {
			if m[1] != "" && !isAddress(m[1], netip.Addr.Is4) || m[2] != "" && !isAddress(m[2], netip.Addr.Is6) {
				return false
			}
			continue
		}
		m := spfModifier.FindStringSubmatch(term)
		name, _, _ := strings.Cut(term, "=")
		if special := name == "redirect" || name == "exp"; m == nil || special && (m[1] == "" || seen[name]) {
			return false
		}
		seen[name] = true
	}
	return true
}

func isAddress(s string, family func(netip.Addr) bool) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && family(a)
}
