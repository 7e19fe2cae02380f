package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/aws-sdk-go-v2/service/workmail"

	"github.com/pennypost/pennypost/internal/blob/blobtest"
	"github.com/pennypost/pennypost/test/harness"
)

// TestDomainIsPublished writes what a domain needs into the zone of a real name server, and into one at Route 53, where another
// provider's records are, and checks it before and after, beside the server and without it.
func TestDomainIsPublished(t *testing.T) {
	t.Parallel()
	const domain = "published.example.com"
	bind := harness.StartBIND(t, map[string][]string{
		"example.com": {
			"published MX 5 mx.other.example.", `published TXT "v=spf1 include:other.example -all"`, `published TXT "other=1"`, "www.published A 192.0.2.1",
			"autodiscover.published A 192.0.2.2",
		},
		"pennypost.example": {"mail A 127.0.0.1"},
		"other.example":     {`@ TXT "v=spf1 ip4:192.0.2.0/24 -all"`},
		"127.in-addr.arpa":  {"1.0.0 PTR mail.pennypost.example."},
	})
	original := filepath.Join(t.TempDir(), "pennypost.toml")
	file := original
	settings := fmt.Sprintf(`dns_resolver = %q
hostname = "mail.pennypost.example"
mta_sts = "none"
[dns_provider.ours]
kind = "rfc2136"
server = %q
key_name = %q
secret_file = %q
[dns_provider.amazon]
kind = "route53"
endpoint = %q
access_key_id = "test"
secret_file = %q
`, bind.Addr, bind.Addr, bind.KeyName, bind.KeyFile, blobtest.Moto(t), bind.KeyFile)
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s := harness.Start(t, harness.Options{Flags: []string{"--config", file}})
	org := office(t, s, "published", "ann")
	if _, err := s.WorkMail().RegisterMailDomain(t.Context(), &workmail.RegisterMailDomainInput{OrganizationId: &org, DomainName: aws.String(domain)}); err != nil {
		t.Fatal(err)
	}
	verb := func(status int, words string, args ...string) string {
		t.Helper()
		r := s.Verb(append(args, "--config", file)...)
		if r.Status != status || !strings.Contains(r.Stdout+r.Stderr, words) {
			t.Fatalf("%q: %s\nwant status %d and %q", args, r, status, words)
		}
		return r.Stdout
	}
	verb(1, "missing       ownership       TXT     _pennypost."+domain, "domain", "check", domain)
	records := verb(0, "_imaps._tcp."+domain+". 3600 IN SRV 0 1 993 mail.pennypost.example.", "domain", "records", domain)
	verb(2, "no organization has registered", "domain", "check", "other.example.com")
	verb(2, "--provider", "domain", "publish", domain, "--yes")

	verb(1, "missing       spf", "domain", "check", "mail.pennypost.example")
	verb(0, "the zone pennypost.example is changed", "domain", "publish", "mail.pennypost.example", "--provider", "ours", "--yes")
	verb(0, "right         spf", "domain", "check", "mail.pennypost.example")

	// Nobody says yes.
	verb(1, "nothing was changed", "domain", "publish", domain, "--provider", "ours")
	verb(1, "missing       dmarc", "domain", "check", domain)
	// What is in the way stays, all else is written.
	out := verb(1, "the zone example.com is changed", "domain", "publish", domain, "--provider", "ours", "--yes")
	for _, left := range []string{"left: " + domain + ". 3600 IN MX 10", "left: " + domain + `. 3600 IN TXT "v=spf1`, "left: autodiscover." + domain} {
		if !strings.Contains(out, left) {
			t.Errorf("not said: %s\n%s", left, out)
		}
	}
	verb(1, "inconsistent  mx", "domain", "check", domain)
	out = verb(0, "", "domain", "publish", domain, "--provider", "ours", "--yes", "--replace")
	if strings.Count(out, "\n- ") != 2 || strings.Count(out, "\n+ ") != 3 || strings.Contains(out, "other=1") {
		t.Errorf("replaced:\n%s", out)
	}
	verb(0, "right         spf", "domain", "check", domain)
	verb(0, "nothing to add", "domain", "publish", domain, "--provider", "ours", "--yes")
	s.Stop()
	verb(0, `{"purpose":"dmarc","type":"TXT","name":"_dmarc.`+domain+`",`, "domain", "check", domain, "--json", "--organization", org)

	r53 := route53.New(route53.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(blobtest.Moto(t)), Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	zone, err := r53.CreateHostedZone(t.Context(), &route53.CreateHostedZoneInput{Name: aws.String("example.com."), CallerReference: aws.String(t.Name())})
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, kind types.RRType, values ...string) types.Change {
		set := &types.ResourceRecordSet{Name: &name, Type: kind, TTL: aws.Int64(60)}
		for _, v := range values {
			set.ResourceRecords = append(set.ResourceRecords, types.ResourceRecord{Value: &v})
		}
		return types.Change{Action: types.ChangeActionCreate, ResourceRecordSet: set}
	}
	if _, err := r53.ChangeResourceRecordSets(t.Context(), &route53.ChangeResourceRecordSetsInput{HostedZoneId: zone.HostedZone.Id, ChangeBatch: &types.ChangeBatch{Changes: []types.Change{
		put(domain+".", "TXT", `"v=spf1 include:other.example -all"`, `"oth" "er=1"`), put(domain+".", "MX", "5 mx.other.example."),
		put("autodiscover."+domain+".", "A", "192.0.2.2"),
	}}}); err != nil {
		t.Fatal(err)
	}
	// DNS tells that all is right, as BIND has it: who asks a server with an empty zone sees what is missing.
	blind := filepath.Join(t.TempDir(), "blind.toml")
	empty := harness.StartBIND(t, map[string][]string{"example.com": nil, "pennypost.example": {"mail A 127.0.0.1"}, "127.in-addr.arpa": {"1.0.0 PTR mail.pennypost.example."}})
	if err := os.WriteFile(blind, []byte(strings.Replace(settings, bind.Addr, empty.Addr, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	file = blind
	verb(1, "left: "+domain+". 3600 IN MX", "domain", "publish", domain, "--provider", "amazon", "--yes")
	verb(0, "- "+domain+". 60 IN MX 5 mx.other.example.", "domain", "publish", domain, "--provider", "amazon", "--yes", "--replace")
	listed, err := r53.ListResourceRecordSets(t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: zone.HostedZone.Id})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, set := range listed.ResourceRecordSets {
		for _, r := range set.ResourceRecords {
			lines = append(lines, fmt.Sprintf("%s %s %s", *set.Name, set.Type, *r.Value))
		}
	}
	if !slices.Contains(lines, domain+`. TXT "oth" "er=1"`) || slices.Contains(lines, "autodiscover."+domain+". A 192.0.2.2") {
		t.Errorf("in the zone at Route 53: %q", lines)
	}
	for line := range strings.Lines(records) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " ; ")
		if line != "" && line[0] != ';' && !slices.Contains(lines, strings.Replace(line, " 3600 IN", "", 1)) {
			t.Errorf("not in the zone at Route 53: %s\n%s", line, strings.Join(lines, "\n"))
		}
	}

	// Once the domain is proven its files are served; mailauth reads the policy.
	if err := os.WriteFile(original, []byte(strings.Replace(settings, `"none"`, `"enforce"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Start()
	verb(0, "", "domain", "verify", domain, "--organization", org)
	fetch := func(host, path string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.Addr("https")+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		answer, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: s.TLS(), DisableKeepAlives: true}}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s%s: %s %s, %v", host, path, answer.Status, text, err)
		}
		return string(text)
	}
	if text := fetch("autoconfig."+domain, "/mail/config-v1.1.xml"); !strings.Contains(text, "<port>993</port>") {
		t.Errorf("the settings of mail programs: %s", text)
	}
	const judge = `const { parsePolicy, validateMx } = require("mailauth/lib/mta-sts");
		const policy = { id: "1", ...parsePolicy(require("fs").readFileSync(0, "utf8")) };
		const { valid } = validateMx("mail.pennypost.example", policy), other = validateMx("mx.other.example", policy).valid;
		console.log(policy.version, policy.mode, policy.maxAge, valid, other)`
	r := harness.Run(t, harness.Command{
		Name: harness.Tool(t, "node"), Args: []string{"-e", judge}, Dir: filepath.Join(harness.Root(), "test", "js"), Stdin: fetch("mta-sts."+domain, "/.well-known/mta-sts.txt"),
	})
	if r.Stdout != "STSv1 enforce 604800 true false\n" {
		t.Errorf("mailauth reads the policy so: %s", r)
	}
}
