package message

import "bytes"

// DecodeTransfer decodes a body by its Content-Transfer-Encoding (lower case). An encoding that nobody knows leaves the body
// as it is, as do 7bit, 8bit and binary.
func DecodeTransfer(encoding string, body []byte) []byte {
	switch encoding {
	case "base64":
		return DecodeBase64(body)
	case "quoted-printable":
		return DecodeQuotedPrintable(body)
	}
	return body
}

// DecodeBase64 decodes base64, passing over every character that is not of its alphabet (RFC 2045 section 6.8). Padding in
// the middle ends a group of bytes, as when two encoded texts were put together; missing padding is as if it were there.
func DecodeBase64(b []byte) []byte {
	out := make([]byte, 0, len(b)/4*3+3)
	var group uint32
	n := 0
	flush := func() {
		switch n {
		case 2:
			out = append(out, byte(group>>4))
		case 3:
			out = append(out, byte(group>>10), byte(group>>2))
		}
		group, n = 0, 0
	}
	for _, c := range b {
		v := base64Value(c)
		if v < 0 {
			if c == '=' {
				flush()
			}
			continue
		}
		group = group<<6 | uint32(v)
		if n++; n == 4 {
			out = append(out, byte(group>>16), byte(group>>8), byte(group))
			group, n = 0, 0
		}
	}
	flush()
	return out
}

func base64Value(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}

// DecodeQuotedPrintable decodes quoted-printable (RFC 2045 section 6.7). An "=" that begins no escape stays; white space at
// the end of a line goes.
func DecodeQuotedPrintable(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		end := lineEnd(b, 0)
		line, lineBreak := splitBreak(b[:end])
		b = b[end:]
		line = bytes.TrimRight(line, " \t")
		soft := false
		if len(line) > 0 && line[len(line)-1] == '=' {
			line, soft = line[:len(line)-1], true
		}
		for i := 0; i < len(line); i++ {
			if line[i] == '=' && i+2 < len(line) {
				if hi, lo := unhex(line[i+1]), unhex(line[i+2]); hi >= 0 && lo >= 0 {
					out = append(out, byte(hi<<4|lo))
					i += 2
					continue
				}
			}
			out = append(out, line[i])
		}
		if !soft {
			out = append(out, lineBreak...)
		}
	}
	return out
}

// splitBreak parts a line from its line break, which may be missing.
func splitBreak(line []byte) (text, lineBreak []byte) {
	n := len(line)
	if n > 0 && line[n-1] == '\n' {
		n--
		if n > 0 && line[n-1] == '\r' {
			n--
		}
	}
	return line[:n], line[n:]
}
