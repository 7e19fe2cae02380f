package tls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// validFor stays below the 825 days that Apple's clients allow a certificate.
	validFor = 800 * 24 * time.Hour
	// renewBefore leaves time for clients that keep a copy of ca.pem.
	renewBefore = 30 * 24 * time.Hour
	// backdate is for clients whose clock is behind.
	backdate = 24 * time.Hour
)

// ensureDevelopment makes a development certificate unless Dir holds one that is good for the host name and for a while.
// Its authority signs once: its key is forgotten, so that nobody who trusts ca.pem can be cheated with it later.
func (s *Source) ensureDevelopment() error {
	if s.developmentIsGood() {
		return nil
	}
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return fmt.Errorf("development certificate: %w", err)
	}
	files, err := s.makeDevelopment()
	if err != nil {
		return fmt.Errorf("development certificate: %w", err)
	}
	for _, f := range files {
		if err := replaceFile(filepath.Join(s.o.Dir, f.name), f.content, f.mode); err != nil {
			return fmt.Errorf("development certificate: %w", err)
		}
	}
	return nil
}

// RemoveDevelopment removes the development certificate, and its directory unless something else is in it.
func (s *Source) RemoveDevelopment() error {
	if s.own {
		return nil
	}
	for _, name := range []string{"key.pem", "cert.pem", "ca.pem"} {
		if err := os.Remove(filepath.Join(s.o.Dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the development certificate: %w", err)
		}
	}
	_ = os.Remove(s.o.Dir) // somebody else's files keep it
	return nil
}

// names are the host names and addresses that the certificate is for.
func (s *Source) names() (hosts []string, addresses []net.IP) {
	hosts = []string{"localhost"}
	if name := strings.ToLower(s.o.Hostname); name != "" && net.ParseIP(name) == nil && !slices.Contains(hosts, name) {
		hosts = append(hosts, name)
	}
	addresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if ip := net.ParseIP(s.o.Hostname); ip != nil {
		addresses = append(addresses, ip)
	}
	return hosts, addresses
}

func (s *Source) developmentIsGood() bool {
	pair, err := load(s.o.CertFile, s.o.KeyFile)
	if err != nil {
		return false
	}
	ca, err := os.ReadFile(filepath.Join(s.o.Dir, "ca.pem"))
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		return false
	}
	hosts, addresses := s.names()
	for _, ip := range addresses {
		hosts = append(hosts, ip.String())
	}
	for _, host := range hosts {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: s.o.Clock.Now().Add(renewBefore)})
		if err != nil {
			return false
		}
	}
	return true
}

type namedFile struct {
	name    string
	content []byte
	mode    os.FileMode
}

func (s *Source) makeDevelopment() ([]namedFile, error) {
	now := s.o.Clock.Now()
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	authority := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Pennypost development"}, CommonName: "made on " + now.Format(time.DateTime)},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(validFor),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	hosts, addresses := s.names()
	leaf := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"Pennypost development"}, CommonName: hosts[len(hosts)-1]},
		NotBefore:    authority.NotBefore,
		NotAfter:     authority.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     hosts,
		IPAddresses:  addresses,
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return nil, err
	}
	// The leaf takes the authority's key identifier from the parsed certificate: strict verifiers ask for it.
	parsed, err := x509.ParseCertificate(authorityDER)
	if err != nil {
		return nil, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, parsed, leafKey.Public(), authorityKey)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return nil, err
	}
	return []namedFile{
		{"key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600},
		{"cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER}), 0o644},
		{"ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityDER}), 0o644},
	}, nil
}

func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	b[0] &= 0x7f           // a serial number is positive (RFC 5280 section 4.1.2.2)
	return new(big.Int).SetBytes(b[:])
}

// replaceFile puts content in place of path in one step, so that a reader sees the old file or the new one.
func replaceFile(path string, content []byte, mode os.FileMode) error {
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.WriteFile(temporary, content, mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
