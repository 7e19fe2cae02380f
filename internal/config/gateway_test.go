package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGateways says of each gateway that can't be used what is wrong with it.
func TestGateways(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"good":              {"outbound = \"relay\"\n[gateway.relay]\naddress = \"mx.example.net:587\"\nusername = \"u\"\npassword_file = \"p\"\n", ""},
		"implicit":          {"[gateway.relay]\naddress = \"mx.example.net:465\"\ntls = \"implicit\"\n", ""},
		"clear on loopback": {"[gateway.relay]\naddress = \"127.0.0.1:25\"\ntls = \"none\"\n", ""},
		"unknown":           {"outbound = \"relay\"\n", `"relay" is neither mx nor off nor the name of a [gateway.NAME]`},
		"a word":            {"[gateway.off]\naddress = \"mx.example.net:587\"\n", "a gateway can't have this name"},
		"no address":        {"[gateway.relay]\n", "is not of the form host:port"},
		"no port":           {"[gateway.relay]\naddress = \"mx.example.net:0\"\n", "has no port"},
		"clear outside":     {"[gateway.relay]\naddress = \"mx.example.net:25\"\ntls = \"none\"\n", "only a loopback address"},
		"clear password":    {"[gateway.relay]\naddress = \"127.0.0.1:25\"\ntls = \"none\"\nusername = \"u\"\npassword_file = \"p\"\n", "a password is not sent without TLS"},
		"half a sign-in":    {"[gateway.relay]\naddress = \"mx.example.net:587\"\nusername = \"u\"\n", "go together"},
		"odd tls":           {"[gateway.relay]\naddress = \"mx.example.net:587\"\ntls = \"maybe\"\n", "is none of starttls, implicit, none"},
		"port":              {"outbound_port = 70000\n", "from 1 to 65535"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "settings.toml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(Sources{File: file})
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
