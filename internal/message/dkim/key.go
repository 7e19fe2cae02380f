package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

const (
	minBits    = 1024  // of an RSA key that is believed and signs (RFC 8301 section 3.2)
	maxBits    = 8192  // of one that is used at all: RFC 8301 asks for 4096, and a longer one only costs us time
	maxRecord  = 16384 // bytes of a record that is read
	maxRecords = 5     // that are read of one name
	maxName    = 253   // bytes that DNS lets a name have
	maxLookups = 16    // that run side by side
)

// The algorithms of keys, as k= names them.
const (
	keyRSA     = "rsa"
	keyEd25519 = "ed25519"
)

// Record is a key as its domain publishes it (RFC 6376 section 3.6.1, RFC 8463 section 4).
type Record struct {
	Key      crypto.PublicKey // *rsa.PublicKey or ed25519.PublicKey; nil for one that was revoked
	Hashes   []string         // h=; nil for all
	Services []string         // s=; nil for all
	Testing  bool             // t=y
	Strict   bool             // t=s: the domain of i= must be d=
	Notes    string           // n=, as it is written
}

// ParseRecord reads a key record. RSA keys may be in either of the forms in use: SubjectPublicKeyInfo, and RSAPublicKey as RFC 6376 has it.
func ParseRecord(txt string) (Record, error) {
	if len(txt) > maxRecord {
		return Record{}, errors.New("the record is too long")
	}
	tags, err := ParseTags(txt)
	if err != nil {
		return Record{}, err
	}
	if version, ok := tags.Get("v"); ok && (version != "DKIM1" || tags[0].Name != "v") {
		return Record{}, errors.New("the record is of another version")
	}
	if _, ok := tags.Get("p"); !ok {
		return Record{}, errors.New("the record has no key")
	}
	var r Record
	r.Hashes, _ = tags.list("h")
	r.Services, _ = tags.list("s")
	r.Notes, _ = tags.Get("n")
	flags, _ := tags.list("t")
	r.Testing, r.Strict = slices.Contains(flags, "y"), slices.Contains(flags, "s")
	b, err := tags.Bytes("p")
	if err != nil || len(b) == 0 {
		return r, err
	}
	k, ok := tags.Get("k")
	switch k = strings.ToLower(k); {
	case !ok || k == keyRSA:
		r.Key, err = parseRSA(b)
	case k != keyEd25519:
		err = errors.New("the key is of an unknown algorithm")
	case len(b) != ed25519.PublicKeySize:
		err = errors.New("the Ed25519 key has not 32 bytes")
	default:
		r.Key = ed25519.PublicKey(b)
	}
	if err != nil {
		return Record{}, err
	}
	return r, nil
}

func parseRSA(b []byte) (*rsa.PublicKey, error) {
	if public, err := x509.ParsePKIXPublicKey(b); err == nil {
		if key, ok := public.(*rsa.PublicKey); ok {
			return key, nil
		}
		return nil, errors.New("the key is no RSA key")
	}
	key, err := x509.ParsePKCS1PublicKey(b)
	if err != nil {
		return nil, errors.New("the RSA key can't be read")
	}
	return key, nil
}

// String returns the record to be published, with RSA keys as SubjectPublicKeyInfo.
func (r Record) String() string {
	var b strings.Builder
	b.WriteString("v=DKIM1; k=")
	var key []byte
	switch k := r.Key.(type) {
	case ed25519.PublicKey:
		b.WriteString(keyEd25519)
		key = k
	case *rsa.PublicKey:
		b.WriteString(keyRSA)
		key, _ = x509.MarshalPKIXPublicKey(k) // which refuses no RSA key
	default:
		b.WriteString(keyRSA)
	}
	if r.Hashes != nil {
		b.WriteString("; h=" + strings.Join(r.Hashes, ":"))
	}
	if r.Services != nil {
		b.WriteString("; s=" + strings.Join(r.Services, ":"))
	}
	switch {
	case r.Testing && r.Strict:
		b.WriteString("; t=y:s")
	case r.Testing:
		b.WriteString("; t=y")
	case r.Strict:
		b.WriteString("; t=s")
	}
	if r.Notes != "" {
		b.WriteString("; n=" + r.Notes)
	}
	b.WriteString("; p=" + base64.StdEncoding.EncodeToString(key))
	return b.String()
}

// Name is where the key's record is published.
func (k Key) Name() string { return recordName(k.Selector, k.Domain) }

// Record is what is published there.
func (k Key) Record() Record { return Record{Key: k.Private.Public()} }

func recordName(selector, domain string) string { return selector + "._domainkey." + domain }

// Keys are what look-ups found, by name.
type Keys map[string]Found

// Found is what the look-up of one name found: records, or why there are none that can be used.
type Found struct {
	Records []Record
	Failure *Failure
}

// LookUp looks key records up, side by side and each name once. Empty names are passed over.
func (v *Verifier) LookUp(ctx context.Context, names ...string) Keys {
	keys := Keys{}
	for _, name := range names {
		if name != "" {
			keys[name] = Found{}
		}
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	room := make(chan struct{}, maxLookups)
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		room <- struct{}{}
		all.Go(func() {
			found := v.lookUp(ctx, name)
			<-room
			mu.Lock()
			defer mu.Unlock()
			keys[name] = found
		})
	}
	all.Wait()
	return keys
}

func (v *Verifier) lookUp(ctx context.Context, name string) Found {
	texts, err := v.TXT(ctx, name)
	switch {
	case err != nil && v.IsNotFound(err), err == nil && len(texts) == 0:
		return Found{Failure: permanent("no key")}
	case err != nil:
		return Found{Failure: &Failure{TempError, "the key could not be looked up"}}
	}
	var f Found
	var first error
	for _, txt := range texts[:min(len(texts), maxRecords)] {
		r, err := ParseRecord(txt)
		if err == nil {
			f.Records = append(f.Records, r)
		} else if first == nil {
			first = err
		}
	}
	if len(f.Records) == 0 {
		f.Failure = permanent("no key that can be read: " + first.Error())
	}
	return f
}

// allows says what of a record forbids a signature; nil for nothing. The domain of i= is at, "" where there is no i=.
func (r *Record) allows(algorithm string, at, domain string) *Failure {
	kind, hash, _ := strings.Cut(algorithm, "-")
	switch key := r.Key.(type) {
	case nil:
		return permanent("the key was revoked")
	case *rsa.PublicKey:
		switch {
		case kind != keyRSA:
			return permanent("the key is of another algorithm")
		case key.N.BitLen() < minBits:
			return &Failure{Policy, fmt.Sprintf("the key has fewer than %d bits", minBits)}
		case key.N.BitLen() > maxBits:
			return &Failure{Policy, fmt.Sprintf("the key has more than %d bits", maxBits)}
		}
	default:
		if kind != keyEd25519 {
			return permanent("the key is of another algorithm")
		}
	}
	switch {
	case r.Hashes != nil && !slices.Contains(r.Hashes, hash):
		return permanent("the key is not for this hash")
	case r.Services != nil && !slices.Contains(r.Services, "*") && !slices.Contains(r.Services, "email"):
		return permanent("the key is not for mail")
	case r.Strict && at != "" && at != domain:
		return permanent("the key is not for subdomains")
	}
	return nil
}

// bits is how long the key is.
func (r *Record) bits() int {
	switch key := r.Key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen()
	case ed25519.PublicKey:
		return 8 * len(key)
	}
	return 0
}

// verify reports whether a signature is that of a digest (RFC 8463 section 3: Ed25519 signs the hash).
func (r *Record) verify(digest, signature []byte) bool {
	switch key := r.Key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, signature) == nil
	case ed25519.PublicKey:
		return len(signature) == ed25519.SignatureSize && ed25519.Verify(key, digest, signature)
	}
	return false
}
