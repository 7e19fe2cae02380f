package ldaptest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const howToInstallSamba = "the tests of Active Directory need Samba's domain controller: apt-get install samba samba-ad-provision samba-dsdb-modules samba-vfs-modules"

// Samba starts an Active Directory domain controller with CN=Users and its built-in accounts. It takes some ten seconds, and must
// be root's: it serves LDAP on its own ports, of a loopback address of its own, and nothing else.
func Samba(t testing.TB) *Server {
	t.Helper()
	s, err := startSamba()
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

func startSamba() (*Server, error) {
	tool, err := exec.LookPath("samba-tool")
	if err == nil {
		_, err = os.Stat("/usr/sbin/samba")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", howToInstallSamba, err)
	}
	if os.Getuid() != 0 {
		return nil, errors.New("Samba's domain controller listens on ports 389 and 636 whatever it is told: this test must be run as root")
	}
	dir, err := os.MkdirTemp("", "sambatest")
	if err != nil {
		return nil, err
	}
	pid := os.Getpid()
	address := fmt.Sprintf("127.%d.%d.%d", 10+pid>>14&0x7f, pid>>7&0x7f, 1+pid&0x7f) // of this process alone
	if err := certify(dir, address); err != nil {
		return nil, err
	}
	const base, password = "DC=ad,DC=test", "adminPa$$w0rd"
	provision := exec.Command(tool, "domain", "provision", "--realm=AD.TEST", "--domain=ADTEST", "--adminpass="+password,
		"--server-role=dc", "--dns-backend=NONE", "--host-name=dc1", "--host-ip="+address, "--targetdir="+dir,
		"--option=vfs objects=", "--option=interfaces="+address+"/8", "--option=bind interfaces only=yes")
	if out, err := provision.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("samba-tool domain provision: %w\n%s", err, out)
	}
	conf := filepath.Join(dir, "etc", "smb.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		return nil, err
	}
	global, _, _ := strings.Cut(string(text), "\n[homes]")
	global += fmt.Sprintf(`
	server services = ldap
	dcerpc endpoint servers =
	ldap server require strong auth = allow_sasl_over_tls
	old password allowed period = 0
	tls cafile = %[1]s/ca.pem
	tls certfile = %[1]s/cert.pem
	tls keyfile = %[1]s/key.pem
	log file = %[1]s/samba.log
	pid directory = %[1]s
	ncalrpc dir = %[1]s/ncalrpc
	winbindd socket directory = %[1]s/winbindd
	ntp signd socket directory = %[1]s/ntp
`, dir)
	if err := os.WriteFile(conf, []byte(global), 0o600); err != nil {
		return nil, err
	}
	s := &Server{
		URL: "ldaps://" + address, StartTLS: "ldap://" + address, CAFile: filepath.Join(dir, "ca.pem"),
		Base: base, People: "CN=Users," + base, Groups: "CN=Users," + base,
		BindDN: "CN=Administrator,CN=Users," + base, Password: password,
		admin: "CN=Administrator,CN=Users," + base, adminPassword: password, dir: dir, who: &syscall.SysProcAttr{},
	}
	s.command = []string{"/usr/sbin/samba", "-i", "-M", "single", "-s", conf}
	return s, s.Start()
}
