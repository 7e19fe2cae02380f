package e2e

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/go-ldap/ldap/v3"

	"github.com/pennypost/pennypost/internal/directory/ldap/ldaptest"
	"github.com/pennypost/pennypost/test/harness"
)

// elsewhere are the sections of docs/operations.md whose commands need what this test has not.
var elsewhere = map[string]string{
	"PostgreSQL and S3": "serves on a database and a bucket: every test with Engines",
	"systemd":           "installs the server",
	"Settings":          "the ports and the certificate of a host of its own",

	"The queue":                   "speaks of messages that wait: test/python/test_queue.py has one",
	"Moving from Amazon WorkMail": "needs an organisation elsewhere: TestImportWorkMail has one",
}

// TestOperationsExamples starts a server with all tables of docs/operations.md in its file, and pastes the commands of each section
// into a shell. Files and folders lie in a directory of the test, the directory server is an OpenLDAP; ann and her boss have addresses in
// example.com.
func TestOperationsExamples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(harness.Root(), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir, slapd := t.TempDir(), ldaptest.Slapd(t, false)
	add := ldap.NewAddRequest("uid=ann,"+slapd.People, nil)
	for attribute, value := range map[string]string{"objectClass": "inetOrgPerson", "cn": "ann", "sn": "ann"} {
		add.Attribute(attribute, []string{value})
	}
	if err := slapd.Admin(t).Add(add); err != nil {
		t.Fatal(err)
	}
	const nobodys = "m-00000000000000000000000000000000"
	local := strings.NewReplacer("/etc/pennypost/", dir+"/", "/var/log/pennypost/", dir+"/", "/srv/exports", dir, "m-…", nobodys,
		"ldaps://dc1.corp.example.com", slapd.URL, `"ad"`, `"rfc"`, "OU=Staff,DC=corp,DC=example,DC=com", slapd.Base,
		"CN=pennypost,OU=Services,DC=corp,DC=example,DC=com", slapd.BindDN)
	config := writeConfig(t, dir, local.Replace(string(text)))
	certificate, err := os.ReadFile(slapd.CAFile)
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, "corp-ca.pem"), certificate, 0o600),
		os.WriteFile(filepath.Join(dir, "corp.password"), []byte(slapd.Password), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := harness.Start(t, harness.Options{
		Flags: []string{"--config", config}, Env: []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=eu-west-1"},
	})
	org := office(t, s, "example", "ann", "boss")
	s.Stop() // the file can name the organisation now
	tables, err := os.ReadFile(config)
	if err := errors.Join(err, os.WriteFile(config, bytes.ReplaceAll(tables, []byte(nobodys), []byte(org)), 0o600)); err != nil {
		t.Fatal(err)
	}
	s.Start()
	domain := aws.String("example.com")
	if _, err := s.WorkMail().RegisterMailDomain(t.Context(), &workmail.RegisterMailDomainInput{OrganizationId: &org, DomainName: domain}); err != nil {
		t.Fatal(err)
	}
	if r := s.Verb("domain", "verify", *domain, "--organization", org); r.Status != 0 {
		t.Fatalf("domain verify: %s", r)
	}
	for _, name := range []string{"ann", "boss"} {
		u, err := s.WorkMail().DescribeUser(t.Context(), &workmail.DescribeUserInput{OrganizationId: &org, UserId: &name})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.WorkMail().UpdatePrimaryEmailAddress(t.Context(), &workmail.UpdatePrimaryEmailAddressInput{
			OrganizationId: &org, EntityId: u.UserId, Email: aws.String(name + "@example.com"),
		}); err != nil {
			t.Fatal(err)
		}
	}
	key := regexp.MustCompile(`AKIA\w+`).FindString(s.Verb("key", "create", "--policy", "AmazonWorkMailFullAccess").Stdout)
	preamble, sections, _ := strings.Cut(string(text), "\n## ")
	run := strings.NewReplacer("--data DIR", "--data "+s.Dir, "AKIA…", key, "m-…", org)
	bin := t.TempDir()
	if err := os.Symlink(harness.Binary(t), filepath.Join(bin, "pennypost")); err != nil {
		t.Fatal(err)
	}
	pasted := 0
	for section := range strings.SplitSeq(sections, "\n## ") {
		title, _, _ := strings.Cut(section, "\n")
		if elsewhere[title] != "" {
			continue
		}
		for _, policy := range blocks(section, "json") {
			if err := os.WriteFile(filepath.Join(dir, "read-one.json"), []byte(run.Replace(policy)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		commands := blocks(section, "sh")
		if len(commands) == 0 {
			continue
		}
		pasted++
		script := run.Replace(strings.Join(append(blocks(preamble, "sh"), commands...), "\n"))
		r := harness.Run(t, harness.Command{
			Name: "sh", Args: []string{"-eu", "-c", script}, Dir: dir,
			Env: []string{
				"PATH=" + bin + ":" + filepath.Dir(harness.Tool(t, "aws")) + ":" + os.Getenv("PATH"), "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
			},
		})
		if r.Status != 0 {
			t.Errorf("%s: %s", title, r)
		}
	}
	if pasted < 9 {
		t.Errorf("only %d sections have commands", pasted)
	}
}

// blocks are the texts in fences of a language.
func blocks(markdown, language string) (found []string) {
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(markdown, -1) {
		found = append(found, m[1])
	}
	return found
}

// writeConfig puts all tables into one file, behind the keys without a table, and makes the files that they name.
func writeConfig(t *testing.T, dir, text string) string {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Close()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	keys, tables := map[string]string{}, ""
	for _, block := range blocks(text, "toml")[1:] { // the first is the ports
		table := false
		for line := range strings.Lines(block) {
			if table = table || strings.HasPrefix(line, "["); table {
				tables += line
			} else if key, _, ok := strings.Cut(line, " "); ok && !strings.HasPrefix(line, "#") {
				keys[key] = line
			}
		}
	}
	for _, path := range regexp.MustCompile(regexp.QuoteMeta(dir)+`/[\w.-]+`).FindAllString(tables, -1) {
		content := []byte("secret\n")
		if strings.HasSuffix(path, ".pem") {
			content = certificate
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys["allowed_networks"] = "allowed_networks = \"127.0.0.1\"\n"
	file := filepath.Join(dir, "all.toml")
	if err := os.WriteFile(file, fmt.Append(nil, strings.Join(slices.Collect(maps.Values(keys)), ""), tables), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
