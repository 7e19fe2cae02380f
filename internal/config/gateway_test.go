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
		"ses":               {"outbound = \"ses\"\n[gateway.ses]\npreset = \"ses\"\nregion = \"eu-west-1\"\nusername = \"AKIA\"\nsecret_access_key_file = \"p\"\n", ""},
		"ses nowhere":       {"[gateway.ses]\npreset = \"ses\"\nusername = \"AKIA\"\npassword_file = \"p\"\n", "is not a region"},
		"ses for nobody":    {"[gateway.ses]\npreset = \"ses\"\nregion = \"eu-west-1\"\n", "needs a username"},
		"ses in the clear":  {"[gateway.ses]\npreset = \"ses\"\nregion = \"eu-west-1\"\ntls = \"none\"\nusername = \"AKIA\"\npassword_file = \"p\"\n", "without TLS only a loopback address"},
		"ses twice":         {"[gateway.ses]\npreset = \"ses\"\nregion = \"eu-west-1\"\nusername = \"AKIA\"\npassword_file = \"p\"\nsecret_access_key_file = \"p\"\n", "one is enough"},
		"another preset":    {"[gateway.x]\npreset = \"x\"\naddress = \"mx.example.net:587\"\n", `preset "x" is not ses`},
		"region alone":      {"[gateway.x]\nregion = \"eu-west-1\"\naddress = \"mx.example.net:587\"\n", "go with preset"},
		"odd null sender":   {"[gateway.x]\nnull_sender = \"<>\"\naddress = \"mx.example.net:587\"\n", "is not an address"},
		"relay":             {"[relay_unknown]\n\"example.com\" = \"old\"\n[gateway.old]\naddress = \"mx.example.net:25\"\n", ""},
		"relay to nobody":   {"[relay_unknown]\n\"example.com\" = \"old\"\n", "is not the name of a [gateway.NAME]"},
		"relay of no name":  {"[relay_unknown]\nExample = \"old\"\n[gateway.old]\naddress = \"mx.example.net:25\"\n", "is not a domain in lower case"},
		"relay, and none":   {"outbound = \"off\"\n[relay_unknown]\n\"example.com\" = \"old\"\n[gateway.old]\naddress = \"mx.example.net:25\"\n", "outbound is off"},
		"relay to SES":      {"[relay_unknown]\n\"example.com\" = \"old\"\n[gateway.old]\npreset = \"ses\"\nregion = \"eu-west-1\"\nusername = \"AKIA\"\npassword_file = \"x\"\n", "the old side's own server"},
		"one queue for two": {"[ses_inbound.a]\nurl = \"s3://b/in\"\nqueue_url = \"https://q/1/q\"\n[ses_inbound.b]\nurl = \"s3://b/to\"\nqueue_url = \"https://q/1/q\"\n", "is that of ses_inbound.\"a\", too"},
		"bucket":            {"[ses_inbound.a]\nurl = \"s3://b/in?region=eu-west-1\"\nqueue_url = \"https://sqs.eu-west-1.amazonaws.com/1/q\"\ndone = \"delete\"\n", ""},
		"no bucket":         {"[ses_inbound.a]\nurl = \"https://b/in\"\n", "s3://bucket/prefix"},
		"odd queue":         {"[ses_inbound.a]\nurl = \"s3://b/in\"\nqueue_url = \"q\"\n", "neither https"},
		"endpoint alone":    {"[ses_inbound.a]\nurl = \"s3://b/in\"\nqueue_endpoint = \"https://q\"\n", "goes with queue_url"},
		"odd end":           {"[ses_inbound.a]\nurl = \"s3://b/in\"\ndone = \"tag\"\n", "neither move nor delete"},
		"odd prefix":        {"[ses_inbound.a]\nurl = \"s3://b/in\"\ndone_prefix = \"done\"\n", "ends in a slash"},
		"half a key":        {"[ses_inbound.a]\nurl = \"s3://b/in\"\naccess_key_id = \"AKIA\"\n", "go together"},
		"odd pause":         {"[ses_inbound.a]\nurl = \"s3://b/in\"\npoll_seconds = -1\n", "is not between"},
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

// TestSESEndpoint finds SES's SMTP endpoint by the region, and what SPF records of domains need for it.
func TestSESEndpoint(t *testing.T) {
	for _, c := range []struct {
		g    Gateway
		want string
	}{
		{Gateway{Preset: PresetSES, Region: "eu-west-1"}, "email-smtp.eu-west-1.amazonaws.com:587"},
		{Gateway{Preset: PresetSES, Region: "us-gov-west-1", TLS: "implicit"}, "email-smtp.us-gov-west-1.amazonaws.com:465"},
		{Gateway{Preset: PresetSES, Region: "us-east-1", Address: "email-smtp-fips.us-east-1.amazonaws.com:587"}, "email-smtp-fips.us-east-1.amazonaws.com:587"},
		{Gateway{Address: "mx.example.net:25"}, "mx.example.net:25"},
	} {
		if got := c.g.Where(); got != c.want {
			t.Errorf("%+v is at %s", c.g, got)
		}
	}
	c := Config{Outbound: "relay", Gateways: map[string]Gateway{"relay": {Preset: PresetSES}}}
	if got := c.SPFDomain(); got != "amazonses.com" {
		t.Errorf("SPF records include %q", got)
	}
}
