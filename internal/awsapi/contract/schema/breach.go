package schema

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits on what an error message repeats of a request.
const (
	shownRunes    = 256
	shownBreaches = 64
)

// Breach is one constraint that a request does not keep.
type Breach struct {
	// Path of the member in lowerCamelCase with list positions from 1: "rules.1.member.name".
	Path string
	// Value as it was given, shortened; "" when Hidden.
	Value string
	// Null says that the member was absent.
	Null bool
	// Hidden values are sensitive and stay out of the message.
	Hidden bool
	// Constraint is what the value must satisfy, in AWS's words: "Member must not be null".
	Constraint string
}

// String words the breach as AWS services do.
func (b Breach) String() string {
	switch {
	case b.Hidden:
		return fmt.Sprintf("Value at '%s' failed to satisfy constraint: %s", b.Path, b.Constraint)
	case b.Null:
		return fmt.Sprintf("Value null at '%s' failed to satisfy constraint: %s", b.Path, b.Constraint)
	default:
		return fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: %s", b.Value, b.Path, b.Constraint)
	}
}

// Breaches are all constraints that one request does not keep, in the order of the model's members. It is an error.
type Breaches []Breach

// Error says how many constraints were breached and lists them; of very many it lists the first 64.
func (b Breaches) Error() string {
	noun := "errors"
	if len(b) == 1 {
		noun = "error"
	}
	shown := b[:min(len(b), shownBreaches)]
	words := make([]string, len(shown), len(shown)+1)
	for i, breach := range shown {
		words[i] = breach.String()
	}
	if rest := len(b) - len(shown); rest > 0 {
		words = append(words, fmt.Sprintf("and %d more", rest))
	}
	return fmt.Sprintf("%d validation %s detected: %s", len(b), noun, strings.Join(words, "; "))
}

func shorten(s string) string {
	if len(s) <= shownRunes || utf8.RuneCountInString(s) <= shownRunes {
		return s
	}
	return string([]rune(s[:min(len(s), utf8.UTFMax*shownRunes)])[:shownRunes]) + "…"
}
