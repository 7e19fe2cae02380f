package dsn

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/message"
)

// width is how long lines are made where they can be broken.
const width = 76

// maxWord is how long a word can be before it is broken all the same.
const maxWord = 900

// clean returns s as it can stand in a line: valid UTF-8, or ASCII, with spaces for what could break the line.
func clean(s string, utf8Too bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case isBreaking(r):
			return ' '
		case r >= utf8.RuneSelf && !utf8Too:
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// fold returns the words of s in lines of width bytes where they allow it; the first line has taken bytes already. No line is
// empty, or longer than maxWord and what it took.
func fold(s string, taken int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(s) {
		for len(word) > maxWord {
			end := maxWord
			for !utf8.RuneStart(word[end]) {
				end--
			}
			if line != "" {
				lines = append(lines, line)
			}
			lines, line, word = append(lines, word[:end]), "", word[end:]
		}
		switch {
		case line == "":
			line = word
		case taken+len(line)+1+len(word) > width:
			lines, line, taken = append(lines, line), word, 1
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// writeField writes a field whose value may be folded; nothing for a value of nothing. The value is clean.
func writeField(b *bytes.Buffer, name, value string) {
	if lines := fold(value, len(name)+2); len(lines) > 0 {
		b.WriteString(name + ": " + strings.Join(lines, "\r\n ") + "\r\n")
	}
}

// writeText writes a field of text, encoded (RFC 2047) where it is beyond ASCII or could be read as encoded. The text is clean.
func writeText(b *bytes.Buffer, name, text string) {
	if isASCII(text) && !strings.Contains(text, "=?") {
		writeField(b, name, text)
		return
	}
	b.WriteString(name + ": " + message.EncodeWords(text) + "\r\n")
}

// hostName returns a host's name as it can stand anywhere, "localhost" where nothing is left of it.
func hostName(s string) string {
	s = strings.Map(func(r rune) rune {
		if isAlphanumeric(r) || strings.ContainsRune("-._:[]", r) {
			return r
		}
		return -1
	}, s)
	if s = s[:min(len(s), 255)]; s == "" {
		return "localhost"
	}
	return s
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// cut returns the first n bytes of s at most, without half a character at the end.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
