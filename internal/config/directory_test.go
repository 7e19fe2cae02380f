package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDirectoriesAreMappedInTheFile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(" s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := fmt.Sprintf(`[directory."d-0123456789"]
url = 'ldaps://ldap.example'
preset = 'rfc'
base = 'dc=example'
bind_dn = 'cn=mail,dc=example'
bind_password_file = %q
writable = true
[directory."d-0123456789".attributes]
company = 'businessCategory'
`, secret)
	c, err := Load(Sources{File: file(t, good)})
	if err != nil {
		t.Fatal(err)
	}
	d := c.Directory["d-0123456789"]
	password, err := d.BindPassword()
	wait, waitErr := d.Wait()
	if err != nil || waitErr != nil || password != " s3cret" || wait != 10*time.Second || !d.Writable || d.Attributes["company"] != "businessCategory" {
		t.Errorf("loaded %+v, %q, %v, %v", d, password, err, wait)
	}
	for what, change := range map[string][2]string{
		"there is no setting directory.":  {"base", "bottom"},
		"not the id of a directory":       {"d-0123456789", "d-012345678"},
		"neither ldaps://host":            {"ldaps://", "https://"},
		"preset \"x\"":                    {"'rfc'", "'x'"},
		"base and bind_dn":                {"'dc=example'", "''"},
		"does not hold a password":        {secret, os.DevNull},
		"no such file":                    {secret, secret + "x"},
		"ca_file: open":                   {"base", "ca_file = '/nowhere'\nbase"},
		"holds no certificate":            {"base", "ca_file = '" + secret + "'\nbase"},
		"timeout \"1h\" is not a time of": {"base", "timeout = '1h'\nbase"},
	} {
		_, err := Load(Sources{File: file(t, strings.ReplaceAll(good, change[0], change[1]))})
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v: %v, want %q", change, err, what)
		}
	}
}
