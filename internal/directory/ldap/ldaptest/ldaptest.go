// Package ldaptest runs real directories for tests: OpenLDAP's slapd, and Samba's Active Directory domain controller, as Debian
// packages them. They listen on loopback addresses, write to temporary directories alone, and end with the test.
package ldaptest

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
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pennypost/pennypost/internal/leash"
)

// patience is how long a server may take to answer: a busy machine is no failure.
const patience = 60 * time.Second

// Server is a directory that runs.
type Server struct {
	// URL and StartTLS are where it is: the one with TLS from the first byte, the other where it is asked for.
	URL, StartTLS string
	// CAFile is the certificate that signed the server's.
	CAFile string
	// Base is the top entry, People and Groups where users and groups are.
	Base, People, Groups string
	// BindDN and Password are the account for Pennypost.
	BindDN, Password string

	admin, adminPassword string
	dir                  string
	command              []string
	environment          []string
	who                  *syscall.SysProcAttr
	alive                *leash.Leash
}

// Start runs the server, again after Stop.
func (s *Server) Start() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.command[0], s.command[1:]...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = s.dir, append(os.Environ(), s.environment...), s.who, log, log
	if s.alive, err = leash.Start(cmd, "TERM", ""); err != nil {
		return err
	}
	deadline := time.Now().Add(patience)
	for {
		conn, err := s.dial()
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("%s does not answer: %w\n%s", s.command[0], errors.Join(err, s.Stop()), said[max(0, len(said)-4000):])
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Stop ends the server.
func (s *Server) Stop() error { return s.alive.Close() }

func (s *Server) dial() (*ldap.Conn, error) {
	config, err := TLS(s.CAFile)
	if err != nil {
		return nil, err
	}
	conn, err := ldap.DialURL(s.URL, ldap.DialWithTLSConfig(config), ldap.DialWithDialer(&net.Dialer{Timeout: patience}))
	if err != nil {
		return nil, err
	}
	if err := conn.Bind(s.admin, s.adminPassword); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Admin is a connection of the server's administrator.
func (s *Server) Admin(t testing.TB) *ldap.Conn {
	t.Helper()
	conn, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// temporary makes a directory that an unprivileged user owns where the test runs as root.
func temporary() (dir string, who *syscall.SysProcAttr, err error) {
	if dir, err = os.MkdirTemp("", "ldaptest"); err != nil || os.Getuid() != 0 {
		return dir, &syscall.SysProcAttr{}, err
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return "", nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return "", nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return "", nil, err
	}
	who = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return dir, who, os.Chown(dir, int(uid), int(gid))
}

// certify writes ca.pem, cert.pem and key.pem for an address into dir, readable to all.
func certify(dir, address string) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ldaptest"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: address}, IPAddresses: []net.IP{net.ParseIP(address)},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	write := func(name, kind string, der []byte, mode os.FileMode) error {
		return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
	}
	return errors.Join(write("ca.pem", "CERTIFICATE", caDER, 0o644), write("cert.pem", "CERTIFICATE", leafDER, 0o644),
		write("key.pem", "PRIVATE KEY", keyDER, 0o600))
}
