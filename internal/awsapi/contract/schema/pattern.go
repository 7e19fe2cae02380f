package schema

import (
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/lazyregexp"
)

// Pattern is a regular expression that must match a whole value. It is compiled when first used, so that a server that
// starts does not wait for expressions nobody needs.
type Pattern struct {
	text  string
	once  sync.Once
	match func(string) bool
}

// NewPattern makes a pattern from the text in the model (the dialect of Java, whose \w and \d are ASCII).
func NewPattern(text string) *Pattern { return &Pattern{text: text} }

// String returns the pattern as the model has it, for error messages.
func (p *Pattern) String() string { return p.text }

// Match reports whether the pattern matches all of s, a trailing newline included.
func (p *Pattern) Match(s string) bool {
	p.once.Do(func() {
		if p.match = coded(p.text); p.match == nil {
			p.match = regexp.MustCompile(whole(translate(p.text))).MatchString
		}
	})
	return p.match(s)
}

func whole(expression string) string { return `\A(?:` + expression + `)\z` }

// translate turns the model's \u0020 into Go's \x{0020}; the rest of what the models use is the same in both dialects.
func translate(text string) string { return javaRune.ReplaceAllString(text, `$1\x{$2}`) }

var javaRune = lazyregexp.New(`((?:^|[^\\])(?:\\\\)*)\\u([0-9A-Fa-f]{4})`)

// coded returns what Go's regular expressions can't say: a negative lookahead, and repetitions beyond 1,000; nil for all else.
func coded(pattern string) func(string) bool {
	switch pattern {
	case organizationName:
		return func(s string) bool { return !strings.HasPrefix(s, "d-") && plainOrganizationName.MatchString(s) }
	case `[\S\s]*|[a-zA-Z0-9/+=]{1,1024}`: // the second half says nothing that the first does not allow
		return func(string) bool { return true }
	}
	for _, service := range []string{"workmail", "kms", "iam"} {
		if pattern == arnPattern(service) {
			return arn(service)
		}
	}
	return nil
}

const organizationName = `^(?!d-)([\da-zA-Z]+)([-][\da-zA-Z]+)*`

var plainOrganizationName = lazyregexp.New(`\A(?:([\da-zA-Z]+)([-][\da-zA-Z]+)*)\z`)

func arnPattern(service string) string {
	return `arn:aws:` + service + `:[a-z0-9-]*:[a-z0-9-]+:[A-Za-z0-9][A-Za-z0-9:_/+=,@.-]{0,1023}`
}

// arn matches arnPattern(service). No part before the last may contain a colon, so the last begins at one place only.
func arn(service string) func(string) bool {
	expression := regexp.MustCompile(whole(`arn:aws:` + service + `:[a-z0-9-]*:[a-z0-9-]+:([A-Za-z0-9][A-Za-z0-9:_/+=,@.-]*)`))
	return func(s string) bool {
		m := expression.FindStringSubmatchIndex(s)
		return m != nil && utf8.RuneCountInString(s[m[2]:m[3]]) <= 1+1023
	}
}
