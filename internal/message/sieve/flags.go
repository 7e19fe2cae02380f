package sieve

import (
	"context"
	"slices"
	"strings"
)

// systemFlags are those that a user can set (RFC 3501 section 2.3.2).
var systemFlags = []string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`}

// maxFlags is how many flags a list holds; what follows is ignored, as flags are that can't be stored.
const maxFlags = 128

// appendFlags adds to list the flags of strings that have them parted by spaces. It leaves out what is no flag, what users can't set, and
// what is there already.
func appendFlags(list []string, texts ...string) []string {
	for _, s := range texts {
		for flag := range strings.SplitSeq(s, " ") {
			if i := findFlag(systemFlags, flag); i >= 0 {
				flag = systemFlags[i]
			} else if !isKeyword(flag) {
				continue
			}
			if len(list) >= maxFlags {
				return list
			}
			if findFlag(list, flag) < 0 {
				list = append(list, flag)
			}
		}
	}
	return list
}

func findFlag(list []string, flag string) int {
	return slices.IndexFunc(list, func(other string) bool { return len(other) == len(flag) && strings.EqualFold(other, flag) })
}

// isKeyword reports whether s is an atom of IMAP.
func isKeyword(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 127 || strings.IndexByte(`(){%*"\]`, s[i]) >= 0 {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

// checkFlags and checkHasFlag look at the optional variable names.
func checkFlags(c *compiler, n *node) error {
	if len(n.args) == 1 {
		return nil
	}
	if err := needVariables(c, n); err != nil {
		return err
	}
	return c.variable(&n.args[0].texts[0])
}

func checkHasFlag(c *compiler, n *node) error {
	if len(n.args) == 1 {
		return nil
	}
	return needVariables(c, n)
}

func needVariables(c *compiler, n *node) error {
	if c.required["variables"] {
		return nil
	}
	return n.args[0].at.errorf(`a variable of %s belongs to an extension: write require "variables"; at the beginning of the script`, show(n.name))
}

// flagVariable returns the flags that the node is for, and what sets them.
func (r *run) flagVariable(n *node) (flags []string, set func(flags []string)) {
	most := r.script.limits.Value
	join := func(list []string) string { return cutFlags(strings.Join(list, " "), most) }
	if len(n.args) == 1 {
		return appendFlags(nil, r.flags), func(list []string) { r.flags = join(list) }
	}
	name := lower(n.args[0].texts[0].raw)
	return appendFlags(nil, r.variables[name]), func(list []string) { r.variables[name] = join(list) }
}

// cutFlags cuts a list between two flags.
func cutFlags(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:max(strings.LastIndexByte(s[:most+1], ' '), 0)]
}

// flagList is the last argument.
func (r *run) flagList(n *node) ([]string, error) {
	list := r.expandAll(n.args[len(n.args)-1])
	return list, r.spendFlags(n, list)
}

// spendFlags counts what it takes to put a list together, each of its flags being held against all before it.
func (r *run) spendFlags(n *node, list []string) error {
	for _, s := range list {
		if len(s) > r.script.limits.Value {
			return n.at.errorf("a list of flags has %d bytes, and may have %d", len(s), r.script.limits.Value)
		}
		if err := r.spend(n, maxFlags*len(s)); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) setFlag(_ context.Context, n *node) error {
	list, err := r.flagList(n)
	if err != nil {
		return err
	}
	_, set := r.flagVariable(n)
	set(appendFlags(nil, list...))
	return nil
}

func (r *run) addFlag(_ context.Context, n *node) error {
	list, err := r.flagList(n)
	if err != nil {
		return err
	}
	flags, set := r.flagVariable(n)
	set(appendFlags(flags, list...))
	return nil
}

func (r *run) removeFlag(_ context.Context, n *node) error {
	list, err := r.flagList(n)
	if err != nil {
		return err
	}
	flags, set := r.flagVariable(n)
	gone := appendFlags(nil, list...)
	set(slices.DeleteFunc(flags, func(flag string) bool { return findFlag(gone, flag) >= 0 }))
	return nil
}

func (r *run) hasFlag(_ context.Context, n *node) (bool, error) {
	keys, err := r.flagList(n)
	if err != nil {
		return false, err
	}
	var words []string
	for _, k := range keys {
		words = append(words, strings.FieldsFunc(k, func(r rune) bool { return r == ' ' })...)
	}
	lists := []string{r.flags}
	if len(n.args) == 2 {
		lists = nil
		for _, name := range r.expandAll(n.args[0]) {
			lists = append(lists, r.variables[lower(name)])
		}
	}
	if err := r.spendFlags(n, lists); err != nil {
		return false, err
	}
	var values []string
	for _, l := range lists {
		values = append(values, appendFlags(nil, l)...)
	}
	return r.compareKeys(n, values, len(values), words, true)
}

// deliveryFlags are those that keep and fileinto store a message with (RFC 5232 section 5).
func (r *run) deliveryFlags(n *node) ([]string, error) {
	if !n.has("flags") {
		return appendFlags(nil, r.flags), nil
	}
	list := r.expandAll(n.tags["flags"])
	if err := r.spendFlags(n, list); err != nil {
		return nil, err
	}
	return appendFlags(nil, list...), nil
}
