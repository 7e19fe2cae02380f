package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
	"github.com/go-ldap/ldap/v3"

	"github.com/pennypost/pennypost/internal/directory/ldap/ldaptest"
	"github.com/pennypost/pennypost/test/harness"
)

// TestExternalDirectory runs an organisation on OpenLDAP: who is there already, who is made through the API, sign-in, what
// others change there, and a directory that fails. The server is away in between.
func TestExternalDirectory(t *testing.T) { harness.Engines(t, externalDirectory) }

func externalDirectory(t *testing.T, databaseURL string) {
	slapd := ldaptest.Slapd(t, false)
	outside := slapd.Admin(t)
	person := func(name string) string {
		dn := "uid=" + name + "," + slapd.People
		add := ldap.NewAddRequest(dn, nil)
		for attribute, value := range map[string]string{"objectClass": "inetOrgPerson", "cn": name, "sn": name, "userPassword": password} {
			add.Attribute(attribute, []string{value})
		}
		if err := outside.Add(add); err != nil {
			t.Fatal(err)
		}
		return dn
	}
	hand := person("old.hand")

	dir := t.TempDir()
	secret, file := filepath.Join(dir, "secret"), filepath.Join(dir, "pennypost.toml")
	table := func(id, url string) string {
		return fmt.Sprintf(`
[directory.%q]
url = %q
ca_file = %q
preset = "rfc"
base = %q
user_base = %q
group_base = %q
bind_dn = %q
bind_password_file = %q
writable = true
`, id, url, slapd.CAFile, slapd.Base, slapd.People, slapd.Groups, slapd.BindDN, secret)
	}
	const id, noneID, strangerID, readID = "d-00000000aa", "d-00000000bb", "d-00000000cc", "d-00000000dd"
	text := "allowed_networks = \"127.0.0.1\"\ndirectory_seconds = 1\n" + table(id, slapd.StartTLS) + table(noneID, "ldaps://127.0.0.1:1") +
		strings.Replace(table(strangerID, slapd.URL), "cn=pennypost", "cn=stranger", 1) +
		strings.Replace(table(readID, slapd.URL), "writable = true", "writable = false", 1)
	if err := errors.Join(os.WriteFile(secret, []byte(slapd.Password+"\n"), 0o600), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	metrics := harness.FreeAddress(t) // env does not tell it
	s := harness.Start(t, harness.Options{DatabaseURL: databaseURL, Flags: []string{"--config", file, "--metrics", metrics}})
	api, ctx := s.WorkMail(), t.Context()
	for _, refused := range []string{noneID, strangerID, "d-0000000000"} {
		var unavailable *types.DirectoryUnavailableException
		_, err := api.CreateOrganization(ctx, &workmail.CreateOrganizationInput{Alias: aws.String("none"), DirectoryId: aws.String(refused)})
		if !errors.As(err, &unavailable) {
			t.Errorf("an organisation on %s: %v", refused, err)
		}
	}
	made, err := api.CreateOrganization(ctx, &workmail.CreateOrganizationInput{Alias: aws.String("corp"), DirectoryId: aws.String(id)})
	if err != nil {
		t.Fatal(err)
	}
	org := made.OrganizationId
	var taken *types.DirectoryInUseException
	_, err = api.CreateOrganization(ctx, &workmail.CreateOrganizationInput{Alias: aws.String("second"), DirectoryId: aws.String(id)})
	if !errors.As(err, &taken) {
		t.Errorf("a second organisation on the directory: %v", err)
	}
	state := func(name string) types.EntityState {
		out, err := api.ListUsers(ctx, &workmail.ListUsersInput{OrganizationId: org, Filters: &types.ListUsersFilters{UsernamePrefix: &name}})
		if err != nil || len(out.Users) == 0 {
			return ""
		}
		return out.Users[0].State
	}
	harness.Eventually(t, "who was there already is listed", func() bool { return state("old.hand") == types.EntityStateDisabled })

	read, err := api.CreateOrganization(ctx, &workmail.CreateOrganizationInput{Alias: aws.String("read"), DirectoryId: aws.String(readID)})
	if err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the organisation that only reads is active", func() bool {
		out, err := api.DescribeOrganization(ctx, &workmail.DescribeOrganizationInput{OrganizationId: read.OrganizationId})
		return err == nil && *out.State == "Active"
	})
	var unsupported *types.UnsupportedOperationException
	_, err = api.CreateUser(ctx, &workmail.CreateUserInput{OrganizationId: read.OrganizationId, Name: aws.String("ann"), DisplayName: aws.String("Ann")})
	if !errors.As(err, &unsupported) {
		t.Errorf("CreateUser in a directory that is only read: %v", err)
	}

	create := func(name string) (*string, error) {
		out, err := api.CreateUser(ctx, &workmail.CreateUserInput{OrganizationId: org, Name: &name, DisplayName: &name, Password: aws.String(password)})
		if err != nil {
			return nil, err
		}
		_, err = api.RegisterToWorkMail(ctx, &workmail.RegisterToWorkMailInput{OrganizationId: org, EntityId: out.UserId, Email: aws.String(name + "@corp.awsapps.com")})
		return out.UserId, err
	}
	for _, way := range [][]string{{"--links"}, {"--file", secret}} { // the file's one line is none, and not reached
		r := s.Verb(append([]string{"import", "passwords", "--organization", *org}, way...)...)
		if r.Status != 1 || !strings.Contains(r.Stderr, "are kept in its directory "+id) {
			t.Errorf("import passwords %s: %s", way[0], r)
		}
	}
	var invalid *types.InvalidParameterException
	if _, err := create(strings.Repeat("a", 21)); !errors.As(err, &invalid) {
		t.Errorf("a name of 21 characters in an external directory: %v", err)
	}
	ann, err := create("ann")
	if err != nil {
		t.Fatal(err)
	}
	found, err := outside.Search(ldap.NewSearchRequest(slapd.People, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(uid=ann)", []string{"entryUUID", "mail"}, nil))
	if err != nil || len(found.Entries) != 1 || found.Entries[0].GetAttributeValue("entryUUID") != *ann || found.Entries[0].GetAttributeValue("mail") != "ann@corp.awsapps.com" {
		t.Fatalf("in the directory: %+v, %v", found, err)
	}
	enter := func(name, password, want string) {
		t.Helper()
		if status := s.SignIn(name, password); !strings.HasPrefix(status, want) {
			t.Errorf("%s signs in: %s, want %s", name, status, want)
		}
	}
	enter("ann@corp.awsapps.com", password, "OK")
	enter("ann@corp.awsapps.com", "wrong", "NO [AUTHENTICATIONFAILED]")
	enter("ann@corp.awsapps.com", "", "NO [AUTHENTICATIONFAILED]")
	if _, err := api.RegisterToWorkMail(ctx, &workmail.RegisterToWorkMailInput{OrganizationId: org, EntityId: aws.String("old.hand"), Email: aws.String("hand@corp.awsapps.com")}); err != nil {
		t.Fatal(err)
	}
	session := s.IMAP("hand@corp.awsapps.com", password)
	if err := outside.Del(ldap.NewDelRequest(hand, nil)); err != nil {
		t.Fatal(err)
	}
	enter("hand@corp.awsapps.com", password, "NO [AUTHENTICATIONFAILED]")
	if said, bye := session.Rest(); !bye {
		t.Errorf("the session of who is gone ended with %q", said)
	}
	harness.Eventually(t, "who is gone there is deleted", func() bool { return state("old.hand") == types.EntityStateDeleted })

	s.Stop()      // a kill while the job runs makes it wait for its lease on PostgreSQL, which other tests are about
	person("bob") // while nobody listens
	s.Start()
	api = s.WorkMail()
	harness.Eventually(t, "who came meanwhile is listed", func() bool { return state("bob") == types.EntityStateDisabled })
	enter("ann@corp.awsapps.com", password, "OK")

	if err := slapd.Stop(); err != nil {
		t.Fatal(err)
	}
	var unavailable *types.DirectoryUnavailableException
	if _, err := create("eve"); !errors.As(err, &unavailable) {
		t.Errorf("CreateUser while the directory is down: %v", err)
	}
	enter("ann@corp.awsapps.com", password, "NO [UNAVAILABLE]")
	if state("ann") != types.EntityStateEnabled {
		t.Error("reading needs the directory")
	}
	figures := harness.NewBrowser(t, s.TLS())
	harness.Eventually(t, "the mirror's failures are counted", func() bool {
		figures.Go("http://" + metrics + "/metrics")
		return regexp.MustCompile(`pennypost_directory_mirror_runs_total{directory="` + id + `",outcome="failed"} [1-9]`).MatchString(figures.Page)
	})
	if err := slapd.Start(); err != nil {
		t.Fatal(err)
	}
	enter("ann@corp.awsapps.com", password, "OK")
	change := ldap.NewModifyRequest(slapd.BindDN, nil)
	change.Replace("userPassword", []string{"another than it was"})
	if err := errors.Join(slapd.Admin(t).Modify(change), slapd.Stop(), slapd.Start()); err != nil {
		t.Fatal(err)
	}
	var refused *types.DirectoryServiceAuthenticationFailedException
	if _, err := create("eve"); !errors.As(err, &refused) {
		t.Errorf("CreateUser while the directory refuses the server's account: %v", err)
	}
	enter("ann@corp.awsapps.com", password, "NO")
}
