package sieve

import (
	"context"
	"strconv"
	"strings"
	"unicode/utf8"
)

// variable checks the name of a variable that a command sets, and counts it.
func (c *compiler) variable(t *text) error {
	name := lower(t.raw)
	switch {
	case !t.constant() || !isVariableName(name):
		return t.at.errorf("%s is no name of a variable: letters, digits and underscores make one", show(t.raw))
	case isDigit(name[0]):
		return t.at.errorf("%s is a match variable, which can't be set", show(t.raw))
	}
	c.variables[name] = true
	if len(c.variables) > c.limits.Variables {
		return t.at.errorf("%s is one variable too many: a script has up to %d", show(t.raw), c.limits.Variables)
	}
	return nil
}

func checkSet(c *compiler, n *node) error {
	if err := c.variable(&n.args[0].texts[0]); err != nil {
		return err
	}
	if t := &n.args[1].texts[0]; t.constant() && len(t.raw) > c.limits.Value {
		return t.at.errorf("the value has %d bytes, and a variable holds %d", len(t.raw), c.limits.Value)
	}
	return nil
}

func (r *run) set(_ context.Context, n *node) error {
	most := r.script.limits.Value
	s := r.expandTo(&n.args[1].texts[0], most)
	if err := r.spend(n, 8*len(s)); err != nil {
		return err
	}
	switch {
	case n.has("lower"):
		s = lower(s)
	case n.has("upper"):
		s = upper(s)
	}
	switch {
	case s == "":
	case n.has("lowerfirst"):
		s = lower(s[:1]) + s[1:]
	case n.has("upperfirst"):
		s = upper(s[:1]) + s[1:]
	}
	if n.has("quotewildcard") {
		s = quoteWildcards(s, most)
	}
	if n.has("length") {
		s = strconv.Itoa(utf8.RuneCountInString(s))
	}
	r.variables[lower(n.args[0].texts[0].raw)] = s
	return nil
}

// quoteWildcards puts a backslash before what has a meaning in a key of ":matches". It cuts the result between characters.
func quoteWildcards(s string, most int) string {
	var out strings.Builder
	for s != "" {
		character := firstCharacter(s)
		s = s[len(character):]
		if strings.Contains(`*?\`, character) {
			character = `\` + character
		}
		if out.Len()+len(character) > most {
			break
		}
		out.WriteString(character)
	}
	return out.String()
}

func (r *run) stringTest(_ context.Context, n *node) (bool, error) {
	values := r.expandAll(n.args[0])
	count := 0
	for _, v := range values {
		if v != "" {
			count++
		}
	}
	return r.compare(n, values, count, n.args[1], true)
}
