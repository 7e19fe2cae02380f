package message

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Address is a mail address in two parts. The zero value is the null reverse-path "<>" of SMTP.
type Address struct {
	// Local is the part before the "@", without the quotes that its written form may need.
	Local string
	// Domain is a domain name as written, without a dot at its end, or an address literal in brackets.
	Domain string
}

// The longest parts of an address that are read. RFC 5321 section 4.5.3.1 promises 64 and 255; rewritten senders (SRS,
// BATV, VERP) have longer local parts.
const (
	MaxLocal  = 255
	MaxDomain = 255
)

// IsZero reports whether a is the null address.
func (a Address) IsZero() bool { return a == Address{} }

// String returns the written form, quoted where it must be. The null address is "".
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	local := a.Local
	if !isDotString(local) {
		local = quoteLocal(local)
	}
	if a.Domain == "" {
		return local
	}
	return local + "@" + a.Domain
}

// IsASCII reports whether the address can be told to a server without SMTPUTF8 (RFC 6531).
func (a Address) IsASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

// Fold returns the form in which addresses are compared: the local part in NFC and lower case, the domain in lower case with
// international labels as A-labels. Two addresses that fold to the same are the same mailbox here.
func (a Address) Fold() Address {
	return Address{Local: FoldLocal(a.Local), Domain: FoldDomain(a.Domain)}
}

// FoldLocal folds a local part as Address.Fold does.
func FoldLocal(local string) string {
	if isASCII(local) {
		return lowerASCII(local)
	}
	return norm.NFC.String(strings.ToLower(norm.NFC.String(local)))
}

// FoldDomain folds a domain as Address.Fold does. A domain that is no valid international name is only put in lower case.
func FoldDomain(domain string) string {
	domain = strings.TrimSuffix(domain, ".")
	if isASCII(domain) {
		return lowerASCII(domain)
	}
	if ascii, err := toASCII(domain); err == nil {
		return ascii
	}
	return norm.NFC.String(strings.ToLower(norm.NFC.String(domain)))
}

// toASCII makes A-labels of a domain. One that is too long, whatever its characters, is refused at once: the time that it takes grows with its
// length, and with the square of a label's.
func toASCII(domain string) (string, error) {
	if len(domain) > 4*MaxDomain {
		return "", errors.New("the domain is too long")
	}
	return idna.Lookup.ToASCII(domain)
}

// Subaddress returns the address without its tag: what stands before the first "+" of the local part, and the tag behind
// it. ok is false where there is none, or nothing before it.
func (a Address) Subaddress() (base Address, tag string, ok bool) {
	local, tag, ok := strings.Cut(a.Local, "+")
	if !ok || local == "" {
		return Address{}, "", false
	}
	return Address{Local: local, Domain: a.Domain}, tag, true
}

// ParseAddress reads an address as SMTP writes it (RFC 5321 section 4.1.2 Mailbox, with the UTF-8 of RFC 6531), without
// angle brackets. Dots where they may not stand (obsolete "a..b", "a.") are read, because mail from such addresses is sent.
func ParseAddress(s string) (Address, error) {
	a, rest, err := parseMailbox(s)
	if err != nil {
		return Address{}, err
	}
	if rest != "" {
		return Address{}, fmt.Errorf("%q follows the address", cut(rest, 40))
	}
	return a, nil
}

// ParsePath reads a path of SMTP, "<…>", at the beginning of s and returns what follows it. A source route is read and
// dropped (RFC 5321 appendix C). "<>" is the null address.
func ParsePath(s string) (a Address, rest string, err error) {
	s, ok := strings.CutPrefix(s, "<")
	if !ok {
		return Address{}, "", errors.New("an address stands in angle brackets")
	}
	if rest, ok = strings.CutPrefix(s, ">"); ok {
		return Address{}, rest, nil
	}
	if strings.HasPrefix(s, "@") {
		route, after, ok := strings.Cut(s, ":")
		if !ok || strings.ContainsAny(route, "<>\" ") {
			return Address{}, "", errors.New("a source route ends with a colon")
		}
		s = after
	}
	if a, rest, err = parseMailbox(s); err != nil {
		return Address{}, "", err
	}
	if rest, ok = strings.CutPrefix(rest, ">"); !ok {
		return Address{}, "", errors.New("the address has no closing angle bracket")
	}
	return a, rest, nil
}

func parseMailbox(s string) (a Address, rest string, err error) {
	if a.Local, rest, err = parseLocal(s); err != nil {
		return Address{}, "", err
	}
	rest, ok := strings.CutPrefix(rest, "@")
	if !ok {
		return Address{}, "", errors.New("the address has no @")
	}
	if a.Domain, rest, err = parseDomain(rest); err != nil {
		return Address{}, "", err
	}
	return a, rest, nil
}

func parseLocal(s string) (local, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		return parseQuotedLocal(s)
	}
	end := 0
	for end < len(s) && (isAtext(s[end]) || s[end] == '.') {
		end++
	}
	local = s[:end]
	switch {
	case local == "":
		return "", "", errors.New("the address has nothing before the @")
	case len(local) > MaxLocal:
		return "", "", fmt.Errorf("the local part is longer than %d bytes", MaxLocal)
	case !utf8.ValidString(local):
		return "", "", errors.New("the local part is not valid UTF-8")
	}
	return local, s[end:], nil
}

func parseQuotedLocal(s string) (local, rest string, err error) {
	var out []byte
	for i := 1; i < len(s); i++ {
		c := s[i]
		if c == '"' {
			switch {
			case len(out) == 0:
				return "", "", errors.New("the local part is empty")
			case len(out) > MaxLocal:
				return "", "", fmt.Errorf("the local part is longer than %d bytes", MaxLocal)
			case !utf8.Valid(out):
				return "", "", errors.New("the local part is not valid UTF-8")
			}
			return string(out), s[i+1:], nil
		}
		if c == '\\' && i+1 < len(s) {
			i++
			c = s[i]
		}
		if c < ' ' || c == 127 {
			return "", "", errors.New("the local part holds a control character")
		}
		out = append(out, c)
	}
	return "", "", errors.New("the quoted local part has no closing quote")
}

func parseDomain(s string) (domain, rest string, err error) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", errors.New("the address literal has no closing bracket")
		}
		if err := checkLiteral(s[1:end]); err != nil {
			return "", "", err
		}
		return s[:end+1], s[end+1:], nil
	}
	end := 0
	for end < len(s) && (isDomainChar(s[end]) || s[end] == '.') {
		end++
	}
	domain = strings.TrimSuffix(s[:end], ".")
	if err := CheckDomain(domain); err != nil {
		return "", "", err
	}
	return domain, s[end:], nil
}

// CheckDomain says what is wrong with a domain name: lengths, empty labels, hyphens at a label's border, characters. An
// underscore is let pass: such names are in use.
func CheckDomain(domain string) error {
	if domain == "" {
		return errors.New("the address has no domain")
	}
	if !utf8.ValidString(domain) {
		return errors.New("the domain is not valid UTF-8")
	}
	ascii := domain
	if !isASCII(domain) {
		var err error
		if ascii, err = toASCII(domain); err != nil {
			return fmt.Errorf("the domain %q is no valid international name", cut(domain, 60))
		}
	}
	if len(ascii) > MaxDomain {
		return fmt.Errorf("the domain is longer than %d bytes", MaxDomain)
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("the domain %q has a label that is empty, longer than 63 bytes, or begins or ends with a hyphen", cut(domain, 60))
		}
		for i := range len(label) {
			if c := label[i]; !isDomainChar(c) || c >= 128 {
				return fmt.Errorf("the domain %q has the character %q", cut(domain, 60), c)
			}
		}
	}
	return nil
}

// checkLiteral checks what stands in the brackets of an address literal (RFC 5321 section 4.1.3).
func checkLiteral(s string) error {
	text, six := s, false
	if len(s) >= 5 && strings.EqualFold(s[:5], "IPv6:") {
		text, six = s[5:], true
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || ip.Is6() != six {
		return fmt.Errorf("%q is no address literal", cut(s, 60))
	}
	return nil
}

// isAtext is atext of RFC 5322 section 3.2.3, with the bytes of UTF-8 (RFC 6532).
func isAtext(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c >= 128:
		return true
	}
	return strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func isDomainChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c >= 128
}

// isDotString reports whether a local part can stand without quotes.
func isDotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		if !isAtext(s[i]) && s[i] != '.' {
			return false
		}
	}
	return true
}

func quoteLocal(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 128 {
			return false
		}
	}
	return true
}
