// Package sigv4 verifies requests signed with AWS Signature Version 4 in the Authorization header. It follows AWS's
// "Create a signed AWS API request" (IAM User Guide) for services other than S3: the path is encoded twice, the body's
// hash is always part of what is signed, and the headers stand in the order in which the request names them.
//
// Parse reads who signed; the caller looks the key up, reads the body, and calls Verifier.Verify.
package sigv4

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Error is a refusal. Its message is safe to show to the caller.
type Error struct {
	// Code is the exception that AWS's services use for it.
	Code    string
	Message string
}

// Error returns the code and the message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// The exceptions. All are HTTP 403 or 400 at AWS; clients read only the code.
const (
	MissingToken       = "MissingAuthenticationTokenException"
	Incomplete         = "IncompleteSignatureException"
	Invalid            = "InvalidSignatureException"
	UnrecognizedClient = "UnrecognizedClientException"
)

func refuse(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Signature is what a request's headers say about its signature, read but not verified.
type Signature struct {
	KeyID   string
	Day     string // 20060102
	Region  string
	Service string
	// Headers are the names of the signed headers in lower case, in the request's order.
	Headers []string
	// Time is the request's X-Amz-Date.
	Time time.Time

	date string // as it stood there
	mac  []byte
}

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	dateLayout = "20060102T150405Z"
	maxHeaders = 64
	maxLength  = 8 << 10 // of the Authorization header, in bytes
)

const (
	digits  = "0123456789"
	lower   = "abcdefghijklmnopqrstuvwxyz"
	letters = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// form is what a part of the header may look like: at least and at most so many bytes of a set. Each request has a dozen such
// parts, which is where regular expressions begin to cost.
type form struct {
	least, most int
	bytes       string

	once    sync.Once
	allowed [256]bool // made of bytes when first used
}

func (f *form) matches(s string) bool {
	if len(s) < f.least || len(s) > f.most {
		return false
	}
	f.once.Do(func() {
		for i := range len(f.bytes) {
			f.allowed[f.bytes[i]] = true
		}
	})
	for i := range len(s) {
		if !f.allowed[s[i]] {
			return false
		}
	}
	return true
}

var (
	keyIDForm  = form{least: 1, most: 128, bytes: letters + digits + "_-"}
	dayForm    = form{least: 8, most: 8, bytes: digits}
	scopeForm  = form{least: 1, most: 64, bytes: letters + digits + "-"}
	headerForm = form{least: 1, most: 256, bytes: lower + digits + "!#$%&'*+.^_`|~-"} // RFC 9110 section 5.6.2, in lower case
)

// Parse reads the signature of a request. It needs the headers and the URL only, and costs little. An error is an *Error.
func Parse(r *http.Request) (*Signature, error) {
	authorization := r.Header.Values("Authorization")
	if len(authorization) == 0 {
		if presigned(r.URL) {
			return nil, refuse(Incomplete, "Signatures in the query string are not accepted: sign with the Authorization header.")
		}
		return nil, refuse(MissingToken, "The request is not signed: it has no Authorization header.")
	}
	if len(authorization) > 1 {
		return nil, refuse(Incomplete, "The request has %d Authorization headers.", len(authorization))
	}
	if presigned(r.URL) {
		return nil, refuse(Incomplete, "The request is signed twice, in the Authorization header and in the query string.")
	}
	if token := r.Header.Values("X-Amz-Security-Token"); len(token) > 0 {
		return nil, refuse(UnrecognizedClient, "This server issues no session tokens, so the one in the request can't be its own: "+
			"use an access key without a session token (unset AWS_SESSION_TOKEN).")
	}
	s, err := parseAuthorization(authorization[0])
	if err != nil {
		return nil, err
	}
	return s, s.readDate(r.Header)
}

// presigned tells whether the query string carries a signature. Names are compared as clients write them.
func presigned(u *url.URL) bool {
	if u.RawQuery == "" {
		return false
	}
	query := u.Query()
	return query.Has("X-Amz-Signature") || query.Has("X-Amz-Algorithm") || query.Has("X-Amz-Credential")
}

func parseAuthorization(header string) (*Signature, error) {
	if len(header) > maxLength {
		return nil, refuse(Incomplete, "The Authorization header is longer than %d bytes.", maxLength)
	}
	scheme, rest, _ := strings.Cut(header, " ")
	if scheme != algorithm {
		return nil, refuse(Incomplete, "The Authorization header must begin with %s.", algorithm)
	}
	names := [...]string{"Credential", "SignedHeaders", "Signature"}
	var (
		fields [len(names)]string
		found  [len(names)]bool
	)
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.Trim(part, " "), "=")
		i := slices.Index(names[:], name)
		if !ok || i < 0 || found[i] {
			return nil, refuse(Incomplete, "The Authorization header must have Credential, SignedHeaders and Signature, each once, and nothing else.")
		}
		fields[i], found[i] = value, true
	}
	s := &Signature{}
	if err := s.readCredential(fields[0]); err != nil {
		return nil, err
	}
	if err := s.readHeaders(fields[1]); err != nil {
		return nil, err
	}
	mac, err := hex.DecodeString(fields[2])
	if err != nil || len(mac) != 32 {
		return nil, refuse(Incomplete, "Signature must be 64 hexadecimal digits.")
	}
	s.mac = mac
	return s, nil
}

func (s *Signature) readCredential(credential string) error {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || !keyIDForm.matches(parts[0]) || !dayForm.matches(parts[1]) || !scopeForm.matches(parts[2]) ||
		!scopeForm.matches(parts[3]) || parts[4] != terminator {
		return refuse(Incomplete, "Credential must be KEYID/YYYYMMDD/REGION/SERVICE/%s.", terminator)
	}
	s.KeyID, s.Day, s.Region, s.Service = parts[0], parts[1], parts[2], parts[3]
	return nil
}

func (s *Signature) readHeaders(list string) error {
	s.Headers = strings.Split(list, ";")
	if len(s.Headers) > maxHeaders {
		return refuse(Incomplete, "SignedHeaders names %d headers; %d are the most.", len(s.Headers), maxHeaders)
	}
	for i, name := range s.Headers {
		if !headerForm.matches(name) || slices.Contains(s.Headers[:i], name) {
			return refuse(Incomplete, "SignedHeaders must name headers in lower case, each once, with semicolons between.")
		}
	}
	return nil
}

func (s *Signature) readDate(h http.Header) error {
	dates := h.Values("X-Amz-Date")
	if len(dates) != 1 {
		return refuse(Incomplete, "The request must have one X-Amz-Date header, not %d.", len(dates))
	}
	t, err := time.Parse(dateLayout, dates[0])
	if err != nil {
		return refuse(Incomplete, "X-Amz-Date must be of the form YYYYMMDDTHHMMSSZ.")
	}
	if s.Day != dates[0][:len(s.Day)] {
		return refuse(Invalid, "The day in Credential (%s) is not that of X-Amz-Date (%s).", s.Day, dates[0])
	}
	s.Time, s.date = t, dates[0]
	return nil
}
