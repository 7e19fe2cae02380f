package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestACME(t *testing.T) {
	const provider = "[dns_provider.ours]\nkind = 'rfc2136'\nserver = '127.0.0.1:53'\nkey_name = 'k'\nsecret_file = '/s'\n"
	for text, want := range map[string]string{
		"":                             "",
		"acme = 'off'":                 "",
		"acme = 'a.example'":           "accept_terms",
		"acme = 'on'\nhostname = 'mx'": "not a host name that a CA",
		"acme = '192.0.2.1'\nacme_accept_terms = true":                                                                     "not a host name that a CA",
		"acme = 'a.example'\nacme_accept_terms = true":                                                                     "",
		"acme = 'a.example'\nacme_accept_terms = true\ntls_cert = '/c'\ntls_key = '/k'":                                    "not both",
		"acme = 'a.example'\nacme_accept_terms = true\nhttp = ''":                                                          "http-01 needs acme_http",
		"acme = 'a.example'\nacme_accept_terms = true\nhttp = ''\nacme_http = '0.0.0.0:80'":                                "",
		"acme = 'a.example'\nacme_accept_terms = true\nacme_http = 'x'":                                                    "host:port",
		"acme = 'a.example'\nacme_accept_terms = true\nacme_challenge = 'tls-alpn-01'":                                     "",
		"acme = 'a.example'\nacme_accept_terms = true\nacme_challenge = 'tls-alpn-01'\nhttps = ''":                         "needs https",
		"acme = 'a.example'\nacme_accept_terms = true\nacme_challenge = 'tls-alpn-01'\nacme_http = ':80'":                  "goes with acme_challenge",
		"acme = 'a.example'\nacme_accept_terms = true\nacme_challenge = 'dns-01'":                                          "needs acme_dns_provider",
		"acme = 'a.example'\nacme_accept_terms = true\nacme_challenge = 'dns-01'\nacme_dns_provider = 'x'":                 "no table [dns_provider.x]",
		"acme = 'a.example'\nacme_accept_terms = true\nacme_challenge = 'dns-01'\nacme_dns_provider = 'ours'\n" + provider: "",
		"acme_challenge = 'http'":               "none of http-01",
		"acme_directory = 'http://ca.example/'": "https://host/path",
		"acme_eab_key_id = 'k'":                 "go together",
		"acme_email = 'admin'":                  "mailbox",
		"acme_http = ':80'":                     "acme names no host",
	} {
		_, err := Load(Sources{File: file(t, text+"\n")})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for names, want := range map[string][]string{"on": {"mail.example"}, "B.example,a.example,b.Example": {"b.example", "a.example"}} {
		c, err := Load(Sources{Values: map[string]string{"acme": names, "acme_accept_terms": "true", "hostname": "Mail.Example"}})
		if err != nil || !slices.Equal(c.ACME, want) {
			t.Errorf("%s stands for %v, %v", names, c.ACME, err)
		}
	}
}

func TestACMEFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	c := &Config{ACMECAFile: path, ACMEKeyFile: path}
	for text, want := range map[string]string{"": "", "AQ_-\n": "AQ_-", "AQI=": "AQI", "+/+/": "", "a b": ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := c.ACMEKey(); key != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, key, err)
		}
		if _, err := c.ACMERoots(); err == nil {
			t.Errorf("%q holds certificates", text)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ACMEKey(); err == nil {
		t.Error("a file that is not there holds a key")
	}
	if key, err := (&Config{}).ACMEKey(); key != "" || err != nil {
		t.Errorf("%q, %v", key, err)
	}
}
