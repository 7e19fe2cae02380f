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

// canonicalRequest is the text whose hash is signed.
func canonicalRequest(r *http.Request, headers []string, bodyHash string) (string, error) {
	query, err := canonicalQuery(r.URL.RawQuery)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, part := range []string{r.Method, canonicalPath(r.URL), query} {
		b.WriteString(part)
		b.WriteByte('\n')
	}
	for _, name := range headers {
		value, ok := headerValue(r, name)
		if !ok {
			return "", refuse(Invalid, "The header %s is named in SignedHeaders and missing in the request.", name)
		}
		b.WriteString(name)
		b.WriteByte(':')
		b.WriteString(value)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(strings.Join(headers, ";"))
	b.WriteByte('\n')
	b.WriteString(bodyHash)
	return b.String(), nil
}

// headerValue returns a header as it is signed: its values trimmed, runs of spaces made one, joined by commas. The server
// library keeps three headers elsewhere than in r.Header.
func headerValue(r *http.Request, name string) (string, bool) {
	var values []string
	switch name {
	case "host":
		values = []string{r.Host}
	case "transfer-encoding":
		values = r.TransferEncoding
	default:
		values = r.Header[textproto.CanonicalMIMEHeaderKey(name)]
	}
	if name == "content-length" && len(values) == 0 && r.ContentLength >= 0 {
		values = []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	if len(values) == 0 {
		return "", false
	}
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.Join(strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == '\t' }), " ")
	}
	return strings.Join(trimmed, ","), true
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

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
