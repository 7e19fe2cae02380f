package iam

import "strings"

// glob is a pattern in which * stands for any characters and ? for one.
type glob string

// match reports whether the pattern matches all of s. It takes time proportional to the product of the lengths at worst.
func (g glob) match(s string) bool {
	pattern := string(g)
	star, retry := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			retry++
			p, i = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// resource is a pattern of ARNs: one glob per part, so that no wildcard reaches over a colon, or "*" for everything.
type resource struct {
	everything bool
	parts      [arnParts]glob
}

const arnParts = 6

func (x resource) match(arn string) bool {
	if x.everything {
		return true
	}
	parts := strings.SplitN(arn, ":", arnParts)
	if len(parts) != arnParts {
		return false
	}
	for i, g := range x.parts {
		if !g.match(parts[i]) {
			return false
		}
	}
	return true
}
