package sieve

import (
	"context"
	"fmt"
	"mime"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
)

// edited returns the message as edited, nil if it is as it arrived. Each version is a copy of the message, so there are few.
func (r *run) edited(n *node) ([]byte, error) {
	const versions = 4
	if r.mail.edited && r.mail.made == nil {
		if r.versions++; r.versions > versions {
			return nil, n.at.errorf("the script delivers more than %d versions of this message, each with another header", versions)
		}
	}
	return r.mail.message(), nil
}

func isFieldName(s string) error {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 127 || s[i] == ':' {
			return fmt.Errorf("%s is no name of a field: it has printable ASCII characters, and no colon or space", show(s))
		}
	}
	if s == "" || len(s) > 200 {
		return fmt.Errorf("a field has a name of up to 200 characters")
	}
	return nil
}

func checkFieldName(_ *compiler, n *node) error { return n.args[0].constants(isFieldName) }

// isProtected reports whether a field says who wrote a message, or which way it went and what was found out there. Scripts don't edit those,
// silently (RFC 5293 section 6): an edited message is signed when it is redirected, and must not loop.
func isProtected(name string) bool {
	switch name = lower(name); name {
	case "from", "sender", "return-path", "delivered-to", "received", "authentication-results", "dkim-signature":
		return true
	}
	return strings.HasPrefix(name, "resent-") || strings.HasPrefix(name, "arc-")
}

func checkDeleteHeader(c *compiler, n *node) error {
	if err := checkFieldName(c, n); err != nil {
		return err
	}
	return checkIndex(c, n)
}

func (r *run) addHeader(_ context.Context, n *node) error {
	name := r.expand(&n.args[0].texts[0])
	if err := isFieldName(name); err != nil {
		return n.at.errorf("%s", err)
	}
	if isProtected(name) {
		return nil
	}
	raw := newField(name, oneLine(r.expand(&n.args[1].texts[0])))
	if r.added += len(raw); r.added > r.script.limits.Script {
		return n.at.errorf("the script adds more than %d bytes of fields to this message", r.script.limits.Script)
	}
	f := &field{name: lower(name), raw: raw, content: raw[len(name)+1:]}
	lines := r.mail.header()
	if n.has("last") {
		r.mail.change(append(slices.Clone(lines), f))
	} else {
		r.mail.change(append([]*field{f}, lines...))
	}
	return r.spend(n, 8*len(lines))
}

// newField writes a field (RFC 5322), with encoded words where they are needed, folded before column 78 where it has spaces.
func newField(name, value string) []byte {
	const longest = 700 // beside a name, in a line of 998
	if slices.ContainsFunc(strings.Split(value, " "), func(word string) bool { return len(word) > longest }) {
		return []byte(name + ": " + message.EncodedWords(value) + "\r\n")
	}
	value = mime.QEncoding.Encode("utf-8", value) // leaves ASCII as it is
	out := []byte(name + ":")
	column := len(out)
	for word := range strings.SplitSeq(value, " ") {
		if column > len(name)+1 && column+1+len(word) > 77 {
			out = append(out, "\r\n"...)
			column = 0
		}
		out = append(append(out, ' '), word...)
		column += 1 + len(word)
	}
	return append(out, "\r\n"...)
}

func (r *run) deleteHeader(_ context.Context, n *node) error {
	name := lower(r.expand(&n.args[0].texts[0]))
	if err := isFieldName(name); err != nil {
		return n.at.errorf("%s", err)
	}
	if isProtected(name) || name == "auto-submitted" {
		return nil
	}
	fields, err := r.indexed(n, []string{name})
	if err != nil {
		return err
	}
	if len(n.args) == 2 {
		keys := r.expandAll(n.args[1])
		all := fields
		fields = nil
		for _, f := range all {
			ok, err := r.compareKeys(n, []string{f.read()}, 1, keys, false)
			if err != nil {
				return err
			}
			if ok {
				fields = append(fields, f)
			}
		}
	}
	if len(fields) == 0 {
		return nil
	}
	gone := make(map[*field]bool, len(fields))
	for _, f := range fields {
		gone[f] = true
	}
	r.mail.change(slices.DeleteFunc(slices.Clone(r.mail.header()), func(f *field) bool { return gone[f] }))
	return nil
}
