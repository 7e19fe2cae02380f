package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/message"
)

// SignOptions say how a message is signed.
type SignOptions struct {
	Time     time.Time     // t=
	Lifetime time.Duration // after which the signature is no longer valid (x=); zero for ever
}

// maxNames is how many fields a signature names.
const maxNames = 500

// ErrFields is the error for a message with more fields that should be signed than a signature can name.
var ErrFields = errors.New("the message has too many fields to be signed")

// Fields that are signed (RFC 6376 section 5.4.1, RFC 8058 section 4): all there are of the name, and one that is not there, so that nobody
// can add another without breaking the signature (section 8.15).
var (
	// Also where there is none.
	signedAlways = []string{
		"from", "to", "cc", "subject", "date", "message-id", "reply-to", "in-reply-to", "references",
		"mime-version", "content-type", "content-transfer-encoding",
	}
	// Where there is one. A mailing list that changes nothing of a message adds its own.
	signedPresent = []string{
		"content-disposition", "content-id", "list-id", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe", "list-post",
		"list-owner", "list-archive", "auto-submitted",
	}
)

// Sign returns the DKIM-Signature fields of a message, one for each key, to be put in front of it. They sign header and body relaxed, and
// all of the body.
func Sign(b []byte, o SignOptions, keys ...Key) ([]byte, error) {
	m := Read(b)
	var fields []byte
	for _, key := range keys {
		tags := Tags{{"v", "1"}, {"a", ""}, {"c", "relaxed/relaxed"}, {"d", ""}, {"s", ""}}
		field, err := m.Sign("DKIM-Signature", tags, o, key, nil)
		if err != nil {
			return nil, err
		}
		fields = append(fields, field...)
	}
	return fields, nil
}

// Sign makes a signature field of the name, ended by CRLF. It begins with tags, of which a, d and s are filled in; then come t, x, h, bh and
// b. Fields with the names in extra are signed too, as many as there are.
func (m *Message) Sign(name string, tags Tags, o SignOptions, key Key, extra []string) ([]byte, error) {
	tags, names, err := m.scope(tags, o, extra)
	if err != nil {
		return nil, err
	}
	return sign(name, tags, key, func(s *sink) { m.writeHeader(s, names, message.Field{}, true) })
}

// scope adds the tags that say what is signed.
func (m *Message) scope(tags Tags, o SignOptions, extra []string) (Tags, []string, error) {
	if m.excess {
		return nil, nil, ErrFields
	}
	var names []string
	for i, list := range [][]string{signedAlways, signedPresent, extra} {
		for _, name := range list {
			n := len(m.named[name])
			if i == 0 || i == 1 && n > 0 {
				n++
			}
			if len(names)+n > maxNames {
				return nil, nil, ErrFields
			}
			for range n {
				names = append(names, name)
			}
		}
	}
	tags = append(tags, Tag{"t", strconv.FormatInt(o.Time.Unix(), 10)})
	if o.Lifetime > 0 {
		tags = append(tags, Tag{"x", strconv.FormatInt(o.Time.Add(o.Lifetime).Unix(), 10)})
	}
	sum := m.bodySum(bodyKey{true, -1}).sum
	return append(tags, Tag{"h", strings.Join(names, ":")}, Tag{"bh", base64.StdEncoding.EncodeToString(sum)}), names, nil
}

// Seal makes a field that signs whole fields, given with their names and line breaks, and itself (RFC 8617 section 5.1.1). tags are as in
// Message.Sign.
func Seal(name string, tags Tags, key Key, whole []byte) ([]byte, error) {
	return sign(name, tags, key, func(s *sink) {
		for f := range message.Fields(whole) {
			writeField(s, whole, f, true)
		}
	})
}

// sign makes a signature field over what write writes and itself.
func sign(name string, tags Tags, key Key, write func(*sink)) ([]byte, error) {
	algorithm, hash, err := key.algorithm()
	if err != nil {
		return nil, err
	}
	for i := range tags {
		switch t := &tags[i]; t.Name {
		case "a":
			t.Value = algorithm
		case "d":
			t.Value = key.Domain
		case "s":
			t.Value = key.Selector
		}
	}
	w := newFieldWriter(name)
	for _, t := range tags {
		w.tag(t)
	}
	w.piece(" ", "b=")
	s := newSink(sha256.New(), -1)
	write(s)
	writeSigned(s, w.line, message.Field{End: len(w.line), Name: []byte(name), Raw: w.line[len(name)+1:]}, true)
	signature, err := key.Private.Sign(rand.Reader, s.sum(), hash)
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", key.Domain, err)
	}
	w.broken(base64.StdEncoding.EncodeToString(signature))
	return append(w.line, crlf...), nil
}

// algorithm returns a= of the key and the hash that it is told to sign.
func (k Key) algorithm() (string, crypto.Hash, error) {
	if d, ok := domainName(k.Domain); !ok || d != k.Domain {
		return "", 0, fmt.Errorf("%q is no domain to sign for", k.Domain)
	}
	if s, ok := domainName(k.Selector); !ok || s != k.Selector || len(k.Name()) > maxName {
		return "", 0, fmt.Errorf("%q is no selector", k.Selector)
	}
	switch public := k.Private.Public().(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minBits {
			return "", 0, fmt.Errorf("the key %s has %d bits, %d are the fewest", k.Name(), bits, minBits)
		}
		return "rsa-sha256", crypto.SHA256, nil
	case ed25519.PublicKey:
		return "ed25519-sha256", 0, nil
	}
	return "", 0, fmt.Errorf("the key %s is neither RSA nor Ed25519", k.Name())
}

// Fold makes a field of a value that can be broken wherever it has white space, ended by CRLF.
func Fold(name, value string) []byte {
	w := newFieldWriter(name)
	for word := range strings.FieldsSeq(value) {
		w.piece(" ", word)
	}
	return append(w.line, crlf...)
}

// width is how long the lines of a field are where it can be broken.
const width = 76

// fieldWriter writes a field in lines.
type fieldWriter struct {
	line   []byte
	column int
}

func newFieldWriter(name string) *fieldWriter {
	return &fieldWriter{line: []byte(name + ":"), column: len(name) + 1}
}

// piece writes what can't be broken, behind gap or on a new line.
func (w *fieldWriter) piece(gap, text string) {
	if w.column+len(gap)+len(text) > width {
		gap = "\r\n "
		w.column = 1 - len(gap)
	}
	w.line = append(append(w.line, gap...), text...)
	w.column += len(gap) + len(text)
}

// tag writes a tag with the semicolon behind it. A list is broken behind its colons.
func (w *fieldWriter) tag(t Tag) {
	gap, text := " ", t.Name+"="+t.Value+";"
	for {
		i := strings.IndexByte(text, ':')
		if i < 0 || t.Name != "h" {
			break
		}
		w.piece(gap, text[:i+1])
		gap, text = "", text[i+1:]
	}
	w.piece(gap, text)
}

// broken writes what can be broken anywhere.
func (w *fieldWriter) broken(text string) {
	for text != "" {
		n := min(len(text), width-w.column)
		w.piece("", text[:n])
		if text = text[n:]; text != "" {
			w.line = append(w.line, "\r\n "...)
			w.column = 1
		}
	}
}
