package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
)

// Skew is how far a request's time may be from the server's, in both directions.
const Skew = 5 * time.Minute

// Key is an access key with its secret.
type Key struct {
	ID     string
	Secret string
}

// Verifier verifies signatures. It is safe for concurrent use.
type Verifier struct {
	clock clock.Clock
	keys  *signingKeys
}

// New returns a verifier that tells the time by c.
func New(c clock.Clock) *Verifier { return &Verifier{clock: c, keys: newSigningKeys(maxSigningKeys)} }

// Verify checks that the request and its body were signed with key for service, and not long ago. The region of the
// signature may be any. The signature must cover the Host and X-Amz-Date headers, and X-Amz-Target where there is one,
// because it says what to do. An error is an *Error.
func (v *Verifier) Verify(r *http.Request, body []byte, s *Signature, key Key, service string) error {
	if s.Service != service {
		return refuse(Invalid, "The signature is for the service '%s'; this request needs one for '%s'.", s.Service, service)
	}
	if err := v.checkTime(s); err != nil {
		return err
	}
	if err := mustSign(r, s.Headers); err != nil {
		return err
	}
	bodyHash := string(appendHexSHA256(nil, body))
	if err := checkBodyHash(r, bodyHash); err != nil {
		return err
	}
	canonical, err := appendCanonicalRequest(make([]byte, 0, 1024), r, s.Headers, bodyHash)
	if err != nil {
		return err
	}
	text := make([]byte, 0, 256)
	for _, part := range [...]string{algorithm, "\n", s.date, "\n", s.Day, "/", s.Region, "/", s.Service, "/" + terminator + "\n"} {
		text = append(text, part...)
	}
	text = appendHexSHA256(text, canonical)
	signingKey, cached := v.keys.get(key, s)
	if !cached {
		signingKey = derive(key.Secret, s)
	}
	if !hmac.Equal(sum(signingKey[:], text), s.mac) {
		return refuse(Invalid, "The signature does not match the request. Check the secret access key, and that nothing between "+
			"client and server changes the request: a proxy must pass on the Host header and the body as they are.")
	}
	if !cached {
		// Only now: whoever can't sign must not be able to fill the cache with regions.
		v.keys.put(key, s, signingKey)
	}
	return nil
}

func (v *Verifier) checkTime(s *Signature) error {
	now := v.clock.Now()
	switch {
	case s.Time.Before(now.Add(-Skew)):
		return refuse(Invalid, "Signature expired: %s is now earlier than %s (%s - 5 min.)",
			s.date, now.Add(-Skew).Format(dateLayout), now.Format(dateLayout))
	case s.Time.After(now.Add(Skew)):
		return refuse(Invalid, "Signature not yet current: %s is still later than %s (%s + 5 min.)",
			s.date, now.Add(Skew).Format(dateLayout), now.Format(dateLayout))
	}
	return nil
}

func mustSign(r *http.Request, signed []string) error {
	for _, name := range [...]string{"host", "x-amz-date", "x-amz-target"} {
		if name == "x-amz-target" && len(r.Header.Values("X-Amz-Target")) == 0 {
			continue
		}
		if !slices.Contains(signed, name) {
			return refuse(Invalid, "The signature must cover the header %s.", name)
		}
	}
	return nil
}

// checkBodyHash compares the hash that the client declares, if it does. The hash that is signed is always our own.
func checkBodyHash(r *http.Request, bodyHash string) error {
	for _, declared := range r.Header.Values("X-Amz-Content-Sha256") {
		switch {
		case declared == "UNSIGNED-PAYLOAD" || strings.HasPrefix(declared, "STREAMING-"):
			return refuse(Invalid, "X-Amz-Content-Sha256 is %s: a body must be signed as a whole.", declared)
		case declared != bodyHash:
			return refuse(Invalid, "X-Amz-Content-Sha256 is not the SHA-256 of the body that arrived.")
		}
	}
	return nil
}

// derive makes the signing key of a day, region and service from the secret.
func derive(secret string, s *Signature) [sha256.Size]byte {
	key := sum([]byte("AWS4"+secret), []byte(s.Day))
	for _, part := range []string{s.Region, s.Service, terminator} {
		key = sum(key, []byte(part))
	}
	return [sha256.Size]byte(key)
}

func sum(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}
