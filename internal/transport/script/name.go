package script

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/pennypost/pennypost/internal/fault"
)

// maxName is how many characters a name may have: RFC 5804 section 1.6 wants that many to be allowed.
const maxName = 128

// cleanName returns the name as it is kept: Net-Unicode (RFC 5198), which is normalised (NFC). RFC 5804 section 1.6 forbids control
// characters and the separators of lines and paragraphs.
func cleanName(name string) (string, error) {
	switch {
	case name == "":
		return "", invalid("a script needs a name")
	case !utf8.ValidString(name):
		return "", invalid("the name of a script is UTF-8")
	case utf8.RuneCountInString(name) > maxName:
		return "", invalid("the name of a script has %d characters at most", maxName)
	}
	for _, r := range name {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return "", invalid("the name of a script has no control characters")
		}
	}
	return norm.NFC.String(name), nil
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, fault.Script, format, args...)
}
