package directory

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/pennypost/pennypost/internal/fault"
)

// Fold returns s in the form in which names are compared, stored for look-up and sorted: normalised (NFC), lower case.
func Fold(s string) string { return strings.ToLower(norm.NFC.String(s)) }

// displayKeyLimit is how many bytes of a folded display name order it in lists and find it by a prefix. A page token holds
// them and may have 1,024 characters, of which base64 and its seal leave about 700 bytes; a whole name may fold to thousands.
const displayKeyLimit = 512

// displayKey is the beginning of the folded display name, cut between characters.
func displayKey(name string) string {
	key := Fold(name)
	if len(key) <= displayKeyLimit {
		return key
	}
	end := displayKeyLimit
	for !utf8.RuneStart(key[end]) {
		end--
	}
	return key[:end]
}

const (
	groupNameLimit    = 256 // characters
	resourceNameLimit = 20
	textLimit         = 256 // characters of a user's attribute
	descriptionLimit  = 64  // characters of a resource's description
)

// reserved reports whether the folded name, or the part before its @, is one that nobody may take: of an account that every directory
// of the kind has, or of the sender of journal reports. The real service does not publish its list.
func reserved(nameKey string) bool {
	local, _, _ := strings.Cut(nameKey, "@")
	switch local {
	case "administrator", "guest", "krbtgt", "amazonjournaling":
		return true
	}
	return false
}

// checkUserName checks the name of a user or resource: letters, digits, "_", "-", ".", then perhaps "@" and a domain of
// at least two labels, the last of two characters or more.
func checkUserName(name, what string, limit int) error {
	if name == "" || len(name) > limit { // the characters are ASCII, or the next check says so
		return fault.New(fault.Invalid, fault.Entity, "%s name %q must have 1 to %d characters in this directory", what, name, limit)
	}
	local, domain, hasDomain := strings.Cut(name, "@")
	if !only(local, isNameByte) || local == "" {
		return fault.New(fault.Invalid, fault.Entity, "%s name %q may have letters, digits, '_', '-' and '.' only, then perhaps @ and a domain", what, name)
	}
	if hasDomain {
		last := domain[strings.LastIndexByte(domain, '.')+1:]
		if !only(domain, isDomainByte) || len(last) < 2 || len(domain) < len(last)+2 {
			return fault.New(fault.Invalid, fault.Entity, "%s name %q has no valid domain after the @", what, name)
		}
	}
	if reserved(Fold(name)) {
		return fault.New(fault.Reserved, fault.Entity, "the name %q is reserved; choose another", name)
	}
	return nil
}

// checkGroupName checks the name of a group: 1 to 256 characters U+0020 to U+00FF, not only blanks.
func checkGroupName(name string) error {
	if n := utf8.RuneCountInString(name); n == 0 || n > groupNameLimit || strings.TrimSpace(name) == "" {
		return fault.New(fault.Invalid, fault.Entity, "group name %q must have 1 to %d characters, not all of them blank", name, groupNameLimit)
	}
	for _, r := range name {
		if r < 0x20 || r > 0xFF {
			return fault.New(fault.Invalid, fault.Entity, "group name %q has a character outside of U+0020 to U+00FF", name)
		}
	}
	if reserved(Fold(name)) {
		return fault.New(fault.Reserved, fault.Entity, "the name %q is reserved; choose another", name)
	}
	return nil
}

// checkText checks free text that is stored: valid UTF-8 without NUL, of at most limit characters. The text itself is not
// repeated in the fault: it is personal data.
func checkText(what, s string, limit int) error {
	if !storable(s) {
		return fault.New(fault.Invalid, fault.Entity, "%s must be valid Unicode text without NUL characters", what)
	}
	if n := utf8.RuneCountInString(s); n > limit {
		return fault.New(fault.Invalid, fault.Entity, "%s has %d characters; at most %d are allowed", what, n, limit)
	}
	return nil
}

// storable reports whether both engines can hold s: PostgreSQL refuses NUL and invalid UTF-8.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

func only(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
func isNameByte(c byte) bool   { return isAlnum(c) || c == '_' || c == '-' || c == '.' }
func isDomainByte(c byte) bool { return isAlnum(c) || c == '-' || c == '.' }

// prefixRange returns the half-open range [from, to) of the strings that begin with the folded prefix, in the order of
// their bytes. The prefix must not be empty. Of a prefix longer than displayKeyLimit, which no name or address reaches, what
// display names are found by counts.
func prefixRange(prefix string) (from, to string) {
	from = displayKey(prefix)
	runes := []rune(from)
	for i := len(runes) - 1; i >= 0; i-- {
		next := runes[i] + 1
		if next == 0xD800 { // the code points of surrogates can't be encoded
			next = 0xE000
		}
		if next <= utf8.MaxRune {
			return from, string(runes[:i]) + string(next)
		}
	}
	return from, from + "\U0010FFFF" // only prefixes of nothing but the last code point come here
}
