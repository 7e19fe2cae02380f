package message

import (
	"strings"
	"unicode/utf8"
)

// maxBaseSubject is how many bytes of a base subject are kept.
const maxBaseSubject = 500

// BaseSubject returns what is left of a Subject's value without the marks of replies, forwards and lists (RFC 5256 section
// 2.1), decoded, in lower case, as valid UTF-8 without NUL.
func BaseSubject(subject string) string {
	s := strings.ToLower(DecodeWords(cut(subject, 4*maxBaseSubject)))
	s = strings.Join(strings.Fields(strings.ReplaceAll(s, "\x00", "")), " ")
	for {
		s = trimFwd(s)
		before := len(s)
		s = trimLeaders(s)
		inner, ok := strings.CutPrefix(s, "[fwd:")
		if ok && strings.HasSuffix(inner, "]") {
			s = strings.TrimSpace(inner[:len(inner)-1])
			continue
		}
		if len(s) == before {
			break
		}
	}
	if len(s) > maxBaseSubject {
		s = s[:maxBaseSubject]
		for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		s = strings.TrimSpace(strings.ToValidUTF8(s, ""))
	}
	return s
}

// trimFwd takes "(fwd)" from the end as often as it stands there (subj-trailer).
func trimFwd(s string) string {
	for {
		rest, ok := strings.CutSuffix(s, "(fwd)")
		if !ok {
			return strings.TrimSpace(s)
		}
		s = strings.TrimSpace(rest)
	}
}

// trimLeaders takes "re:", "fw:", "fwd:", each with "[…]" before the colon or in front, from the beginning, and a
// "[…]" in front where something is left behind it (subj-leader and subj-blob).
func trimLeaders(s string) string {
	for {
		rest := s
		for { // *subj-blob
			r, ok := cutBlob(rest)
			if !ok {
				break
			}
			rest = r
		}
		if r, ok := cutReply(rest); ok {
			s = r
			continue
		}
		if r, ok := cutBlob(s); ok && r != "" {
			s = r
			continue
		}
		return s
	}
}

// cutReply takes one "re:", "fw:" or "fwd:" off, perhaps with a blob before the colon.
func cutReply(s string) (rest string, ok bool) {
	switch {
	case strings.HasPrefix(s, "re"):
		s = s[2:]
	case strings.HasPrefix(s, "fwd"):
		s = s[3:]
	case strings.HasPrefix(s, "fw"):
		s = s[2:]
	default:
		return "", false
	}
	s = strings.TrimLeft(s, " ")
	if r, ok := cutBlob(s); ok {
		s = r
	}
	rest, ok = strings.CutPrefix(s, ":")
	return strings.TrimLeft(rest, " "), ok
}

// cutBlob takes one "[…]" without brackets inside, and the space behind it, off.
func cutBlob(s string) (rest string, ok bool) {
	if !strings.HasPrefix(s, "[") {
		return "", false
	}
	end := strings.IndexAny(s[1:], "[]")
	if end < 0 || s[1+end] == '[' {
		return "", false
	}
	return strings.TrimLeft(s[end+2:], " "), true
}
