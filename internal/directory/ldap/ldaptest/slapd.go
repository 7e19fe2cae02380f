package ldaptest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pennypost/pennypost/internal/leash"
)

const howToInstallSlapd = "the tests of external directories need OpenLDAP's server: apt-get install slapd"

// Slapd starts an empty OpenLDAP server with ou=people and ou=groups, and a password policy of twelve characters. It tells
// changes as RFC 4533 says unless it is plain.
func Slapd(t testing.TB, plain bool) *Server {
	t.Helper()
	s, err := startSlapd(plain)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Stop(), os.RemoveAll(s.dir)); err != nil {
			t.Error(err)
		}
	})
	return s
}

func startSlapd(plain bool) (*Server, error) {
	program, err := exec.LookPath("slapd")
	if err != nil {
		program = "/usr/sbin/slapd"
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%s: %w", howToInstallSlapd, err)
	}
	dir, who, err := temporary()
	if err != nil {
		return nil, err
	}
	if err := certify(dir, "127.0.0.1"); err != nil {
		return nil, err
	}
	tlsPort, err := leash.FreePort()
	if err != nil {
		return nil, err
	}
	startPort, err := leash.FreePort()
	if err != nil {
		return nil, err
	}
	const base = "dc=example,dc=test"
	s := &Server{
		URL: fmt.Sprintf("ldaps://127.0.0.1:%d", tlsPort), StartTLS: fmt.Sprintf("ldap://127.0.0.1:%d", startPort),
		CAFile: filepath.Join(dir, "ca.pem"), Base: base, People: "ou=people," + base, Groups: "ou=groups," + base,
		BindDN: "cn=pennypost," + base, Password: "the service's own",
		admin: "cn=admin," + base, adminPassword: "the administrator's", dir: dir, who: who,
	}
	overlay := "overlay syncprov\nsyncprov-sessionlog 1000\n"
	if plain {
		overlay = ""
	}
	replace := strings.NewReplacer("{dir}", dir, "{base}", base, "{overlay}", overlay, "{service}", s.BindDN, "{admin}", s.admin,
		"{admin password}", s.adminPassword, "{service password}", s.Password)
	for name, text := range map[string]string{"slapd.conf": slapdConf, "first.ldif": slapdFirst} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(replace.Replace(text)), 0o644); err != nil {
			return nil, err
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		return nil, err
	}
	if who.Credential != nil {
		for _, name := range []string{"data", "key.pem"} {
			if err := os.Chown(filepath.Join(dir, name), int(who.Credential.Uid), int(who.Credential.Gid)); err != nil {
				return nil, err
			}
		}
	}
	add := exec.Command(program, "-T", "add", "-f", filepath.Join(dir, "slapd.conf"), "-l", filepath.Join(dir, "first.ldif"))
	add.SysProcAttr, add.Dir = &syscall.SysProcAttr{Credential: who.Credential}, dir
	if out, err := add.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("slapadd: %w\n%s", err, out)
	}
	s.command = []string{program, "-f", filepath.Join(dir, "slapd.conf"), "-h", s.URL + " " + s.StartTLS, "-d", "0"}
	return s, s.Start()
}

const slapdConf = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload syncprov
moduleload ppolicy
TLSCACertificateFile {dir}/ca.pem
TLSCertificateFile {dir}/cert.pem
TLSCertificateKeyFile {dir}/key.pem
TLSVerifyClient never
security tls=1
database mdb
suffix {base}
directory {dir}/data
dbnosync
rootdn {admin}
rootpw "{admin password}"
index objectClass,entryUUID,entryCSN,uid,cn,member eq
{overlay}overlay ppolicy
ppolicy_default cn=policy,{base}
ppolicy_hash_cleartext
limits dn.exact="{service}" size=unlimited time=unlimited
access to attrs=userPassword by dn.exact="{service}" write by anonymous auth by * none
access to * by dn.exact="{service}" write by * none
`

const slapdFirst = `dn: {base}
objectClass: domain
dc: example

dn: ou=people,{base}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{base}
objectClass: organizationalUnit
ou: groups

dn: {service}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: pennypost
userPassword: {service password}

dn: cn=policy,{base}
objectClass: applicationProcess
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdCheckQuality: 2
pwdMinLength: 12
`

// TLS believes the certificate in a file.
func TLS(caFile string) (*tls.Config, error) {
	text, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("no certificate in " + caFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
