package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// appendCanonicalRequest appends the text whose hash is signed.
func appendCanonicalRequest(b []byte, r *http.Request, headers []string, bodyHash string) ([]byte, error) {
	query, err := canonicalQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	for _, part := range [...]string{r.Method, canonicalPath(r.URL), query} {
		b = append(append(b, part...), '\n')
	}
	for _, name := range headers {
		var ok bool
		if b, ok = appendHeader(append(append(b, name...), ':'), r, name); !ok {
			return nil, refuse(Invalid, "The header %s is named in SignedHeaders and missing in the request.", name)
		}
		b = append(b, '\n')
	}
	b = append(b, '\n')
	for i, name := range headers {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	return append(append(b, '\n'), bodyHash...), nil
}

// appendHeader appends a header as it is signed: its values trimmed, runs of spaces made one, joined by commas. The server
// library keeps three headers elsewhere than in r.Header.
func appendHeader(b []byte, r *http.Request, name string) ([]byte, bool) {
	var values []string
	switch name {
	case "host":
		return appendTrimmed(b, r.Host), true
	case "transfer-encoding":
		values = r.TransferEncoding
	default:
		values = r.Header[textproto.CanonicalMIMEHeaderKey(name)]
	}
	if name == "content-length" && len(values) == 0 && r.ContentLength >= 0 {
		return strconv.AppendInt(b, r.ContentLength, 10), true
	}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTrimmed(b, v)
	}
	return b, len(values) > 0
}

func appendTrimmed(b []byte, value string) []byte {
	value = strings.Trim(value, " \t")
	for i := range len(value) {
		switch c := value[i]; {
		case c != ' ' && c != '\t':
			b = append(b, c)
		case value[i-1] != ' ' && value[i-1] != '\t':
			b = append(b, ' ')
		}
	}
	return b
}

// canonicalPath encodes the path once more than it is encoded in the request line, as all services but S3 want it. It
// does not resolve "." and "..": none of our paths has them, and what can't be routed needn't be verified.
func canonicalPath(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return encode(path, "/")
}

// canonicalQuery sorts the parameters by their encoded names, then values.
func canonicalQuery(raw string) (string, error) {
	if raw == "" {
		return "", nil
	}
	type parameter struct{ name, value string }
	var parameters []parameter
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		n, err1 := url.PathUnescape(name)
		v, err2 := url.PathUnescape(value)
		if err1 != nil || err2 != nil {
			return "", refuse(Invalid, "The query string is not well encoded.")
		}
		parameters = append(parameters, parameter{encode(n, ""), encode(v, "")})
	}
	slices.SortFunc(parameters, func(a, b parameter) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	pairs := make([]string, len(parameters))
	for i, p := range parameters {
		pairs[i] = p.name + "=" + p.value
	}
	return strings.Join(pairs, "&"), nil
}

const upperHex = "0123456789ABCDEF"

// encode escapes every byte but the unreserved ones (RFC 3986 section 2.3) and those in keep.
func encode(s, keep string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~',
			strings.IndexByte(keep, c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

func appendHexSHA256(b, data []byte) []byte {
	sum := sha256.Sum256(data)
	return hex.AppendEncode(b, sum[:])
}
