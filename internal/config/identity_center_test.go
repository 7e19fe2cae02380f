package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIdentityCentersAreMappedInTheFile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:sso:::instance/ssoins-0123456789abcdef"
	good := fmt.Sprintf("region = 'eu-west-1'\n[identity_center.%q]\nissuer = 'https://login.example/realm'\nclient_id = 'mail'\nclient_secret_file = %q\n", arn, secret)
	c, err := Load(Sources{File: file(t, good)})
	if err != nil {
		t.Fatal(err)
	}
	i := c.IdentityCenter[arn]
	if i.Issuer != "https://login.example/realm" || i.ClientID != "mail" || c.Region != "eu-west-1" {
		t.Errorf("loaded %+v", i)
	}
	if got, err := i.ClientSecret(); err != nil || got != "s3cret" {
		t.Errorf("the secret is %q, %v", got, err)
	}
	for what, change := range map[string][2]string{
		"there is no setting identity_center": {"client_id", "client_name"},
		"this is not the ARN":                 {"sso:::", "sso::1:"},
		"http is for a provider":              {"https://login", "http://login"},
		"issuer \"https://login.example/?a=b": {"/realm", "/?a=b"},
		"does not hold a secret":              {secret, os.DevNull},
		"no such file":                        {secret, secret + "x"},
		"ca_file":                             {"client_id", "ca_file = '/nowhere'\nclient_id"},
		"client_id is missing":                {"'mail'", "''"},
	} {
		_, err := Load(Sources{File: file(t, strings.Replace(good, change[0], change[1], 1))})
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v: %v, want %q", change, err, what)
		}
	}
	for _, local := range []string{"http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"} {
		if _, err := Load(Sources{File: file(t, strings.Replace(good, "https://login.example/realm", local, 1))}); err != nil {
			t.Errorf("%s: %v", local, err)
		}
	}
	if _, err := Load(Sources{Flag: table(map[string]string{"allowed-networks": "10.0.0.0/8, ::1"})}); err != nil {
		t.Error(err)
	}
}
