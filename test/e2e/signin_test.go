package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"

	"github.com/pennypost/pennypost/test/harness"
)

const (
	instance     = "arn:aws:sso:::instance/ssoins-0123456789abcdef"
	annsIdentity = "01234567-89ab-cdef-0123-456789abcdef"
)

// identityProvider lets an organisation sign in by the mapped provider alone.
func identityProvider(t *testing.T, s *harness.Server, org string) {
	t.Helper()
	api := s.WorkMail()
	made, err := api.CreateIdentityCenterApplication(t.Context(), &workmail.CreateIdentityCenterApplicationInput{Name: aws.String("mail"), InstanceArn: aws.String(instance)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.PutIdentityProviderConfiguration(t.Context(), &workmail.PutIdentityProviderConfigurationInput{
		OrganizationId: &org, AuthenticationMode: types.IdentityProviderAuthenticationModeIdentityProviderOnly,
		IdentityCenterConfiguration:      &types.IdentityCenterConfiguration{InstanceArn: aws.String(instance), ApplicationArn: made.ApplicationArn},
		PersonalAccessTokenConfiguration: &types.PersonalAccessTokenConfiguration{Status: types.PersonalAccessTokenConfigurationStatusActive},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mailClient is a process of test/python/use_token.py.
type mailClient struct {
	t   *testing.T
	out *bufio.Reader
}

// useToken starts the mail client, which must get in.
func useToken(t *testing.T, s *harness.Server, address, token string) *mailClient {
	t.Helper()
	cmd := exec.Command(harness.Tool(t, "python"), filepath.Join(harness.Root(), "test", "python", "use_token.py"), address, token)
	cmd.Env = append(s.Exports(), "PYTHONDONTWRITEBYTECODE=1")
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		killer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer killer.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("use_token.py: %v\n%s", err, log.String())
		}
	})
	c := &mailClient{t, bufio.NewReader(out)}
	c.says("in")
	return c
}

func (c *mailClient) says(want string) {
	c.t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil && err != io.EOF || !strings.HasPrefix(line, want) {
		c.t.Fatalf("the mail client says %q, %v; want %q", line, err, want)
	}
}

// leaves waits for the server to end the session, and for both doors to stay closed.
func (c *mailClient) leaves(since time.Time) {
	c.t.Helper()
	c.says("out")
	if took := time.Since(since); took > 20*time.Second { // a second is promised; the machine may be busy
		c.t.Errorf("the session ended after %v", took)
	}
	c.says("imap refused")
	c.says("smtp refused")
}

// TestSignInByAnIdentityProvider signs in by a provider that others wrote, through the page, and uses what it made in Python's
// own mail clients: PutIdentityProviderConfiguration, DeletePersonalAccessToken and DeleteIdentityProviderConfiguration act at once.
func TestSignInByAnIdentityProvider(t *testing.T) {
	harness.Engines(t, func(t *testing.T, database string) {
		t.Parallel()
		provider := harness.StartOpenID(t)
		config, told := provider.Config(instance), filepath.Join(t.TempDir(), "told.jsonl")
		harness.Append(t, config, fmt.Sprintf("[log_group.%q]\nkind = 'file'\npath = %q\naudit_logs = ['AUTHENTICATION_LOGS', 'WORKMAIL_PERSONAL_ACCESS_TOKEN_LOGS']\n", logGroup("told"), told))
		s := harness.Start(t, harness.Options{DatabaseURL: database, Flags: []string{"--config", config}})
		provider.Register(s, map[string]map[string]any{
			annsIdentity:  {"preferred_username": "ann"},
			"bob-at-work": {"email": "bob@elsewhere.example", "email_verified": true},
			"stranger":    {"preferred_username": "stranger"},
		})
		org := office(t, s, "provided", "ann", "bob")
		api := s.WorkMail()
		before := s.IMAP("ann@provided.awsapps.com", password)
		identityProvider(t, s, org)
		if _, bye := before.Rest(); !bye {
			t.Error("the session that began with a password was not ended")
		}

		signIn := func(login string) *harness.Browser {
			t.Helper()
			b := harness.NewBrowser(t, s.TLS())
			b.Go("https://" + s.Addr("https") + "/sign-in")
			b.Submit("Organization", url.Values{"organization": {"provided"}})
			b.Follow("Sign in with")
			b.Submit("", url.Values{"login": {login}, "password": {"anything"}})
			b.Submit("Continue", nil) // what the provider may tell
			return b
		}
		makeToken := func(b *harness.Browser, name string) (token, id string) {
			t.Helper()
			b.Submit("Make the token", url.Values{"name": {name}})
			token = regexp.MustCompile(`ppat_[A-Za-z0-9_-]{56}`).FindString(b.Page)
			if b.Status != http.StatusOK || token == "" {
				t.Fatalf("the token: %d %s", b.Status, b.Page)
			}
			return token, token[len("ppat_"):][:13]
		}
		ann := signIn(annsIdentity)
		if !strings.Contains(ann.Page, "Signed in as <strong>ann</strong>") {
			t.Fatalf("ann: %d %s", ann.Status, ann.Page)
		}
		u, err := api.DescribeUser(t.Context(), &workmail.DescribeUserInput{OrganizationId: &org, UserId: aws.String("ann")})
		if err != nil || aws.ToString(u.IdentityProviderUserId) != annsIdentity || u.IdentityProviderIdentityStoreId == nil {
			t.Errorf("ann is linked as %+v, %v", u, err)
		}
		token, id := makeToken(ann, "phone")
		client := useToken(t, s, "ann@provided.awsapps.com", token)
		about, err := api.GetPersonalAccessTokenMetadata(t.Context(), &workmail.GetPersonalAccessTokenMetadataInput{OrganizationId: &org, PersonalAccessTokenId: &id})
		if err != nil || *about.Name != "phone" || about.DateLastUsed == nil {
			t.Errorf("the token is %+v, %v", about, err)
		}
		ann.Go("/sign-in/tokens")
		deleted := time.Now()
		ann.Submit("Delete", nil)
		client.leaves(deleted)
		if strings.Contains(ann.Page, "phone") {
			t.Errorf("the token is still there: %s", ann.Page)
		}

		// The administrator's deletion, and the return to passwords, end sessions as well.
		token, id = makeToken(ann, "laptop")
		client = useToken(t, s, "ann@provided.awsapps.com", token)
		deleted = time.Now()
		if _, err := api.DeletePersonalAccessToken(t.Context(), &workmail.DeletePersonalAccessTokenInput{OrganizationId: &org, PersonalAccessTokenId: &id}); err != nil {
			t.Fatal(err)
		}
		client.leaves(deleted)

		// A subject that is no UUID gets one; nobody is let in whose name no user has.
		bob := signIn("bob-at-work")
		u, err = api.DescribeUser(t.Context(), &workmail.DescribeUserInput{OrganizationId: &org, UserId: aws.String("bob")})
		if err != nil || !strings.Contains(bob.Page, "Signed in as <strong>bob</strong>") || len(aws.ToString(u.IdentityProviderUserId)) != 36 {
			t.Errorf("bob is linked as %+v, %v: %s", u, err, bob.Page)
		}
		if b := signIn("stranger"); b.Status != http.StatusNotFound || !strings.Contains(b.Page, "does not exist in this organization") {
			t.Errorf("a stranger: %d %s", b.Status, b.Page)
		}
		token, _ = makeToken(bob, "phone")
		client = useToken(t, s, "bob@provided.awsapps.com", token)
		deleted = time.Now()
		if _, err := api.DeleteIdentityProviderConfiguration(t.Context(), &workmail.DeleteIdentityProviderConfigurationInput{OrganizationId: &org}); err != nil {
			t.Fatal(err)
		}
		client.leaves(deleted)
		s.IMAP("bob@provided.awsapps.com", password).Close()
		bob.Go("/sign-in/tokens")
		if strings.Contains(bob.Page, "Signed in as") {
			t.Errorf("bob's page goes on: %s", bob.Page)
		}
		ann.Go("/sign-in/to/provided")
		if ann.Status != http.StatusNotFound {
			t.Errorf("the organisation without a provider: %d %s", ann.Status, ann.Page)
		}
		harness.Eventually(t, "the log group is told of tokens made, used and deleted", func() bool {
			text, err := os.ReadFile(told)
			lines := string(text)
			return err == nil && strings.Count(lines, `"protocol":"webapp"`) == 4 && strings.Count(lines, `"action":"create","personal_access_token_id"`) == 3 &&
				strings.Count(lines, `"action":"delete","personal_access_token_id"`) == 2 && strings.Contains(lines, `"name":"laptop"`) &&
				strings.Contains(lines, `"auth_successful":true,"personal_access_token_id":"`+id+`"`) && !strings.Contains(lines, "WebMail") && !strings.Contains(lines, "ppat_")
		})
	})
}

// TestAnIdentityProviderThatIsNone maps an instance to a web server that is no provider: the page says so, and the API goes on.
func TestAnIdentityProviderThatIsNone(t *testing.T) {
	junk := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "It works!") }))
	defer junk.Close()
	s := harness.Start(t, harness.Options{Flags: []string{"--config", harness.OpenIDConfig(t, instance, junk.URL, "secret")}})
	org := office(t, s, "misled", "ann")
	identityProvider(t, s, org)
	b := harness.NewBrowser(t, s.TLS())
	b.Go("http://" + s.Addr("http") + "/sign-in/to/misled")
	b.Follow("Sign in with")
	if b.Status != http.StatusBadGateway || !strings.Contains(b.Page, "does not answer as one") {
		t.Errorf("%d %s", b.Status, b.Page)
	}
	if _, err := s.WorkMail().DescribeUser(t.Context(), &workmail.DescribeUserInput{OrganizationId: &org, UserId: aws.String("ann")}); err != nil {
		t.Error(err)
	}
}
