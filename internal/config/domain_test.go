package config

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPortsSeen says at which ports others find the services.
func TestPortsSeen(t *testing.T) {
	own := map[string]int{"https": 443, "imap": 143, "imaps": 993, "managesieve": 4190, "submission": 587, "submissions": 465}
	with := func(change map[string]int) map[string]int {
		m := maps.Clone(own)
		maps.Copy(m, change)
		return m
	}
	for name, c := range map[string]struct {
		flags map[string]string
		want  map[string]int
	}{
		"loopback":      {nil, own},
		"any free port": {map[string]string{"imaps": "0.0.0.0:0"}, own},
		"its own":       {map[string]string{"imaps": "0.0.0.0:1993", "https": "[::]:443"}, with(map[string]int{"imaps": 1993})},
		"off":           {map[string]string{"imap": "", "submission": ""}, with(map[string]int{"imap": 0, "submission": 0})},
		"said": {
			map[string]string{"imaps": "0.0.0.0:1993", "submission": "", "public-ports": "imaps=993, imap=0,submission=587"},
			with(map[string]int{"imap": 0}),
		},
	} {
		loaded, err := Load(Sources{Flag: table(c.flags)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := loaded.PortsSeen(); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	for _, wrong := range []string{"imaps", "imaps=x", "imaps=70000", "smtp=25", "=1"} {
		if _, err := Load(Sources{Flag: table(map[string]string{"public-ports": wrong})}); err == nil || !strings.Contains(err.Error(), "--public-ports") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// TestDomainSettings says of each setting that can't be used what is wrong with it.
func TestDomainSettings(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(" c2VjcmV0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	provider := func(lines ...string) string { return "[dns_provider.zones]\n" + strings.Join(lines, "\n") + "\n" }
	const key, withSecret = "key_name = 'k'", "secret_file = 'SECRET'"
	for name, c := range map[string]struct{ text, want string }{
		"rfc2136":            {provider("kind = 'rfc2136'", "server = '192.0.2.1:53'", key, withSecret), ""},
		"with an algorithm":  {provider("kind = 'rfc2136'", "server = '192.0.2.1:53'", key, withSecret, "key_algorithm = 'hmac-sha512'"), ""},
		"route53":            {provider("kind = 'route53'"), ""},
		"route53 with a key": {provider("kind = 'route53'", "access_key_id = 'AKIA'", withSecret), ""},
		"another endpoint":   {provider("kind = 'route53'", "endpoint = 'http://127.0.0.1:5000'"), ""},
		"mta-sts":            {"mta_sts = 'enforce'\nmta_sts_max_age = 86400\n", ""},
		"no kind":            {provider(withSecret), "is neither rfc2136"},
		"no server":          {provider("kind = 'rfc2136'", key, withSecret), "server:"},
		"unsigned":           {provider("kind = 'rfc2136'", "server = '192.0.2.1:53'"), "updates are signed"},
		"odd algorithm":      {provider("kind = 'rfc2136'", "server = '192.0.2.1:53'", key, withSecret, "key_algorithm = 'hmac-md5'"), "is none of hmac-sha224"},
		"half a key":         {provider("kind = 'route53'", "access_key_id = 'AKIA'"), "go together"},
		"another's setting":  {provider("kind = 'route53'", key), "key_name does not go with"},
		"unknown":            {provider("kind = 'route53'", "zone = 'x'"), "there is no setting"},
		"spf":                {"spf_include = '_spf.amazonses.com'\n", ""},
		"odd spf":            {"spf_include = 'include:amazonses.com'\n", "is no domain"},
		"odd mode":           {"mta_sts = 'report'\n", "is none of testing"},
		"short":              {"mta_sts_max_age = 60\n", "is not between"},
	} {
		loaded, err := Load(Sources{File: file(t, strings.ReplaceAll(c.text, "SECRET", secret))})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		case err == nil && strings.Contains(c.text, "SECRET"):
			if got, err := loaded.DNSProviders["zones"].Secret(); err != nil || got != "c2VjcmV0" {
				t.Errorf("%s: the secret is %q, %v", name, got, err)
			}
		}
	}
	for _, path := range []string{os.DevNull, secret + "x"} {
		if _, err := (DNSProvider{SecretFile: path}).Secret(); err == nil {
			t.Errorf("%s holds a secret", path)
		}
	}
}
