package mailauth

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxURIs is how many addresses for reports are kept of a record.
const maxURIs = 20

// ParseRecord reads a DMARC record (RFC 7489 section 6.3, and the tags np, psd and t of its successor). ok is false for what is none,
// and for one that asks for nothing that can be done: without a policy it counts as p=none where it names somebody to report to.
func ParseRecord(text string) (r *Record, ok bool) {
	version, rest, _ := strings.Cut(text, ";")
	if !isVersion(version) {
		return nil, false
	}
	r = &Record{Percent: 100, FailureOptions: "0", PublicSuffix: "u"}
	seen := map[string]string{}
	for part := range strings.SplitSeq(rest, ";") {
		name, value, found := tag(part)
		if _, twice := seen[name]; !found || twice {
			continue
		}
		seen[name] = value
		switch name {
		case "adkim":
			r.StrictDKIM = strings.EqualFold(value, "s")
		case "aspf":
			r.StrictSPF = strings.EqualFold(value, "s")
		case "pct":
			if n, err := strconv.ParseUint(value, 10, 7); err == nil && n <= 100 {
				r.Percent = int(n)
			}
		case "t":
			r.Testing = strings.EqualFold(value, "y")
		case "psd":
			if v := strings.ToLower(value); v == "y" || v == "n" {
				r.PublicSuffix = v
			}
		case "fo":
			if value != "" && strings.Trim(value, "01ds:") == "" {
				r.FailureOptions = value
			}
		case "rua":
			r.Aggregate = uris(value)
		}
	}
	p, good := policyOf(seen, "p", "")
	r.Policy = p
	sp, goodSub := policyOf(seen, "sp", p)
	np, goodNone := policyOf(seen, "np", sp)
	r.Subdomains, r.NonExistent = sp, np
	if !good || !goodSub || !goodNone {
		if len(r.Aggregate) == 0 {
			return nil, false
		}
		r.Policy, r.Subdomains, r.NonExistent = PolicyNone, PolicyNone, PolicyNone
	}
	return r, true
}

// isVersion reports whether a record's first tag makes it one of DMARC.
func isVersion(s string) bool {
	name, value, ok := tag(s)
	return ok && name == "v" && value == "DMARC1"
}

// tag reads "name = value".
func tag(s string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(s, "=")
	return strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t"), ok
}

// policyOf returns the policy of a tag, without for one that is not there.
func policyOf(tags map[string]string, name string, without Policy) (p Policy, ok bool) {
	value, there := tags[name]
	if !there {
		return without, without != ""
	}
	p = Policy(strings.ToLower(value))
	return p, slices.Contains([]Policy{PolicyNone, PolicyQuarantine, PolicyReject}, p)
}

// uris returns the URIs of a list, with the sizes that RFC 7489 lets follow them behind an exclamation mark.
func uris(list string) (out []string) {
	for text := range strings.SplitSeq(list, ",") {
		text = strings.Trim(text, " \t")
		uri, _, _ := strings.Cut(text, "!")
		if u, err := url.Parse(uri); err == nil && u.Scheme != "" && (u.Opaque != "" || u.Host != "") && len(out) < maxURIs {
			out = append(out, text)
		}
	}
	return out
}
