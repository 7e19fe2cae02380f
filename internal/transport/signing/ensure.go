package signing

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/message"
)

// sealPurpose is what private keys are sealed for.
const sealPurpose = "DKIM key"

// place is where a key belongs.
type place struct {
	algorithm Algorithm
	role      Role
}

// places are those that every domain has a key for.
var places = [...]place{{RSA, Current}, {Ed25519, Current}, {RSA, Next}, {Ed25519, Next}}

// newKey is a key that is made and not stored yet.
type newKey struct {
	place
	selector, public string
	sealed           []byte
}

// Ensure makes the keys that the domain lacks, if it is one that has keys; whoever calls at the same time waits for them. It must not be
// called in a transaction.
func (s *Service) Ensure(ctx context.Context, org int64, domain string) error {
	domain = message.FoldDomain(domain)
	lacking, err := s.lacking(ctx, org, domain)
	if err != nil || len(lacking) == 0 {
		return err
	}
	if err := s.making.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.making.Release(1)
	if lacking, err = s.lacking(ctx, org, domain); err != nil || len(lacking) == 0 {
		return err
	}
	made := make([]newKey, len(lacking))
	for i, p := range lacking {
		if err := ctx.Err(); err != nil { // the server stops, or who asked has gone
			return err
		}
		if made[i], err = s.make(org, domain, p); err != nil {
			return fmt.Errorf("make a DKIM key of %s: %w", domain, err)
		}
	}
	return s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return s.addTx(ctx, tx, org, domain, made) })
}

// lacking are the places that have no key.
func (s *Service) lacking(ctx context.Context, org int64, domain string) (list []place, err error) {
	if !s.mayHaveKeys(org, domain) {
		return nil, nil
	}
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		state, err := s.StateTx(ctx, tx, org, domain)
		switch {
		case err != nil:
			return err
		case state != nil:
			list = without(state.Keys)
		case org == Server:
			list = places[:]
		}
		return nil
	})
	return list, err
}

// without are the places that none of the keys has.
func without(keys []Key) (list []place) {
	for _, p := range places {
		if find(keys, p) < 0 {
			list = append(list, p)
		}
	}
	return list
}

// find is the index of the key at a place; -1 for none.
func find(keys []Key, p place) int {
	for i := range keys {
		if keys[i].Algorithm == p.algorithm && keys[i].Role == p.role {
			return i
		}
	}
	return -1
}

const (
	beginServer = `INSERT INTO dkim_domain (organization, domain, ` + domainColumns + `) VALUES ($1, $2, 0, $3, 0, 0) ON CONFLICT DO NOTHING`
	insertKey   = `INSERT INTO dkim_key (organization, domain, ` + keyColumns + `, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 0, $8)`
)

// addTx stores those keys that the domain still lacks.
func (s *Service) addTx(ctx context.Context, tx *db.Tx, org int64, domain string, made []newKey) error {
	now := s.Clock.Now()
	if org == Server {
		n, err := tx.Exec(ctx, beginServer, org, domain, now.UnixMicro())
		if err == nil && n > 0 {
			err = scheduleTx(ctx, tx, org, domain, now)
		}
		if err != nil {
			return fmt.Errorf("begin the DKIM keys of %s: %w", domain, err)
		}
	}
	d, err := s.lockTx(ctx, tx, org, domain)
	if err != nil || d == nil { // it was deregistered meanwhile
		return err
	}
	keys, err := keysTx(ctx, tx, org, domain)
	if err != nil {
		return err
	}
	for _, k := range made {
		if find(keys, k.place) >= 0 {
			continue
		}
		_, err := tx.Exec(ctx, insertKey, org, domain, int64(k.algorithm), int64(k.role), k.selector, k.public, now.UnixMicro(), k.sealed)
		if err != nil {
			return fmt.Errorf("store DKIM key %s of %s: %w", k.selector, domain, err)
		}
	}
	return nil
}

// make makes a key.
func (s *Service) make(org int64, domain string, p place) (k newKey, err error) {
	private, err := s.Generate(p.algorithm)
	if err != nil {
		return k, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return k, err
	}
	k = newKey{place: p, selector: s.selector(p.algorithm)}
	if k.public, err = publicText(private); err != nil {
		return k, err
	}
	k.sealed = s.Root.Seal(sealPurpose, sealedRow(org, domain, k.selector), der)
	return k, nil
}

// selector names a new key: its algorithm, the day, and 25 bits of chance, as several organisations may make keys of a domain.
func (s *Service) selector(a Algorithm) string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	var b [5]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	for i := range b {
		b[i] = letters[b[i]%32]
	}
	return a.String() + "-" + s.Clock.Now().Format("20060102") + "-" + string(b[:])
}

// publicText is p= of a key's record: for RSA the whole SubjectPublicKeyInfo, as everybody has it (RFC 6376 erratum 3017), for Ed25519 the
// key alone (RFC 8463 section 4.2).
func publicText(private crypto.Signer) (string, error) {
	switch public := private.Public().(type) {
	case ed25519.PublicKey:
		return base64.StdEncoding.EncodeToString(public), nil
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(public)
		return base64.StdEncoding.EncodeToString(der), err
	}
	return "", errors.New("the key is neither of RSA nor of Ed25519")
}

// sealedRow binds a sealed key to its row.
func sealedRow(org int64, domain, selector string) string {
	return fmt.Sprintf("%d/%s/%s", org, domain, selector)
}

// open returns the private key that a row holds.
func (s *Service) open(org int64, domain, selector string, sealed []byte) (crypto.Signer, error) {
	der, err := s.Root.Open(sealPurpose, sealedRow(org, domain, selector), sealed)
	if err != nil {
		return nil, fmt.Errorf("open DKIM key %s of %s: %w", selector, domain, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("read DKIM key %s of %s: %w", selector, domain, err)
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("read DKIM key %s of %s: it can't sign", selector, domain)
	}
	return private, nil
}
