package mailauth

import (
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

const (
	// MaxResults is how many bytes Results has at most: what doesn't fit of signatures is left out.
	MaxResults    = 5 << 10
	maxValue      = 255 // bytes of one value but an address, before it is quoted
	maxLineLength = 78
)

// Field returns the field Authentication-Results of a message (RFC 8601), folded and with its CRLF. host is the name of the server,
// under which the results are known.
func (v *Verdict) Field(host string) string {
	return "Authentication-Results: " + v.Results(host) + "\r\n"
}

// Results returns the value of Field, which that of ARC-Authentication-Results has behind its instance too.
func (v *Verdict) Results(host string) string {
	lines := append([]string{host, result("iprev", v.IPRev.Result, v.IPRev.Reason, v.IPRev.Domain, "policy.iprev", v.Client.address())}, v.spfResults()...)
	tail := append([]string{v.dmarcResult()}, v.arcResult()...)
	size := 0
	for _, line := range append(lines, tail...) {
		size += len(line) + len(separator)
	}
	if len(v.DKIM) == 0 {
		lines = append(lines, result("dkim", dkim.None, "", ""))
	}
	for _, s := range v.DKIM {
		about := ""
		if s.Bits > 0 {
			about = fmt.Sprintf("%d-bit key", s.Bits)
		}
		line := result("dkim", s.Result, s.Reason, about,
			"header.d", s.Domain, "header.i", s.Identity, "header.s", s.Selector, "header.a", s.Algorithm, "header.b", s.Head)
		if size += len(line) + len(separator); size > MaxResults {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(append(lines, tail...), separator)
}

// separator puts each result on a line of its own.
const separator = ";\r\n\t"

func (c *Client) address() string {
	if !c.Address.IsValid() {
		return ""
	}
	return c.Address.String()
}

func (v *Verdict) spfResults() []string {
	if v.Client.From.IsZero() {
		return []string{result("spf", v.SPF.Result, v.SPF.Reason, "", "smtp.helo", v.SPF.Domain)}
	}
	lines := []string{result("spf", v.SPF.Result, v.SPF.Reason, "", "smtp.mailfrom", v.Client.From.String())}
	if v.Hello.Result != dkim.None && !v.Local {
		lines = append(lines, result("spf", v.Hello.Result, v.Hello.Reason, "", "smtp.helo", v.Hello.Domain))
	}
	return lines
}

func (v *Verdict) dmarcResult() string {
	d := &v.DMARC
	if d.Record == nil {
		return result("dmarc", d.Result, d.Reason, "", "header.from", d.From)
	}
	about := "p=" + string(d.Policy)
	if d.Tested {
		about += " is only being tested"
	}
	if v.Vouched != "" {
		about += " but sealed by " + v.Vouched
	}
	at := d.Domain
	if at == d.From {
		at = ""
	}
	return result("dmarc", d.Result, d.Reason, about, "header.from", d.From, "polrec.p", string(d.Record.Policy), "polrec.domain", at)
}

func (v *Verdict) arcResult() []string {
	if v.ARC.Result == dkim.None || v.ARC.Result == "" {
		return nil
	}
	last := ""
	if n := len(v.ARC.Domains); n > 0 {
		last = v.ARC.Domains[n-1]
	}
	return []string{result("arc", v.ARC.Result, v.ARC.Reason, fmt.Sprintf("i=%d", v.ARC.Instance), "header.d", last)}
}

// result words what became of a method: method=result (about) reason="…" and those properties that have a value. It is folded where it
// is too long.
func result(method string, r dkim.Result, reason, about string, properties ...string) string {
	words := []string{method + "=" + string(r)}
	if about != "" {
		words = append(words, "("+escaped(printable(about), `()\`)+")")
	}
	if reason != "" {
		words = append(words, "reason="+quoted(reason))
	}
	for i := 0; i+1 < len(properties); i += 2 {
		if value := properties[i+1]; value != "" {
			words = append(words, properties[i]+"="+pvalue(value))
		}
	}
	var b strings.Builder
	column := 8
	for i, word := range words {
		switch {
		case i == 0:
		case column+1+len(word) >= maxLineLength: // room for the semicolon
			b.WriteString("\r\n\t ")
			column = 9
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

// pvalue writes the value of a property: as it is where it is a domain, an address or a word, else quoted.
func pvalue(s string) string {
	address := s
	if strings.HasPrefix(s, "@") {
		address = "x" + s
	}
	if a, err := message.ParseAddress(address); err == nil && a.Domain[0] != '[' && a.String() == address {
		return s
	}
	s = printable(s)
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$%&'*+-.^_`{|}~", c) >= 0:
		default:
			return quoted(s)
		}
	}
	return s
}

func quoted(s string) string {
	return `"` + escaped(printable(s), `"\`) + `"`
}

// escaped puts a backslash before those characters that are special.
func escaped(s, special string) string {
	if !strings.ContainsAny(s, special) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// printable is s as a line of a header can hold it: no control characters, no broken UTF-8, and not too long.
func printable(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxValue)], "?")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 127 {
			return '?'
		}
		return r
	}, s)
}
