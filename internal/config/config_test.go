package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func table(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := values[name]
		return v, ok
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pennypost.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsAreValid(t *testing.T) {
	c, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"http": "127.0.0.1:8480", "https": "127.0.0.1:8443", "smtp": "127.0.0.1:2525", "submission": "127.0.0.1:2587",
		"submissions": "127.0.0.1:2465", "imap": "127.0.0.1:2143", "imaps": "127.0.0.1:2993", "managesieve": "127.0.0.1:24190",
	}
	for _, l := range c.Listeners() {
		if want[l.Key] != l.Address {
			t.Errorf("%s: %q, want %q", l.Key, l.Address, want[l.Key])
		}
		delete(want, l.Key)
	}
	if len(want) > 0 {
		t.Errorf("not listened on: %v", want)
	}
	if c.AccountID != "000000000000" || c.Region != "us-east-1" || c.TestDomainSuffix != "awsapps.com" {
		t.Errorf("account %q, region %q, suffix %q", c.AccountID, c.Region, c.TestDomainSuffix)
	}
	if !filepath.IsAbs(c.Data) || c.SecretKeyPath() != filepath.Join(c.Data, "secret.key") {
		t.Errorf("data %q, secret key %q", c.Data, c.SecretKeyPath())
	}
}

// TestPrecedence gives one setting in more and more places, in the order flag, environment, file, default.
func TestPrecedence(t *testing.T) {
	for _, key := range []string{"http", "region", "hostname", "database_url", "trusted_proxies"} {
		t.Run(key, func(t *testing.T) {
			values := map[string][3]string{
				"http":            {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"},
				"region":          {"eu-west-1", "eu-west-2", "eu-west-3"},
				"hostname":        {"a.example", "b.example", "c.example"},
				"database_url":    {"postgres://a/x", "postgres://b/x", "postgres://c/x"},
				"trusted_proxies": {"192.0.2.1", "192.0.2.2", "192.0.2.3"},
			}[key]
			var def Setting
			for _, s := range Settings() {
				if s.Key == key {
					def = s
				}
			}
			flag := table(map[string]string{def.Flag: values[0]})
			env := table(map[string]string{def.Env: values[1]})
			path := file(t, key+" = '"+values[2]+"'\n")
			for _, c := range []struct {
				sources Sources
				origin  string
				value   string
			}{
				{Sources{Flag: flag, Env: env, File: path}, "--" + def.Flag, values[0]},
				{Sources{Env: env, File: path}, def.Env, values[1]},
				{Sources{File: path}, key + " in " + path, values[2]},
				{Sources{}, "the default", def.Default},
			} {
				value, origin := c.sources.lookup(def, must(readFile(c.sources.File, &Config{})))
				if value != c.value || origin != c.origin {
					t.Errorf("got %q from %s, want %q from %s", value, origin, c.value, c.origin)
				}
				loaded, err := Load(c.sources)
				if err != nil {
					t.Fatal(err)
				}
				if loaded.Origin[key] != c.origin {
					t.Errorf("Load took it from %s, want %s", loaded.Origin[key], c.origin)
				}
			}
		})
	}
}

func must(m map[string]string, err error) map[string]string {
	if err != nil {
		panic(err)
	}
	return m
}

func TestHostLeftOutIsThisMachine(t *testing.T) {
	c, err := Load(Sources{Flag: table(map[string]string{"http": ":0", "smtp": ":25"})})
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP != "127.0.0.1:0" || c.SMTP != "127.0.0.1:25" {
		t.Errorf("http %s, smtp %s", c.HTTP, c.SMTP)
	}
}

func TestEmptyValueCountsAsGiven(t *testing.T) {
	c, err := Load(Sources{
		Env:  table(map[string]string{"PENNYPOST_METRICS": "", "PENNYPOST_SMTP": ""}),
		File: file(t, "metrics = '127.0.0.1:9100'\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range c.Listeners() {
		if l.Key == "metrics" || l.Key == "smtp" {
			t.Errorf("%s listens on %s", l.Key, l.Address)
		}
	}
}

// TestEnvOutputIsNoInput holds that what `pennypost env` exports can't be taken for a setting by the next server.
func TestEnvOutputIsNoInput(t *testing.T) {
	for _, s := range Settings() {
		if strings.HasSuffix(s.Env, "_ADDR") || s.Env == "PENNYPOST_CA_FILE" {
			t.Errorf("the setting %s is read from %s, which env exports", s.Key, s.Env)
		}
	}
	c, err := Load(Sources{Env: table(map[string]string{
		"PENNYPOST_HTTP_ADDR": "192.0.2.1:1", "PENNYPOST_CA_FILE": "/nowhere", "PENNYPOST_IMAPS_ADDR": "nonsense",
	})})
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP != "127.0.0.1:8480" {
		t.Errorf("http is %s", c.HTTP)
	}
}

// TestRefused walks every check; each message names the place, the value and the way out.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		key, value string
		says       []string
	}{
		{"http", "127.0.0.1", []string{`--http: "127.0.0.1" is not of the form host:port`}},
		{"http", "127.0.0.1:65536", []string{"--http", "0 (any free one) to 65535"}},
		{"http", "127.0.0.1:http", []string{"must be a number"}},
		{"http", "a_b:80", []string{`"a_b" is neither an IP address nor a host name`}},
		{"http", "0.0.0.0:8480", []string{`--http: "0.0.0.0:8480"`, "--https", "--trusted-proxies"}},
		{"http", "[::]:8480", []string{"can be reached from other machines"}},
		{"http", "mail.example:8480", []string{"can be reached from other machines"}},
		{"imaps", "x", []string{"--imaps"}},
		{"hostname", "a b", []string{`--hostname: "a b" is not a host name`}},
		{"hostname", "192.0.2.1", []string{`--hostname: "192.0.2.1" is not a host name`}},
		{"tls_cert", "/c.pem", []string{"--tls-cert", "--tls-key is missing"}},
		{"tls_key", "/k.pem", []string{"--tls-key", "--tls-cert is missing"}},
		{"database_url", "mysql://u:hunter2@h/d", []string{"--database-url", "postgres://"}},
		{"blob_url", "file:///var/bodies", []string{"--blob-url", "s3://"}},
		{"blob_url", "s3:///prefix", []string{"--blob-url"}},
		{"account_id", "12345678901", []string{"12 digits"}},
		{"account_id", "000000000000\n", []string{"12 digits"}},
		{"region", "US-EAST-1", []string{"us-east-1"}},
		{"test_domain_suffix", "local", []string{"two labels"}},
		{"dns_resolver", "192.0.2.53", []string{"--dns-resolver", "host:port"}},
		{"dns_resolver", "192.0.2.53:53 trust", []string{"--dns-resolver", "192.0.2.53:53 trust"}},
		{"arc_trusted", "lists.example, local", []string{"--arc-trusted", `"local" is not a domain`}},
		{"greylisting", "yes", []string{"--greylisting", `"yes" is neither true nor false`}},
		{"dns_lists", "zen.spamhaus.org=reject, bl.example", []string{"--dns-lists", `"bl.example" is not of the form zone=reject or zone=junk`}},
		{"dns_lists", "bl.example=drop", []string{"--dns-lists"}},
		{"dns_lists", "local=junk", []string{"--dns-lists"}},
		{"exempt_networks", "relay.example", []string{"--exempt-networks"}},
		{"limit_address_connects", "-1", []string{"--limit-address-connects"}},
		{"trusted_proxies", "192.0.2.0/33", []string{"--trusted-proxies", "192.0.2.0/33"}},
		{"data", "", []string{"--data"}},
	} {
		t.Run(c.key+"="+c.value, func(t *testing.T) {
			flag := strings.ReplaceAll(c.key, "_", "-")
			_, err := Load(Sources{Flag: table(map[string]string{flag: c.value})})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error lacks %q: %v", part, err)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error repeats a password: %v", err)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	for key, values := range map[string][]string{
		"http":            {":0", "localhost:0", "[::1]:80", "127.9.9.9:1", ""},
		"https":           {"0.0.0.0:443", ":443", "[::]:443", "mail.example:443"},
		"database_url":    {"postgresql://h/d", "postgres://postgres@/postgres?host=/run/x"},
		"blob_url":        {"s3://bucket", "s3://bucket/prefix?endpoint=http://127.0.0.1:9000&path_style=true"},
		"region":          {"us-gov-west-1", "eu-west-1"},
		"trusted_proxies": {"10.0.0.0/8, ::1 ,192.0.2.7"},
	} {
		for _, value := range values {
			if _, err := Load(Sources{Flag: table(map[string]string{strings.ReplaceAll(key, "_", "-"): value})}); err != nil {
				t.Errorf("%s=%s: %v", key, value, err)
			}
		}
	}
	c, err := Load(Sources{Flag: table(map[string]string{"http": "0.0.0.0:8480", "trusted-proxies": "10.0.0.7/8"})})
	if err != nil {
		t.Fatalf("http open to a trusted proxy: %v", err)
	}
	if got := c.TrustedProxies[0].String(); got != "10.0.0.0/8" {
		t.Errorf("the network is %s", got)
	}
}

func TestWhoMayComeIsRead(t *testing.T) {
	c, err := Load(Sources{File: file(t, "greylisting = true\ndns_lists = ['Zen.example.org=reject', 'bl.example=junk']\nexempt_networks = '192.0.2.0/24'\nlimit_user_messages = 5\n")})
	if err != nil {
		t.Fatal(err)
	}
	lists, err := c.ReadDNSLists()
	if want := []DNSList{{"zen.example.org", true}, {"bl.example", false}}; err != nil || !reflect.DeepEqual(lists, want) {
		t.Errorf("%v, %v", lists, err)
	}
	if !c.Greylisting || len(c.ExemptNetworks) != 1 || c.LimitUserMessages != 5 || c.LimitAddressConnections != 20 {
		t.Errorf("%+v", c)
	}
	if c, err = Load(Sources{}); err != nil || c.Greylisting || len(c.DNSLists) != 0 || c.LimitUserMessages != 0 || c.LimitUserRecipients != 0 {
		t.Errorf("what is off until it is set: %+v, %v", c, err)
	}
}

func TestValuesOfAProgram(t *testing.T) {
	c, err := Load(Sources{
		Values: map[string]string{"region": "eu-west-1"},
		Flag:   table(map[string]string{"region": "eu-west-2"}),
	})
	if err != nil || c.Region != "eu-west-1" {
		t.Errorf("region %v (%v)", c, err)
	}
	if _, err := Load(Sources{Values: map[string]string{"regoin": "x"}}); err == nil || !strings.Contains(err.Error(), `"regoin"`) {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestTables(t *testing.T) {
	c, err := Load(Sources{File: file(t, "region = 'eu-west-1'\n[export_bucket.a]\nurl = 'file:///x'\n[export_bucket.\"b.c\"]\nurl = 's3://y'\naccess_key_id = 'K'\nsecret_access_key_file = '/z'\nencryption = 'none'\norganizations = ['m-1']\nfunctions = true\n")})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]ExportBucket{"a": {URL: "file:///x"}, "b.c": {"s3://y", "K", "/z", "none", []string{"m-1"}, true}}
	if !reflect.DeepEqual(c.ExportBuckets, want) || c.Region != "eu-west-1" {
		t.Errorf("the buckets are %+v", c.ExportBuckets)
	}
	for text, says := range map[string]string{
		"[export_bucket.a]\nurl = 'file:///x'\nsecret = 'y'\n": `there is no setting export_bucket.a.secret`,
		"[export_bucket.a]\nurl = 7\n":                         "export_bucket",
		"export_bucket = 'x'\n":                                "export_bucket",
		"[export_buckets.a]\nurl = 'file:///x'\n":              `there is no setting "export_buckets"`,
	} {
		if _, err := Load(Sources{File: file(t, text)}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want an error with %s", text, err, says)
		}
	}
}

func TestFile(t *testing.T) {
	c, err := Load(Sources{File: file(t, "region = 'eu-west-1'\ntrusted_proxies = ['10.0.0.0/8', '::1']\n")})
	if err != nil {
		t.Fatal(err)
	}
	if c.Region != "eu-west-1" || len(c.TrustedProxies) != 2 {
		t.Errorf("region %s, proxies %v", c.Region, c.TrustedProxies)
	}
	for text, says := range map[string]string{
		"htpp = 'x'\nimpa = 'y'\n":    `there is no setting "htpp"`,
		"[http]\naddress = 'x'\n":     "is not a text",
		"trusted_proxies = [1]\n":     "is not a text in quotes",
		"region = \n":                 "pennypost.toml",
		"region = 'a'\nregion = 'b'":  "region",
		"config = 'other.toml'\n":     `there is no setting "config"`,
		"[limits]\nusers = 3\n":       `there is no setting "limits"`,
		"hostname = 'a b'":            "hostname in ",
		"account_id = 123456789012.5": "whole number",
	} {
		if _, err := Load(Sources{File: file(t, text)}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: the error lacks %q: %v", text, says, err)
		}
	}
	if _, err := Load(Sources{File: file(t, "htpp = 'x'\nimpa = 'y'\n")}); !strings.Contains(err.Error(), "impa") {
		t.Errorf("only the first unknown key is named: %v", err)
	}
	if _, err := Load(Sources{File: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("a missing file is accepted")
	}
}

// Functions come from the file alone; what is wrong with one is told with its ARN.
func TestFunctions(t *testing.T) {
	const arn = "arn:aws:lambda:eu-west-1:111122223333:function:calendar"
	table := "[function.'" + arn + "']\n"
	c, err := Load(Sources{File: file(t, "allowed_networks = ['10.1.0.0/16', '::1']\n"+table+"url = 'https://cap.example/f'\nca_file = 'ca.pem'\nsecret_file = 'key'\n[function.'"+arn+":live']\nurl = 'https://cap.example/live'\n")})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Function{URL: "https://cap.example/f", CAFile: "ca.pem", SecretFile: "key"}); c.Functions[arn] != want || len(c.Functions) != 2 || len(c.AllowedNetworks) != 2 {
		t.Errorf("functions %+v, networks %v", c.Functions, c.AllowedNetworks)
	}
	for text, says := range map[string]string{
		table + "url = 'http://cap.example/'": "https",
		table + "url = '/f'":                  "https",
		table:                                 "https",
		table + "url = 7":                     "url",
		table + "url = 'https://cap.example/'\nretries = 3":      "retries",
		"[function.'arn:aws:s3:::bucket']\nurl = 'https://x.y/'": "not the ARN of a Lambda function",
		"function = 'x'": "function",
		"[function]\nurl = 'https://cap.example'": "function",
	} {
		if _, err := Load(Sources{File: file(t, text)}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: the error lacks %q: %v", text, says, err)
		}
	}
}

func TestLimitsHaveBounds(t *testing.T) {
	for key, bad := range map[string]string{
		"password_memory_kib": "19455", "password_passes": "1", "limit_aliases": "0", "limit_domains": "0", "limit_tags": "0", "limit_availability": "0",
		"limit_mailbox_mb": "0", "limit_message_mb": "1025", "limit_recipients": "x", "limit_attachments": "5001", "limit_users": "-1", "limit_queue_mb": "-1", "limit_organizations": "1.5",
		"limit_daily_user_external": "-1", "limit_daily_account_external": "x", "limit_daily_account_test": "2.5", "recoverable_days": "0",
		"dkim_rotation_days": "29",
	} {
		if _, err := Load(Sources{Values: map[string]string{key: bad}}); err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s=%s: %v, want an error that names both", key, bad, err)
		}
	}
	c, err := Load(Sources{Values: map[string]string{"limit_message_mb": "1", "limit_users": "0", "limit_mailbox_mb": "10"}})
	if err != nil || c.MaxMessage() != 1<<20 || c.LimitMailboxMB != 10 {
		t.Errorf("MaxMessage %d, mailbox %d, %v", c.MaxMessage(), c.LimitMailboxMB, err)
	}
}

// The limits of the recipients a day are off until they are set, in whatever place.
func TestDailyLimits(t *testing.T) {
	c, err := Load(Sources{})
	if err != nil || c.LimitDailyUserExternal != 0 || c.LimitDailyAccountExternal != 0 || c.LimitDailyAccountTest != 0 {
		t.Errorf("by default %d, %d, %d (%v)", c.LimitDailyUserExternal, c.LimitDailyAccountExternal, c.LimitDailyAccountTest, err)
	}
	c, err = Load(Sources{
		Flag: table(map[string]string{"limit-daily-user-external": "10000"}),
		Env:  table(map[string]string{"PENNYPOST_LIMIT_DAILY_ACCOUNT_EXTERNAL": "100000"}),
		File: file(t, "limit_daily_account_test = 200\n"),
	})
	if err != nil || c.LimitDailyUserExternal != 10000 || c.LimitDailyAccountExternal != 100000 || c.LimitDailyAccountTest != 200 {
		t.Errorf("set to %d, %d, %d (%v)", c.LimitDailyUserExternal, c.LimitDailyAccountExternal, c.LimitDailyAccountTest, err)
	}
}

func TestYesOrNo(t *testing.T) {
	for text, want := range map[string]bool{"": true, "dmarc_reports = true": true, "dmarc_reports = false": false, "dmarc_reports = 'false'": false} {
		if c, err := Load(Sources{File: file(t, text+"\n")}); err != nil || c.DMARCReports != want {
			t.Errorf("%q: %v, %v", text, c, err)
		}
	}
	if _, err := Load(Sources{File: file(t, "dmarc_reports = 'maybe'\n")}); err == nil || !strings.Contains(err.Error(), "neither true nor false") {
		t.Errorf("maybe: %v", err)
	}
}
