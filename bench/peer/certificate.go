package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/pennypost/pennypost/internal/leash"
)

// Certificate is what all servers show, so that none has the cheaper handshake.
type Certificate struct {
	cert     *x509.Certificate
	chain    []byte
	key      []byte
	notAfter time.Time
}

// NewCertificate makes one for localhost, ECDSA on P-256, valid for two days.
func NewCertificate(now time.Time) (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &Certificate{notAfter: now.Add(48 * time.Hour)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: c.notAfter,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	c.chain = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c.key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	c.cert, err = x509.ParseCertificate(der)
	return c, err
}

// write puts the certificate and its key into dir and says where.
func (c *Certificate) write(dir string) (cert, key string, err error) {
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(cert, c.chain, 0o600); err != nil {
		return "", "", err
	}
	return cert, key, os.WriteFile(key, c.key, 0o600)
}

// freeAddress finds a port of loopback that nobody listens on now.
func freeAddress() (string, error) {
	port, err := leash.FreePort()
	return fmt.Sprint("127.0.0.1:", port), err
}
