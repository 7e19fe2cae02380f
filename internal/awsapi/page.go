package awsapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/pennypost/pennypost/internal/fault"
)

// Pages seals the cursors of lists into the tokens that clients hand back, so that a token can't be made up, changed, or
// used with another operation, organisation or filter.
type Pages struct{ key []byte }

// NewPages returns pages that seal with key: at least 32 secret bytes, the same after a restart, or tokens end with it.
func NewPages(key []byte) *Pages { return &Pages{key: key} }

// list is what a token belongs to: an operation with all of its input but the page.
type list struct {
	operation    string
	organization string
	// filter is the input without the page, as JSON.
	filter string
}

const (
	tokenVersion = 1
	macBytes     = 16
)

// seal makes the token of a cursor; an empty cursor, after the last page, has none.
func (p *Pages) seal(l list, cursor string) *string {
	if cursor == "" {
		return nil
	}
	token := make([]byte, 0, 1+macBytes+len(cursor))
	token = append(token, tokenVersion)
	token = append(token, p.mac(l, cursor)...)
	text := base64.RawURLEncoding.EncodeToString(append(token, cursor...))
	return &text
}

// open returns the cursor in a token, "" for no token. A token that was not made for the list is an Invalid fault.
func (p *Pages) open(l list, token *string) (string, error) {
	if token == nil {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(*token)
	if err != nil || len(raw) <= 1+macBytes || raw[0] != tokenVersion {
		return "", badToken()
	}
	cursor := string(raw[1+macBytes:])
	if !hmac.Equal(raw[1:1+macBytes], p.mac(l, cursor)) {
		return "", badToken()
	}
	return cursor, nil
}

func badToken() error {
	return fault.New(fault.Invalid, fault.Token, "NextToken is not one that this list handed out: begin again without it, and keep the other parameters as they were")
}

// mac covers the list and the cursor, each with its length before it, so that no two lists look alike.
func (p *Pages) mac(l list, cursor string) []byte {
	var text strings.Builder
	for _, part := range []string{l.operation, l.organization, l.filter, cursor} {
		text.WriteString(strconv.Itoa(len(part)))
		text.WriteByte(':')
		text.WriteString(part)
	}
	h := hmac.New(sha256.New, p.key)
	h.Write([]byte(text.String()))
	return h.Sum(nil)[:macBytes]
}
