package directory

import (
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/fault"
)

// The password policy of a WorkMail directory, as its administrator guide gives it.
const (
	passwordMin     = 8  // characters, inclusive
	passwordMax     = 63 // characters, inclusive: "less than 64"
	passwordClasses = 3  // of the five of passwordClass
)

// PasswordPolicy tells a person the policy that CheckPassword holds a password to.
const PasswordPolicy = "A password has 8 to 63 characters, of at least three of these kinds: upper-case letters, lower-case letters, " +
	"digits, special characters, letters with accents (À to ÿ)."

// CheckPassword returns a BadPassword fault, which does not repeat the password, when it breaks the policy: 8 to 63
// characters of Basic Latin and the Latin-1 supplement, of at least three of the classes upper case, lower case, digit,
// special character, Latin-1 letter.
func CheckPassword(password string) error {
	n := utf8.RuneCountInString(password)
	if n < passwordMin || n > passwordMax {
		return badPassword("the password has %d characters; it must have %d to %d", n, passwordMin, passwordMax)
	}
	var seen [classCount]bool
	for _, r := range password {
		class, ok := passwordClass(r)
		if !ok {
			return badPassword("the password has a character outside of Basic Latin (U+0020 to U+007E) and the Latin-1 supplement (U+00A0 to U+00FF)")
		}
		seen[class] = true
	}
	classes := 0
	for _, s := range seen {
		if s {
			classes++
		}
	}
	if classes < passwordClasses {
		return badPassword("the password has characters of %d of the five classes (upper case, lower case, digit, special, Latin-1 letter); it must have %d",
			classes, passwordClasses)
	}
	return nil
}

const (
	classUpper = iota
	classLower
	classDigit
	classSpecial
	classLatin1
	classCount
)

func passwordClass(r rune) (class int, ok bool) {
	switch {
	case 'A' <= r && r <= 'Z':
		return classUpper, true
	case 'a' <= r && r <= 'z':
		return classLower, true
	case '0' <= r && r <= '9':
		return classDigit, true
	case ' ' <= r && r <= '~':
		return classSpecial, true
	case 0xC0 <= r && r <= 0xFF && r != 0xD7 && r != 0xF7: // not the signs × and ÷
		return classLatin1, true
	case 0xA0 <= r && r <= 0xFF:
		return classSpecial, true
	}
	return 0, false
}

func badPassword(format string, args ...any) error {
	return fault.New(fault.BadPassword, fault.Entity, format, args...)
}
