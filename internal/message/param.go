package message

import (
	"sort"
	"strconv"
	"strings"
)

// DecodeParam returns the value of the parameter with the name (lower case) by RFC 2231: its extended or continued form
// ("name*", "name*0*", "name*1") goes before the plain one. The result is valid UTF-8 where the parameter names a charset.
func DecodeParam(params []Param, name string) string {
	plain, havePlain := "", false
	var pieces []paramPiece
	for _, p := range params {
		rest, ok := strings.CutPrefix(p.Name, name)
		switch {
		case !ok:
		case rest == "":
			if !havePlain {
				plain, havePlain = p.Value, true
			}
		case rest[0] == '*':
			if piece, ok := parsePiece(rest[1:], p.Value); ok {
				pieces = append(pieces, piece)
			}
		}
	}
	if len(pieces) == 0 {
		return plain
	}
	sort.SliceStable(pieces, func(i, j int) bool { return pieces[i].number < pieces[j].number })
	charset := ""
	var raw []byte
	for i, piece := range pieces {
		if i > 0 && piece.number != pieces[i-1].number+1 {
			if piece.number == pieces[i-1].number {
				continue
			}
			break // a piece is missing: what follows it is not the value
		}
		v := piece.value
		if piece.extended {
			if i == 0 {
				if c, rest, ok := strings.Cut(v, "'"); ok {
					if _, text, ok := strings.Cut(rest, "'"); ok {
						charset, v = c, text
					}
				}
			}
			raw = appendPercentDecoded(raw, v)
			continue
		}
		raw = append(raw, v...)
	}
	if charset == "" {
		return string(raw)
	}
	return DecodeCharset(charset, raw)
}

// paramPiece is one section of a continued parameter.
type paramPiece struct {
	number   int
	extended bool // percent-encoded, the first with charset and language
	value    string
}

// parsePiece reads what stands behind the first asterisk of a parameter name: "", "0", "0*".
func parsePiece(suffix, value string) (paramPiece, bool) {
	if suffix == "" {
		return paramPiece{extended: true, value: value}, true
	}
	digits, extended := strings.CutSuffix(suffix, "*")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 {
		return paramPiece{}, false
	}
	return paramPiece{number: n, extended: extended, value: value}, true
}

func appendPercentDecoded(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				dst = append(dst, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		dst = append(dst, s[i])
	}
	return dst
}

// unhex returns the value of a hexadecimal digit of either case, or -1.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
